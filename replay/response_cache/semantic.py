"""A cache that serves the answer of a similar request: how often it would hit, and how often with the wrong answer.

Both answers are in the log: the one that would have been served and the one that was given. So each threshold gets a
false-hit rate with a confidence interval, and a threshold can be chosen for an error that one accepts. Similarity is
Jaccard's over word triples by MinHash (no model), or the cosine of vectors where the caller has them. Requests are only
compared within one model, task and system prompt.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from statistics import NormalDist

import msgspec
import numpy as np
from numpy.typing import NDArray

from ingest.errors import InputError
from replay.message_text import texts as message_texts
from replay.response_cache.lookups import Demand, demand
from replay.shadow.sampling import wilson
from replay.traffic.load_prompts import load_prompts
from replay.traffic.prompts import KINDS, Prompts
from replay.traffic.traffic import Traffic

Int16 = NDArray[np.int16]
Int32 = NDArray[np.int32]
Int64 = NDArray[np.int64]
Float32 = NDArray[np.float32]

PERMUTATIONS = 128
BAND = 4  # 32 bands of 4: a pair of similarity 0.7 is found with a probability over 0.999
SEED = 1
SCALE = 10_000  # similarities are kept as whole ten-thousandths
THRESHOLDS = (0.70, 0.80, 0.85, 0.90, 0.95, 0.99)
LARGEST_SCOPE = 100_000  # for exact search over vectors
AGREE = 0.8  # the share of common words from which two longer answers say the same
_WORD = re.compile(r"\w+", re.UNICODE)
_NUMBER = re.compile(r"-?\d+(?:[.,]\d+)*")
_HEAD = tuple(KINDS.index(kind) for kind in ("tools", "system", "developer"))


@dataclass(frozen=True)
class Asked:
    """n calls as distinct questions: `text[call]` is its number, -1 where the store has no text of it."""

    text: Int32
    scope: Int32  # per distinct question
    questions: tuple[str, ...]


@dataclass(frozen=True)
class Neighbours:
    """CSR over distinct questions: the near ones of each, itself among them, and how near (ten-thousandths)."""

    offsets: Int64
    near: Int32
    similarity: Int16


@dataclass(frozen=True)
class Threshold:
    """What a cache with one threshold would have done on the window."""

    threshold: float
    asked: int
    hits: int
    exact: int  # of them: the very same question
    saved: int  # pico-dollars
    compared: int  # hits whose served and logged answers are both in the store
    wrong: int
    low: float | None  # of wrong / compared, at the confidence asked for
    high: float | None

    @property
    def false_share(self) -> float | None:
        return self.wrong / self.compared if self.compared else None


def questions(traffic: Traffic, prompts: Prompts) -> Asked:
    """What each call asks: all its messages but the leading system text, within its scope."""
    contents = prompts.contents
    plain = {number: "\n".join(message_texts(msgspec.json.decode(text))) for number, text in contents.texts.items()}
    heads: dict[tuple[object, ...], int] = {}
    known: dict[tuple[int, tuple[int, ...]], int] = {}
    text = np.full(len(prompts), -1, np.int32)
    scope: list[int] = []
    found: list[str] = []
    for call in range(len(prompts)):
        ids = prompts.ids[prompts.offsets[call] : prompts.offsets[call + 1]].tolist()
        head = tuple(number for number in ids if contents.kind[number] in _HEAD)
        body = tuple(number for number in ids if contents.kind[number] not in _HEAD)
        if not body or any(number not in plain for number in body):
            continue
        place = heads.setdefault((int(traffic.model[call]), int(traffic.task[call]), head), len(heads))
        number = known.setdefault((place, body), len(known))
        if number == len(found):
            found.append("\n".join(plain[one] for one in body))
            scope.append(place)
        text[call] = number
    return Asked(text, np.array(scope, np.int32), tuple(found))


def by_words(asked: Asked, least: float) -> Neighbours:
    """Neighbours of at least `least` by MinHash over word triples (rensa)."""
    from rensa import RMinHash

    from replay.kernels.common import minhash_neighbours

    count = len(asked.questions)
    if not count:
        return _listed(np.empty(0, np.int32), np.empty(0, np.int32), np.empty(0, np.int16), 0)
    rows = RMinHash.digests_from_token_sets([shingles(one) for one in asked.questions], PERMUTATIONS, SEED)
    digests = np.array(rows, np.uint32).reshape(count, PERMUTATIONS)
    need, bands = int(np.ceil(least * PERMUTATIONS)), PERMUTATIONS // BAND
    room = 4 * count + 1000
    while True:
        left, right = np.empty(room, np.int32), np.empty(room, np.int32)
        equal = np.empty(room, np.int16)
        heads = np.full((bands, 1 << int(2 * count).bit_length()), -1, np.int32)
        links = np.empty((bands, count), np.int32)
        found = minhash_neighbours.pairs(digests, asked.scope, BAND, need, heads, links, left, right, equal)
        if found <= room:
            similarity = equal[:found].astype(np.int64) * SCALE // PERMUTATIONS
            return _listed(left[:found], right[:found], similarity.astype(np.int16), count)
        room = found


def by_vectors(asked: Asked, vectors: Float32, least: float, *, block: int = 512) -> Neighbours:
    """Neighbours of at least `least` by the cosine of `vectors` (questions x dimensions): exact, in blocks.

    Raises InputError for a scope of more than 100,000 questions.
    """
    vectors = np.asarray(vectors, np.float32)
    length = np.linalg.norm(vectors, axis=1, keepdims=True)
    unit = vectors / np.where(length > 0, length, 1)
    lefts, rights, values = [], [], []
    for scope in np.unique(asked.scope):
        mine = np.flatnonzero(asked.scope == scope)
        if len(mine) > LARGEST_SCOPE:
            raise InputError(
                f"{len(mine):,} distinct questions share one model, task and system prompt; exact search takes 100,000",
                remedy="Replay fewer days with --since, or leave out the vectors to compare words.",
            )
        for at in range(0, len(mine), block):
            rows = mine[at : at + block]
            earlier = mine[: at + len(rows)]
            cosine = unit[rows] @ unit[earlier].T
            row, column = np.nonzero((cosine >= least) & (earlier[None, :] < rows[:, None]))
            lefts.append(earlier[column])
            rights.append(rows[row])
            values.append(np.minimum(np.floor(cosine[row, column].astype(np.float64) * SCALE), SCALE))
    joined = [np.concatenate(part) if part else np.empty(0) for part in (lefts, rights, values)]
    return _listed(
        joined[0].astype(np.int32), joined[1].astype(np.int32), joined[2].astype(np.int16), len(asked.questions)
    )


def embed(texts: Sequence[str], *, model: str, base_url: str, api_key: str = "none", batch: int = 256) -> Float32:
    """Vectors of texts from an OpenAI-compatible embeddings endpoint. The texts leave this machine."""
    from openai import OpenAI, OpenAIError

    client = OpenAI(base_url=base_url, api_key=api_key)
    rows: list[list[float]] = []
    try:
        for at in range(0, len(texts), batch):
            answer = client.embeddings.create(model=model, input=list(texts[at : at + batch]), encoding_format="float")
            rows += [one.embedding for one in sorted(answer.data, key=lambda one: one.index)]
    except OpenAIError as error:
        raise InputError(
            f"the embeddings endpoint {base_url} failed: {error}", remedy="Check the URL and the key."
        ) from error
    return np.array(rows, np.float32)


def measure(
    traffic: Traffic,
    *,
    thresholds: Sequence[float] = THRESHOLDS,
    vectors: Float32 | None = None,
    ttl_ms: int | None = None,
    confidence: float = 0.95,
) -> list[Threshold]:
    """One row per threshold, rising, and last the exact question (1.0). `vectors` belong to `questions` in order."""
    prompts = load_prompts(traffic, texts=True)
    asked = questions(traffic, prompts)
    least = min(thresholds)
    near = by_words(asked, least) if vectors is None else by_vectors(asked, vectors, least)
    asks = demand(traffic)
    answers = _answers(traffic, asks)
    return [_at(threshold, asked, near, asks, answers, ttl_ms, confidence) for threshold in (*sorted(thresholds), 1.0)]


def choose(rows: Sequence[Threshold], target: float) -> Threshold | None:
    """The lowest threshold whose false-hit rate is surely at most `target`: the upper bound keeps it, and all above."""
    chosen = None
    for row in sorted(rows, key=lambda one: -one.threshold):
        if row.high is None or row.high > target:
            break
        chosen = row
    return chosen


def _at(
    threshold: float,
    asked: Asked,
    near: Neighbours,
    asks: Demand,
    answers: dict[int, str],
    ttl_ms: int | None,
    confidence: float,
) -> Threshold:
    from replay.kernels.common import minhash_neighbours

    served = np.empty(len(asks), np.int64)
    minhash_neighbours.serve(
        asked.text,
        asks.requests.start_ms,
        asks.requests.storable,
        asks.requests.lookup,
        near.offsets,
        near.near,
        near.similarity,
        SCALE + 1 if threshold >= 1 else int(np.ceil(threshold * SCALE)),
        -1 if ttl_ms is None else ttl_ms,
        np.full(len(asked.questions), -1, np.int64),
        served,
    )
    hit = np.flatnonzero((served >= 0) & asks.window)
    compared = wrong = 0
    memo: dict[tuple[int, int], bool] = {}
    times: Counter[tuple[int, int]] = Counter()
    for call in hit.tolist():
        pair = (int(asks.output[served[call]]), int(asks.output[call]))
        if pair[0] not in answers or pair[1] not in answers:
            continue
        if pair not in memo:
            memo[pair] = pair[0] == pair[1] or agree(answers[pair[0]], answers[pair[1]])
        times[pair] += 1
        compared += 1
        wrong += not memo[pair]
    # the same two answers compared again say nothing new: Kish's number of different pairs
    different = compared**2 / sum(count * count for count in times.values()) if times else 0.0
    low, high = interval(wrong, compared, confidence, different)
    return Threshold(
        threshold=threshold,
        asked=int((asks.window & asks.requests.lookup & (asked.text >= 0)).sum()),
        hits=len(hit),
        exact=int((asked.text[hit] == asked.text[served[hit]]).sum()),
        saved=int(asks.worth[hit].sum()),
        compared=compared,
        wrong=wrong,
        low=low,
        high=high,
    )


def agree(served: str, logged: str) -> bool:
    """Whether two answers say the same, as far as words can tell.

    Equal words do. Answers of up to five words are labels and must be equal. Longer ones must hold the same numbers and
    share 80 % of their words (Dice).
    """
    left, right = _WORD.findall(served.casefold()), _WORD.findall(logged.casefold())
    if left == right:
        return True
    if min(len(left), len(right)) <= 5 or sorted(_NUMBER.findall(served)) != sorted(_NUMBER.findall(logged)):
        return False
    common = set(left) & set(right)
    return 2 * len(common) >= AGREE * (len(set(left)) + len(set(right)))


def interval(
    wrong: int, compared: int, confidence: float, effective: float | None = None
) -> tuple[float | None, float | None]:
    """Wilson's interval for a share seen in `effective` independent comparisons; None where nothing was compared."""
    if not compared:
        return None, None
    return wilson(wrong / compared, effective or compared, NormalDist().inv_cdf(0.5 + confidence / 2))


