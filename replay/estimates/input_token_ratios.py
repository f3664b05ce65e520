"""How many input tokens another model counts for the same prompt: learned from the log, counted, or assumed.

Vendors do not count alike: their tokenizers differ, and more so what they add for tools (measured: the same call with
tools is 174 tokens at one provider and 556 at another). Where the log has calls of both models whose usage is reported
and whose texts are kept, each model's tokens per o200k token are taken from them, apart for prompts with and without
tools, and the two ratios divided; the middle nine tenths of the target's calls are the band. Else, where both
tokenizers are public, the prompts are counted under both. Else the logged count is assumed to stay, within a band.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from functools import cached_property
from typing import Final

import duckdb
import numpy as np
from numpy.typing import NDArray

from analysis.ledger.token_estimates import DEFAULT_FACTORS, DEFAULT_SPREAD
from analysis.pricing.model_info import counts_alike, model_info
from ingest.contents.tokenizer import count_content
from replay.traffic.prompts import Prompts
from replay.traffic.traffic import Bool, Int32, Int64, Traffic

Floats = NDArray[np.float64]
Pair = tuple[str | None, str | None]  # provider, model

LEAST: Final = 30  # calls with usage and text that make a ratio
SAMPLE: Final = 200  # calls a ratio is taken from, drawn by hash
REFERENCE: Final = "o200k_base"
TOOLS_BAND: Final = (0.5, 2.0)  # tools are half of an agent's prompt (tau-bench: 47 %), counted up to 3 times apart


@dataclass(frozen=True)
class Counted:
    """Reported input tokens of one model per o200k token of the same texts: over all its calls, and nine tenths' range.

    `own` False: of the provider's other models, where the model itself has too few calls.
    """

    calls: int
    ratio: float
    low: float
    high: float
    own: bool = True


@dataclass(frozen=True)
class Ratio:
    """The target's count over the logged one. `kind`: same, learned, counted or assumed."""

    kind: str
    low: float = 1.0
    mid: float = 1.0
    high: float = 1.0
    calls: int = 0

    def at(self, bound: str) -> float:
        """One end of the band, or its middle."""
        return {"low": self.low, "mid": self.mid, "high": self.high}[bound]


@dataclass(frozen=True)
class InputRatios:
    """Ratios between models, by whether the prompt has tools. Positions are in `models`."""

    models: tuple[Pair, ...]
    learned: Mapping[tuple[int, bool], Counted] = field(default_factory=dict)

    def between(self, source: int, target: int, tools: bool) -> Ratio:
        """What `target` would count for a prompt of `source`."""
        if counts_alike(self.models[source], self.models[target]):
            return Ratio("same")
        before, after = self.learned.get((source, tools)), self.learned.get((target, tools))
        if before is not None and after is not None:
            each = (after.low / before.ratio, after.ratio / before.ratio, after.high / before.ratio)
            return Ratio("learned", *each, min(before.calls, after.calls))
        if all(model_info(*self.models[place]).encoding for place in (source, target)):
            return Ratio("counted")
        return _assumed(self.models[source], self.models[target], tools)


def _assumed(source: Pair, target: Pair, tools: bool) -> Ratio:
    """As logged; the band holds what the two families usually count, and what tools may add."""
    factor = _family(target[1]) / _family(source[1])
    low, high = min(factor, 1.0) * (1 - DEFAULT_SPREAD), max(factor, 1.0) * (1 + DEFAULT_SPREAD)
    if tools:
        low, high = min(low, TOOLS_BAND[0]), max(high, TOOLS_BAND[1])
    return Ratio("assumed", low, 1.0, high)


def _family(model: str | None) -> float:
    name = (model or "").lower()
    return next((value for glob, value in DEFAULT_FACTORS.items() if fnmatchcase(name, glob)), 1.0)


# -- learning ----------------------------------------------------------------------------------------------------------


