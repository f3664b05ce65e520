"""Ask another model a sample of the logged questions, under a budget that is never exceeded, and score its answers.

The sample is stratified by (agent, task). Before every call its worst case is reserved: it is made only if the budget
bears it. Answers are judged blind, in both orders, and stored as paired scores of the logged and the other model.
"""

from __future__ import annotations

import random
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

import msgspec
import numpy as np
from numpy.typing import NDArray

from analysis import pricing
from analysis.models import model_info
from analysis.money import dollars
from analysis.present import usd
from ingest import tokens as tokenizer
from ingest.errors import InputError
from ingest.store import Store
from replay import judge, sampling
from replay.journal import Journal
from replay.message_text import texts

Int64 = NDArray[np.int64]

SOURCE = "shadow"
MARGIN = 1.10  # of input tokens, over what the local tokenizer counts; other vendors' count up to 14 % more
FRAME = 64
PATIENCE = 5  # attempts per call
STATUSES = (408, 409, 429, 500, 502, 503, 504, 529)


class Client(Protocol):
    """The part of `openai.OpenAI` that is used."""

    chat: Any


@dataclass(frozen=True)
class Question:
    """One logged call that can be asked again: its messages and the answer it got."""

    call_no: int
    stratum: int
    model: str
    messages: list[dict[str, Any]]
    answer: str
    output_tokens: int


@dataclass(frozen=True)
class Plan:
    """What a run would do, and what it could cost. Money in pico-dollars."""

    model: str
    judge: str | None
    questions: tuple[Question, ...]
    population: Int64  # stratum of every call that could have been drawn
    strata: tuple[str, ...]
    skipped: int  # calls without text, or with content that cannot be sent again
    expected: int
    most: int
    prices: Prices
    seed: int

    def identity(self) -> dict[str, Any]:
        """What a journal must agree on to be resumed."""
        return {
            "model": self.model,
            "judge": self.judge,
            "calls": [question.call_no for question in self.questions],
            "seed": self.seed,
        }


@dataclass(frozen=True)
class Result:
    """What a run found. `candidate` and `logged` are intervals of the mean score over all calls it speaks for."""

    plan: Plan
    answered: int
    judged: int
    lost: int  # begun and never finished: counted as paid, not asked again
    failed: int
    spent: int
    stopped: str | None
    candidate: sampling.Interval | None
    logged: sampling.Interval | None
    length_ratio: float | None

    def to_json(self) -> dict[str, Any]:
        def interval(found: sampling.Interval | None) -> dict[str, Any] | None:
            return None if found is None else {"mean": found.mean, "low": found.low, "high": found.high, "n": found.n}

        return {
            "model": self.plan.model,
            "judge": self.plan.judge,
            "asked": len(self.plan.questions),
            "answered": self.answered,
            "judged": self.judged,
            "lost": self.lost,
            "failed": self.failed,
            "skipped_calls": self.plan.skipped,
            "spent_usd": usd(dollars(self.spent)),
            "stopped": self.stopped,
            "candidate": interval(self.candidate),
            "logged": interval(self.logged),
            "output_ratio": self.length_ratio,
        }


@dataclass(frozen=True)
class Prices:
    """Exact cost of calls to the candidate and the judge, by the price book."""

    rates: pricing.RateTable
    index: dict[str, int]

    @classmethod
    def load(cls, store: Store, models: Sequence[str]) -> Prices:
        """Raises InputError for a model without a price: its cost could not be kept under a budget."""
        with store.read() as con:
            rates = pricing.load_rates(con, [_pair(name) for name in models])
        found = cls(rates, {name: place for place, name in enumerate(models)})
        for name in models:
            if found.cost(name, 1000, 1000) is None:
                raise InputError(
                    f"'{name}' has no price, so no budget can be kept",
                    remedy=f"Set one: hindcast prices set {name} --input USD --output USD",
                )
        return found

    def cost(self, model: str, input_tokens: int, output_tokens: int) -> int | None:
        usage = pricing.Usage(
            model=np.array([self.index[model]], np.int32),
            start_ms=np.array([pricing.NO_TIME], np.int64),
            input=np.array([input_tokens], np.int64),
            output=np.array([output_tokens], np.int64),
        )
        total = int(self.rates.price(usage).total[0])
        return None if total == pricing.UNPRICED else total


def _pair(name: str) -> tuple[str | None, str]:
    provider, slash, model = name.partition("/")
    return (provider, model) if slash else (None, name)


# -- the plan ----------------------------------------------------------------------------------------------------------


