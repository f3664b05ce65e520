"""Compressed prompts, and what the compression really saves: measured by tokenising every changed text again.

A call whose texts are not in the store is estimated by the ratio measured on the calls of its agent and task that do
have text, at least 30 of them, with a standard error; with fewer, nothing is claimed for it and a limit line says so.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Final

import numpy as np
import polars as pl
from numpy.typing import NDArray

from analysis import formatting
from analysis.pricing.model_info import model_info
from replay import compressors
from replay.stages import rule_evaluation
from replay.stages.answer_shapes import Shapes, shapes
from replay.traffic.largest_groups import largest
from replay.traffic.prompt_rewriting import Requests, changed_requests, finish, sums
from replay.traffic.prompts import KINDS, Int64, Prompts

if TYPE_CHECKING:
    from replay.strategy.schema import Compressor
    from replay.traffic.traffic import Traffic

Bools = NDArray[np.bool_]
Floats = NDArray[np.float64]

MIN_MEASURED: Final = 30
MOST_NAMED: Final = 20  # groups of agent and task of which no saving is claimed, by name
Z90: Final = 1.6448536269514722  # two-sided 90 % of the normal distribution
DEFAULT_ENCODING: Final = "o200k_base"  # within 1-6 % of the tokenizers that are not public (research, 2026-10)
_TOOLS = KINDS.index("tools")
_MESSAGES = tuple(number for number, kind in enumerate(KINDS) if kind != "tools")


@dataclass(frozen=True)
class Calls:
    """What compression needs to know of each call. `group` is a dense code of (agent, task)."""

    group: Int64
    encoding: NDArray[np.int8]  # index into `encodings`
    encodings: tuple[str, ...]
    input_tokens: Int64  # as logged; negative where unknown
    frame: Callable[[Sequence[str]], pl.DataFrame]  # the columns that rules may see, one row a call
    group_names: tuple[str, ...] = ()
    output_tokens: Int64 | None = None  # as logged; negative where unknown; None where answers are not known yet
    held: Bools | None = None  # calls that no strategy rewrites


def calls_of(traffic: Traffic) -> Calls:
    """The facts of logged calls."""
    tasks = len(traffic.tasks)
    pairs, group = np.unique(traffic.agent.astype(np.int64) * tasks + traffic.task, return_inverse=True)
    names = [
        f"{traffic.agents[pair // tasks] or '?'} / {traffic.tasks[pair % tasks] or '?'}" for pair in pairs.tolist()
    ]
    of_model = [model_info(provider, model).encoding or DEFAULT_ENCODING for provider, model in traffic.models]
    encodings = tuple(sorted(set(of_model))) or (DEFAULT_ENCODING,)
    codes = np.array([encodings.index(name) for name in of_model] or [0], np.int8)
    return Calls(
        group=group.astype(np.int64),
        encoding=codes[traffic.model],
        encodings=encodings,
        input_tokens=traffic.tokens("input"),
        frame=traffic.rule_frame,
        group_names=tuple(names),
        output_tokens=traffic.tokens("output"),
        held=traffic.side,
    )


@dataclass(frozen=True)
class Summary:
    """Tokens that a summarising call reads and writes, per logged call; 0 where none is made."""

    read: Int64
    written: Int64


@dataclass(frozen=True)
class Unclaimed:
    """Calls of which nothing can be said: they have no text, and their group has too few calls that have."""

    calls: Int64
    group: Int64  # of each of these calls
    seen: Int64  # calls of each group that were measured
    names: tuple[str, ...]  # of the groups: agent / task

    def limits(self, inside: Bools) -> Iterator[str]:
        """A line for each of the largest groups, and one for all others."""
        group = self.group[inside[self.calls]]
        kept, place = largest(group, np.ones(len(group)), MOST_NAMED)
        left = np.bincount(place, minlength=len(kept) + 1)
        for number, count in zip(kept.tolist(), left.tolist(), strict=False):
            if count:
                name = self.names[number] if self.names else f"group {number}"
                yield (
                    f"compression of {formatting.count(count, 'call')} of {name}: no text, and only"
                    f" {formatting.count(int(self.seen[number]), 'call')} with text to measure on; no saving is claimed"
                    " for them"
                )
        if left[-1]:
            others = len(np.unique(group[place == len(kept)]))
            yield (
                f"compression of {formatting.count(int(left[-1]), 'call')} of {others:,} smaller agents and tasks: no"
                " text, and too few calls with text to measure on; no saving is claimed for them"
            )


@dataclass(frozen=True)
class Compressed:
    """Compressed requests. `prompts` holds them; the arrays have one element per call.

    `input_token_delta` and `words_delta` are negative where something was saved. `lossy`: a lossy compressor changed
    the call, or may have where its text is unknown. `measured`: the delta was counted, not estimated.
    `delta_error` is the standard error of an estimated delta; within a group of calls the errors are one and the same,
    so they add up linearly. `prefix_stable`: no compressor at work moves a conversation's prefix.
    """

    prompts: Prompts
    input_token_delta: Int64
    words_delta: Int64
    lossy: Bools
    measured: Bools
    delta_error: Floats
    prefix_stable: bool
    changed_texts: int
    unclaimed: Unclaimed | None = None
    summary: Summary | None = None  # the model calls that write what stands in for the older part of a conversation
    answer_ratio: Floats | None = None  # output tokens after an output hint over those logged
    answers: tuple[Shapes, ...] = ()  # where these ratios come from

    def delta(self, bound: str = "mid") -> Int64:
        """The token delta; `low` and `high` are the ends of its 90 % interval: the cheaper and the dearer one."""
        sign = {"low": -1.0, "mid": 0.0, "high": 1.0}[bound]
        if sign == 0.0 or not self.delta_error.any():
            return self.input_token_delta
        return np.rint(self.input_token_delta + sign * Z90 * self.delta_error).astype(np.int64)

    def limits(self, inside: Bools) -> Iterator[str]:
        """What compression assumes or leaves out for the calls of `inside`."""
        for shaped in self.answers:
            yield from shaped.limits(inside)
        estimated = int((inside & (self.delta_error > 0)).sum())
        if estimated:
            calls = formatting.count(estimated, "call")
            yield f"compression of {calls} without text is estimated from the calls with text"
        if self.unclaimed is not None:
            yield from self.unclaimed.limits(inside)


@dataclass
class _Touched:
    """What the compressors selected and changed, call by call."""

    selected: Bools  # by any compressor
    wanted: Bools  # by one that needs text
    lossy_wanted: Bools  # by a lossy one that needs text
    lossy: Bools  # changed by a lossy one


def compress(prompts: Prompts, spec: Sequence[Compressor], traffic: Traffic | Calls) -> Compressed:
    """Run the compressors of a strategy in the order of the file."""
    n = len(prompts)
    calls = traffic if isinstance(traffic, Calls) else calls_of(traffic)
    requests = Requests(prompts)
    touched = _Touched(*(np.zeros(n, bool) for _ in range(4)))
    answer: Floats | None = None
    answers: list[Shapes] = []
    stable = True
    summary: Summary | None = None
    for part in spec:
        found = compressors.find(part.name)
        parameters = {**found.parameters, **part.parameters}
        chosen = _selected(part, calls, n)
        if found.level == "answer":
            shaped = _shapes(calls, chosen, found.apply(1.0, **parameters))
            answer = shaped.ratio if answer is None else answer * shaped.ratio
            answers.append(shaped)
            touched.lossy |= chosen & (shaped.ratio != 1)
            continue
        before = (requests.offsets, requests.ids)
        requests.selected = chosen
        _run(requests, found, parameters)
        changed = changed_requests(before, (requests.offsets, requests.ids))
        if found.writes is not None:
            summary = _summary(prompts, calls, before, requests, changed, parameters[found.writes], summary)
        stable &= found.prefix_stable
        touched.selected |= chosen
        if found.needs_text:
            touched.wanted |= chosen
            touched.lossy_wanted |= chosen & (not found.lossless)
        if not found.lossless:
            touched.lossy |= changed
    after, new_texts = finish(prompts, requests, calls.encoding, calls.encodings)
    measured = _measure(prompts, after, calls, touched, stable, new_texts, answer)
    return replace(measured, summary=summary, answers=tuple(answers))


def _shapes(calls: Calls, chosen: Bools, stated: float) -> Shapes:
    """How much shorter the answers of the chosen calls become."""
    frame = calls.frame(["model", "response_format"])
    if calls.output_tokens is None or "response_format" not in frame.columns:
        none = np.zeros(len(chosen), bool)
        return Shapes(np.where(chosen, stated, 1.0), none, chosen, none)
    models = frame["model"].cast(pl.String).fill_null("").rank("dense").cast(pl.Int64).to_numpy()
    kind = np.unique(np.column_stack([calls.group, models]), axis=0, return_inverse=True)[1].reshape(-1)
    format = frame["response_format"].cast(pl.String).fill_null("text").to_numpy()
    return shapes(kind.astype(np.int64), format, calls.output_tokens, chosen, stated)


def _summary(
    prompts: Prompts,
    calls: Calls,
    before: tuple[Int64, NDArray[np.int32]],
    after: Requests,
    changed: Bools,
    tokens: int,
    earlier: Summary | None,
) -> Summary:
    """The calls that summarise what went from the `changed` requests. Texts that replay made itself count nothing."""
    gone = np.zeros(len(changed), np.int64)
    for code, encoding in enumerate(calls.encodings):
        mine = calls.encoding == code
        if encoding not in prompts.contents.tokens or not mine.any():
            continue
        known = np.maximum(prompts.contents.tokens[encoding].astype(np.int64), 0)
        lengths = []
        for offsets, ids in (before, (after.offsets, after.ids)):
            held = np.where(ids < len(known), known[np.minimum(ids, len(known) - 1)], 0)
            total = np.concatenate([[0], np.cumsum(held)])
            lengths.append(total[offsets[1:]] - total[offsets[:-1]])
        gone[mine] = (lengths[0] - lengths[1])[mine]
    made = changed & (gone > 0)
    read, written = np.where(made, gone, 0), np.where(made, tokens, 0)
    return Summary(read, written) if earlier is None else Summary(earlier.read + read, earlier.written + written)


def _run(requests: Requests, found: compressors.Compressor, parameters: dict[str, Any]) -> None:
    if found.level == "request":
        found.apply(requests, **parameters)
    else:
        kinds = (_TOOLS,) if found.level == "tools" else _MESSAGES
        requests.map_contents(kinds, lambda message: found.apply(message, **parameters))
    if found.beside is not None:
        found.beside(requests, **parameters)


def _selected(part: Compressor, calls: Calls, n: int) -> Bools:
    chosen = np.ones(n, bool)
    if part.match or part.when:
        chosen = rule_evaluation.selected(part, calls.frame(rule_evaluation.columns_of([part])))
    return chosen if calls.held is None else chosen & ~calls.held


# -- measuring ---------------------------------------------------------------------------------------------------------


def _measure(
    before: Prompts,
    after: Prompts,
    calls: Calls,
    touched: _Touched,
    stable: bool,
    new_texts: int,
    answer: Floats | None,
) -> Compressed:
    n = len(before)
    delta = np.zeros(n, np.int64)
    counted = np.zeros(n, bool)
    changed = changed_requests((before.offsets, before.ids), (after.offsets, after.ids))
    for code, encoding in enumerate(calls.encodings):
        mine = calls.encoding == code
        if encoding not in before.contents.tokens or not mine.any():
            continue
        old, old_unknown = sums(before, before.contents.tokens[encoding])
        new, new_unknown = sums(after, after.contents.tokens[encoding])
        # contents without a count cancel as long as the same ones are still there
        sure = mine & (old_unknown == new_unknown)
        delta[sure] = (new - old)[sure]
        counted |= sure
    has_text = np.zeros(len(before.contents), np.int8)
    has_text[list(before.contents.texts)] = 1
    _, textless = sums(before, has_text.astype(np.int64) - 1)
    blind = touched.wanted & ((textless > 0) | (np.diff(before.offsets) == 0))
    measured = (counted | ~changed) & ~blind
    words_old, _ = sums(before, before.contents.words)
    words_new, _ = sums(after, after.contents.words)
    words = np.where(measured, words_new - words_old, 0)
    lossy = touched.lossy | (blind & touched.lossy_wanted)
    known_input = calls.input_tokens >= 0
    delta = np.where(measured & known_input, np.maximum(delta, -calls.input_tokens), 0)
    error = np.zeros(n)
    unclaimed = _estimate(calls, measured, known_input, delta, words, error, lossy, touched)
    return Compressed(after, delta, words, lossy, measured, error, stable, new_texts, unclaimed, answer_ratio=answer)


def _estimate(
    calls: Calls,
    measured: Bools,
    known_input: Bools,
    delta: Int64,
    words: Int64,
    error: Floats,
    lossy: Bools,
    touched: _Touched,
) -> Unclaimed | None:
    """Fill in the calls that could not be measured, group by group; what cannot be said either is listed."""
    blind = ~measured & known_input
    if not blind.any():
        return None
    telling = measured & known_input & touched.selected
    groups = int(calls.group.max()) + 1
    seen, missing = (np.bincount(calls.group[which], minlength=groups) for which in (telling, blind))
    order = np.argsort(calls.group, kind="stable")
    ends = np.cumsum(np.bincount(calls.group, minlength=groups))
    for group in np.flatnonzero((seen >= MIN_MEASURED) & (missing > 0)).tolist():
        mine = order[ends[group - 1] if group else 0 : ends[group]]
        sample, rest = mine[telling[mine]], mine[blind[mine]]
        count = len(sample)
        size = calls.input_tokens[sample].astype(np.float64)
        saved = delta[sample].astype(np.float64)
        ratio = saved.sum() / size.sum() if size.sum() else 0.0
        # the ratio estimator's variance (Cochran, Sampling Techniques, 1977, 6.4)
        spread = float(((saved - ratio * size) ** 2).sum()) / (count - 1)
        standard = float(np.sqrt(spread / count) / size.mean()) if size.sum() else 0.0
        delta[rest] = np.rint(ratio * calls.input_tokens[rest]).astype(np.int64)
        words[rest] = np.rint(words[sample].sum() / size.sum() * calls.input_tokens[rest]).astype(np.int64)
        error[rest] = standard * calls.input_tokens[rest]
        if not lossy[sample].any():
            lossy[rest] = False
    without = np.flatnonzero(blind & (seen < MIN_MEASURED)[calls.group])
    return Unclaimed(without, calls.group[without], seen, calls.group_names) if len(without) else None