def learn(traffic: Traffic, models: Sequence[Pair], pairs: Sequence[tuple[int, int]]) -> InputRatios:
    """The ratios that moves between these (source, target) positions need; nothing is read where there are none."""
    models = tuple(models)
    involved = sorted({place for pair in pairs for place in pair})
    if not involved:
        return InputRatios(models)
    providers = {models[place][0] for place in involved}
    logged = [place for place in range(len(traffic.models)) if models[place][0] in providers]
    found: dict[tuple[int, bool], list[float]] = {}
    sums: dict[tuple[int, bool], list[float]] = {}
    with traffic.store.read() as con:
        counts: dict[int, int] = {}
        for place in logged:
            for tools, reported, counted in _sampled(con, traffic, models[place], counts):
                found.setdefault((place, tools), []).append(reported / counted)
                total = sums.setdefault((place, tools), [0.0, 0.0])
                total[0] += reported
                total[1] += counted
    learned = {}
    for place in involved:
        for tools in (False, True):
            mates = [p for p in logged if counts_alike(models[p], models[place])]
            for members, own in (([place], True), (mates, False)):
                ratios = [ratio for p in members for ratio in found.get((p, tools), ())]
                if len(ratios) >= LEAST:
                    parts = [sums[p, tools] for p in members if (p, tools) in sums]
                    whole = sum(part[0] for part in parts) / sum(part[1] for part in parts)
                    low, high = (float(x) for x in np.quantile(ratios, [0.05, 0.95]))
                    learned[place, tools] = Counted(len(ratios), whole, min(low, whole), max(high, whole), own)
                    break
    return InputRatios(models, learned)