def plan(
    store: Store,
    model: str,
    *,
    calls: int = 200,
    judge_model: str | None = None,
    task: str | None = None,
    seed: int = 0,
) -> Plan:
    """Draw the sample and price it. Raises InputError where no call can be asked again."""
    models = [model, *([judge_model] if judge_model and judge_model != model else [])]
    prices = Prices.load(store, models)
    numbers, stratum, names, skipped = _candidates(store, task)
    if not len(numbers):
        raise InputError(
            "no call of this log can be asked again: its messages and its answer must be in the store",
            remedy="Ingest with texts (without --no-text), and check --task.",
        )
    chosen = sampling.draw(stratum, calls, seed)
    questions = tuple(_questions(store, numbers[chosen], stratum[chosen]))
    expected = most = 0
    for question in questions:
        likely, worst = _costs(prices, model, judge_model, question)
        expected += likely
        most += worst
    return Plan(model, judge_model, questions, stratum, names, skipped, expected, most, prices, seed)


def _candidates(store: Store, task: str | None) -> tuple[Int64, Int64, tuple[str, ...], int]:
    """Calls with all texts and no side effects: numbers, strata, names of strata; how many others there are."""
    with store.read() as con:
        rows = con.execute(
            """
            WITH known AS (
                SELECT content_id FROM contents WHERE text IS NOT NULL AND NOT contains(text, '"tool_calls"')
                   AND NOT contains(text, '"image_url"') AND coalesce(role, '') NOT IN ('tool', 'function')
            ), spoken AS (
                SELECT c.call_no FROM (SELECT call_no, unnest(message_ids) AS content_id FROM calls) c
                LEFT JOIN known USING (content_id)
                GROUP BY c.call_no HAVING count(*) = count(known.content_id)
            )
            SELECT call_no, coalesce(agent, '-') || ' / ' || coalesce(task, '-') AS stratum,
                   call_no IN (SELECT call_no FROM spoken) AND tools_id IS NULL
                   AND output_id IN (SELECT content_id FROM known) AND status = 'ok'
                   AND NOT coalesce(pending_tool_calls, false) AND coalesce(output_tokens, 0) > 0 AS usable
            FROM calls WHERE $task IS NULL OR lower(task) = lower($task) ORDER BY call_no""",
            {"task": task},
        ).fetchall()
    usable = [row for row in rows if row[2]]
    names = sorted({row[1] for row in usable})
    place = {name: number for number, name in enumerate(names)}
    return (
        np.array([row[0] for row in usable], np.int64),
        np.array([place[row[1]] for row in usable], np.int64),
        tuple(names),
        len(rows) - len(usable),
    )


def _questions(store: Store, numbers: Int64, stratum: Int64) -> Iterator[Question]:
    with store.read() as con:
        for number, layer in zip(numbers.tolist(), stratum.tolist(), strict=True):
            row = con.execute(
                "SELECT model, output_tokens, message_ids, output_id FROM calls WHERE call_no = ?", [number]
            ).fetchall()[0]
            found = dict(
                con.execute(
                    "SELECT content_id, text FROM contents WHERE content_id IN (SELECT unnest(?::INTEGER[]))",
                    [[*row[2], row[3]]],
                ).fetchall()
            )
            messages = [_plain(msgspec.json.decode(found[content])) for content in row[2]]
            answer = "\n".join(texts(msgspec.json.decode(found[row[3]])))
            yield Question(number, layer, str(row[0]), messages, answer, int(row[1]))


def _plain(message: dict[str, Any]) -> dict[str, Any]:
    """A message as any chat-completions endpoint takes it: a role and a text."""
    role = message.get("role")
    known = role if role in ("system", "user", "assistant", "developer") else "user"
    return {"role": "system" if known == "developer" else known, "content": "\n".join(texts(message))}


def _count(messages: Sequence[dict[str, Any]], model: str) -> int:
    encoding = model_info(*_pair(model)).encoding or "o200k_base"
    return sum(tokenizer.count(str(message["content"]), encoding) + tokenizer.FRAME_TOKENS for message in messages)


def _limit(question: Question) -> int:
    """Room for the answer: twice the logged one, so that length can be measured, and never without end."""
    return max(2 * question.output_tokens, 256)


def _costs(prices: Prices, model: str, judge_model: str | None, question: Question) -> tuple[int, int]:
    """(expected, worst case) of one question with its two judgements."""
    read = _count(question.messages, model)
    likely = _price(prices, model, read, question.output_tokens)
    worst = _price(prices, model, _worst(read), _limit(question))
    if judge_model is not None:
        short = _judge_tokens(question, question.output_tokens, judge_model)
        long = _judge_tokens(question, _limit(question), judge_model)
        likely += 2 * _price(prices, judge_model, short, 12)
        worst += 2 * _price(prices, judge_model, _worst(long), judge.MAX_TOKENS)
    return likely, worst