def shingles(text: str) -> list[str]:
    """Word triples in lower case; the words themselves where there are fewer than three."""
    words = _WORD.findall(text.casefold())
    if len(words) < 3:
        return words or [text]
    return [" ".join(words[at : at + 3]) for at in range(len(words) - 2)]


def _listed(left: Int32, right: Int32, similarity: Int16, count: int) -> Neighbours:
    """Pairs as lists in both directions, each text first among its own (above every threshold)."""
    own = np.arange(count, dtype=np.int32)
    source = np.concatenate([own, left, right])
    target = np.concatenate([own, right, left])
    value = np.concatenate([np.full(count, SCALE + 1, np.int16), similarity, similarity])
    order = np.lexsort((target, source))
    offsets = np.concatenate([[0], np.cumsum(np.bincount(source, minlength=count))]).astype(np.int64)
    return Neighbours(offsets, target[order], value[order])


def _answers(traffic: Traffic, asks: Demand) -> dict[int, str]:
    """The text of each logged answer, by content number."""
    wanted = np.unique(asks.output[asks.output >= 0])
    if not len(wanted):
        return {}
    with traffic.store.read() as con:
        rows = con.execute(
            "SELECT content_id, text FROM contents WHERE kind = 'output' AND text IS NOT NULL ORDER BY content_id"
        ).fetchall()
    keep = set(wanted.tolist())
    return {number: _answer(text) for number, text in rows if number in keep}


def _answer(text: str) -> str:
    value = msgspec.json.decode(text)
    parts = list(message_texts(value))
    if isinstance(value, dict) and value.get("tool_calls"):
        parts.append(msgspec.json.encode(value["tool_calls"]).decode())
    return "\n".join(parts) or text