def unlike(traffic: Traffic, models: Sequence[Pair], served: Int32) -> list[tuple[int, int]]:
    """The (source, target) pairs that calls move between and that count otherwise."""
    from replay.kernels.common import model_moves as kernel

    width = len(models)
    counts = np.zeros(width * width, np.int64)
    kernel.pairs(traffic.model, served, width, counts)
    pairs = np.flatnonzero(counts).tolist()
    return [(p // width, p % width) for p in pairs if not counts_alike(models[p // width], models[p % width])]


def _sampled(
    con: duckdb.DuckDBPyConnection, traffic: Traffic, model: Pair, counts: dict[int, int]
) -> Iterator[tuple[bool, int, int]]:
    """(has tools, reported input tokens, o200k tokens of its texts) of a model's calls with the smallest hashes."""
    where = f"""{traffic.where} AND provider_name IS NOT DISTINCT FROM $provider AND model IS NOT DISTINCT FROM $model
        AND input_tokens > 0 AND coalesce(tokens_source, 'reported') = 'reported' AND coalesce(status, 'ok') = 'ok'
        AND content_state = 'full' AND len(message_ids) > 0 AND NOT coalesce(has_images, false)"""
    names = {"provider": model[0], "model": model[1]}
    for tools in (False, True):
        rows = con.execute(
            f"SELECT call_no FROM calls WHERE {where} AND {_TOOLS} = {tools} ORDER BY call_key LIMIT {SAMPLE:d}", names
        ).fetchall()
        chosen = [number for (number,) in rows]
        if not chosen:
            continue
        calls = con.execute(
            """SELECT input_tokens, list_append(message_ids, tools_id) FROM calls
               WHERE call_no IN (SELECT unnest($chosen::BIGINT[])) ORDER BY call_no""",
            {"chosen": chosen},
        ).fetchall()
        used = sorted({number for _, ids in calls for number in ids if number is not None} - set(counts))
        counts |= _count(con, used)
        for reported, ids in calls:
            sizes = [counts.get(number) for number in ids if number is not None]
            if sizes and None not in sizes and sum(size for size in sizes if size) > 0:
                yield tools, int(reported), sum(size for size in sizes if size is not None)


_TOOLS: Final = "(coalesce(tool_count, 0) > 0 OR tools_id IS NOT NULL)"


def _count(con: duckdb.DuckDBPyConnection, numbers: Sequence[int]) -> dict[int, int]:
    """o200k tokens of contents that have a text: as counted at ingest, else counted now."""
    rows = con.execute(
        f"""SELECT c.content_id, c.kind, t.tokens, CASE WHEN t.tokens IS NULL THEN c.text END
            FROM contents c LEFT JOIN content_tokens t ON t.content_id = c.content_id AND t.encoding = '{REFERENCE}'
            WHERE c.content_id IN (SELECT unnest($ids::INTEGER[])) ORDER BY 1""",
        {"ids": list(numbers)},
    ).fetchall()
    return {
        number: tokens if tokens is not None else count_content(text, kind, REFERENCE)
        for number, kind, tokens, text in rows
        if tokens is not None or text is not None
    }


# -- applying ----------------------------------------------------------------------------------------------------------


@dataclass
class InputStage:
    """The input tokens of routed calls in the serving model's count.

    `targets` are the positions of the models that rules name, `routed` gives the routing whose moves need ratios, and
    `once` keeps what several strategies over one traffic share.
    """

    traffic: Traffic
    models: tuple[Pair, ...]
    targets: tuple[int, ...]
    routed: Callable[[], Int32]
    once: Callable[[object, Callable[[], InputRatios]], InputRatios]
    told: InputRatios | None = None  # of the whole log, where the traffic is a part of it

    @cached_property
    def counts_differ(self) -> bool:
        """Whether any call could move to a model that counts otherwise: by the names alone."""
        return any(not counts_alike(pair, self.models[place]) for pair in self.traffic.models for place in self.targets)

    @cached_property
    def ratios(self) -> InputRatios:
        """Learned once for all strategies whose calls move between the same models."""
        if self.told is not None:
            return self.told
        pairs = unlike(self.traffic, self.models, self.routed())
        key = ("input ratios", self.models, *pairs)
        return self.once(key, lambda: learn(self.traffic, self.models, pairs))

    @cached_property
    def banded(self) -> bool:
        """Whether the low and the high end differ."""
        if not self.counts_differ:
            return False
        return any(ratio.low != ratio.high for *_, ratio in moves(self.ratios, self.traffic, self.routed()))

    @cached_property
    def counts_prompts(self) -> bool:
        """Whether prompts are counted under the tokenizers of both models, for some call that moves."""
        return self.counts_differ and any(
            ratio.kind == "counted" for *_, ratio in moves(self.ratios, self.traffic, self.routed())
        )

    def tokens(self, logged: Int64, served: Int32, prompts: Callable[[], Prompts], bound: str) -> Int64:
        """`logged` input tokens, of the logged model, as `served` counts them; texts are read only where needed."""
        if not self.counts_differ:
            return logged
        counted = any(ratio.kind == "counted" for *_, ratio in moves(self.ratios, self.traffic, served))
        return input_tokens(self.ratios, self.traffic, served, logged, prompts() if counted else None, bound)


def moves(ratios: InputRatios, traffic: Traffic, served: Int32) -> Iterator[tuple[int, int, bool, Ratio]]:
    """(source, target, with tools, ratio) of the groups of calls that move between unlike models."""
    for source, target in unlike(traffic, ratios.models, served):
        mine = (traffic.model == source) & (served == target)
        tools = has_tools(traffic)[mine]
        for value in (False, True):
            if bool((tools == value).any()):
                yield source, target, value, ratios.between(source, target, value)


def has_tools(traffic: Traffic) -> Bool:
    """Calls whose request carried tools, as far as the log says."""
    return (traffic.rule_frame(["tool_count"])["tool_count"].fill_null(0) > 0).to_numpy()


def input_tokens(
    ratios: InputRatios, traffic: Traffic, served: Int32, logged: Int64, prompts: Prompts | None, bound: str
) -> Int64:
    """`logged` input tokens, of the logged model, in the serving model's count."""
    result: Int64 | None = None
    for source, target, tools, ratio in moves(ratios, traffic, served):
        chosen = (traffic.model == source) & (served == target) & (has_tools(traffic) == tools) & (logged >= 0)
        result = logged.copy() if result is None else result
        if ratio.kind == "counted":
            before, after = (str(model_info(*ratios.models[place]).encoding) for place in (source, target))
            if prompts is None or not {before, after} <= set(prompts.contents.tokens):
                continue
            old, new = _of_prompts(prompts, before), _of_prompts(prompts, after)
            known = chosen & (old > 0) & (new > 0)
            result[known] = np.rint(logged[known] * (new[known] / old[known])).astype(np.int64)
        elif ratio.at(bound) != 1.0:
            result[chosen] = np.rint(logged[chosen] * ratio.at(bound)).astype(np.int64)
    return logged if result is None else result


def _of_prompts(prompts: Prompts, encoding: str) -> Int64:
    """Tokens of each prompt's texts; -1 where one of them is not counted under `encoding`."""
    tokens = prompts.contents.tokens[encoding].astype(np.int64)[prompts.ids]
    running = np.concatenate([[0], np.cumsum(np.maximum(tokens, 0))])
    missing = np.concatenate([[0], np.cumsum(tokens < 0)])
    total = running[prompts.offsets[1:]] - running[prompts.offsets[:-1]]
    return np.where(missing[prompts.offsets[1:]] > missing[prompts.offsets[:-1]], -1, total)