def _judge_tokens(question: Question, output_tokens: int, judge_model: str) -> int:
    return _count(judge.prompt(_asked(question), question.answer, ""), judge_model) + output_tokens


def _price(prices: Prices, model: str, input_tokens: int, output_tokens: int) -> int:
    cost = prices.cost(model, input_tokens, output_tokens)
    assert cost is not None  # Prices.load has checked it
    return cost


def _worst(tokens: int) -> int:
    return int(tokens * MARGIN) + FRAME


def _asked(question: Question) -> str:
    return "\n\n".join(f"[{message['role']}] {message['content']}" for message in question.messages)


# -- the run -----------------------------------------------------------------------------------------------------------


@dataclass
class _Run:
    """One run in progress. `pause` sleeps; tests give one that does not."""

    plan: Plan
    client: Client
    journal: Journal
    budget: int
    pause: Callable[[float], None]
    rng: random.Random = field(default_factory=lambda: random.Random(0))

    def affordable(self, worst: int) -> bool:
        return self.journal.spent + worst <= self.budget

    def ask(
        self, key: str, model: str, messages: Sequence[dict[str, Any]], most: int, about: dict[str, Any]
    ) -> dict[str, Any] | None:
        """One paid call, journalled. None where it failed for good, which costs nothing, or was begun before."""
        if self.journal.seen(key):
            return self.journal.done.get(key)
        reserved = _price(self.plan.prices, model, _worst(_count(messages, model)), most)
        self.journal.begin(key, reserved)
        try:
            reply = self._send(model, messages, most)
        except InputError:
            self.journal.cancel(key)
            raise
        except TimeoutError:  # it may have been billed: it stays begun, at its worst case
            return None
        if reply is None:
            self.journal.finish(key, 0, failed=True, **about)
            return None
        usage = reply.usage
        if usage is None:  # not told: as much as it can have been
            cost, read, wrote = reserved, None, None
        else:
            read, wrote = int(usage.prompt_tokens), int(usage.completion_tokens)
            cost = _price(self.plan.prices, model, read, wrote)
        text = reply.choices[0].message.content or ""
        self.journal.finish(key, cost, text=text, input_tokens=read, output_tokens=wrote, **about)
        return self.journal.done[key]

    def _send(self, model: str, messages: Sequence[dict[str, Any]], most: int) -> Any:
        """The reply, after polite retries; None where the endpoint refuses this request for good.

        TimeoutError where an answer may have been made and lost; InputError where no request can succeed.
        """
        import openai

        wait: float | None = None
        unreachable: Exception | None = None
        for attempt in range(PATIENCE):
            if attempt:
                self.pause(wait if wait is not None else min(2.0 ** (attempt - 1), 30.0) * self.rng.uniform(0.5, 1.0))
            wait = None
            try:
                return self.client.chat.completions.create(
                    model=model, messages=list(messages), max_tokens=most, temperature=0
                )
            except openai.APIStatusError as error:
                if error.status_code in (401, 403, 404):
                    raise InputError(
                        f"the endpoint refuses: {error.status_code} {_first_line(error)}",
                        remedy="Check --base-url, the model's name and the API key.",
                    ) from error
                if error.status_code not in STATUSES:
                    return None
                wait, unreachable = _retry_after(error), None
            except openai.APIConnectionError as error:
                # by name: the SDK's transport differs between its versions (httpx, httpx2)
                if type(error.__cause__).__name__ not in ("ConnectError", "ConnectTimeout"):
                    raise TimeoutError("sent, and never answered") from error
                unreachable = error
        if unreachable is not None:
            raise InputError(f"the endpoint cannot be reached: {_first_line(unreachable)}", remedy="Check --base-url.")
        return None


def _retry_after(error: Any) -> float | None:
    """Seconds that the endpoint asks to wait, at most a minute."""
    try:
        return min(max(float(error.response.headers.get("retry-after")), 0.0), 60.0)
    except (TypeError, ValueError, AttributeError):
        return None


def _first_line(error: Exception) -> str:
    return (str(error).splitlines() or [""])[0][:200]


def run(
    store: Store,
    chosen: Plan,
    client: Client,
    journal_path: Path,
    *,
    budget: int,
    pause: Callable[[float], None] = time.sleep,
    done: Callable[[int], None] | None = None,
) -> Result:
    """Ask, judge and store, up to `budget` pico-dollars in all, counting what earlier runs of this journal spent."""
    state = _Run(chosen, client, Journal.open(journal_path, chosen.identity()), budget, pause)
    stopped = None
    for question in chosen.questions:
        key = f"answer:{question.call_no}"
        if not state.journal.seen(key):
            worst = _costs(chosen.prices, chosen.model, chosen.judge, question)[1]
            if not state.affordable(worst):
                stopped = "the budget does not bear the next call's worst case"
                break
        about = {"call_no": question.call_no, "logged_output_tokens": question.output_tokens}
        answer = state.ask(key, chosen.model, question.messages, _limit(question), about)
        given = answer is not None and not answer.get("failed") and chosen.judge is not None
        if given and not _judge(state, question, str(answer["text"] if answer else "")):
            stopped = "the budget does not bear the next judgement's worst case"
            break
        if done:
            done(1)
    scored = _scores(chosen, state.journal)
    _store(store, chosen, state.journal, scored)
    return _result(chosen, state, scored, stopped)


def _judge(state: _Run, question: Question, answer: str) -> bool:
    """Both orders of one pair; False where the budget does not bear them."""
    assert state.plan.judge is not None
    for order, pair in (("ab", (question.answer, answer)), ("ba", (answer, question.answer))):
        key = f"judge:{question.call_no}:{order}"
        messages = judge.prompt(_asked(question), *pair)
        if not state.journal.seen(key):
            tokens = _worst(_count(messages, state.plan.judge))
            if not state.affordable(_price(state.plan.prices, state.plan.judge, tokens, judge.MAX_TOKENS)):
                return False
        state.ask(key, state.plan.judge, messages, judge.MAX_TOKENS, {"call_no": question.call_no})
    return True


def _scores(chosen: Plan, journal: Journal) -> dict[int, tuple[float, float]]:
    """By call: (logged, candidate) scores, averaged over the orders in which both could be read."""
    found = {}
    for question in chosen.questions:
        pairs = []
        for order in ("ab", "ba"):
            entry = journal.done.get(f"judge:{question.call_no}:{order}")
            both = judge.verdict(str(entry.get("text", ""))) if entry and not entry.get("failed") else None
            if both is not None:
                pairs.append(both if order == "ab" else both[::-1])
        if len(pairs) == 2:  # one order alone would carry the judge's bias for a place
            found[question.call_no] = (sum(p[0] for p in pairs) / 2, sum(p[1] for p in pairs) / 2)
    return found


def _store(store: Store, chosen: Plan, journal: Journal, scored: dict[int, tuple[float, float]]) -> None:
    """Paired scores and answer lengths; a repeated run replaces its own rows."""
    source = f"{SOURCE}:{chosen.judge}"
    rows = []
    for question in chosen.questions:
        if question.call_no in scored:
            logged, candidate = scored[question.call_no]
            rows += [
                (question.call_no, question.model, logged, source),
                (question.call_no, chosen.model, candidate, source),
            ]
    answers = [
        (entry["call_no"], chosen.model, entry["input_tokens"], entry["output_tokens"])
        for key, entry in sorted(journal.done.items())
        if key.startswith("answer:") and not entry.get("failed") and entry.get("output_tokens") is not None
    ]
    if not rows and not answers:
        return
    with store.write() as con:
        con.execute(
            """CREATE TABLE IF NOT EXISTS shadow_answers (
                   call_no BIGINT, model VARCHAR, input_tokens BIGINT, output_tokens BIGINT)"""
        )
        for number, model, _, name in rows:
            con.execute("DELETE FROM scores WHERE call_no = ? AND model = ? AND source = ?", [number, model, name])
        for number, model, *_ in answers:
            con.execute("DELETE FROM shadow_answers WHERE call_no = ? AND model = ?", [number, model])
        if rows:
            con.executemany("INSERT INTO scores VALUES (?, ?, ?, ?)", rows)
        if answers:
            con.executemany("INSERT INTO shadow_answers VALUES (?, ?, ?, ?)", answers)


def _result(chosen: Plan, state: _Run, scored: dict[int, tuple[float, float]], stopped: str | None) -> Result:
    journal = state.journal
    answers = [e for key, e in journal.done.items() if key.startswith("answer:") and not e.get("failed")]
    known = [e for e in answers if e.get("output_tokens") is not None]
    logged_length = sum(int(e["logged_output_tokens"]) for e in known)
    both = [question for question in chosen.questions if question.call_no in scored]
    stratum = np.array([question.stratum for question in both], np.int64)

    def mean(place: int) -> sampling.Interval | None:
        if not both:
            return None
        values = np.array([scored[question.call_no][place] for question in both])
        return sampling.interval(values, stratum, chosen.population)

    return Result(
        plan=chosen,
        answered=len(answers),
        judged=len(scored),
        lost=len(journal.begun),
        failed=sum(bool(e.get("failed")) for e in journal.done.values()),
        spent=journal.spent,
        stopped=stopped,
        candidate=mean(1),
        logged=mean(0),
        length_ratio=sum(int(e["output_tokens"]) for e in known) / logged_length if logged_length else None,
    )
