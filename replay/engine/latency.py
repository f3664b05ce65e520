"""How long calls and whole conversations would take: from the log's own durations, by model and size.

Of each model the log of a call's duration is a line in the logs of its output and input tokens, fitted on the log's own
calls. A call that moves keeps its place among the calls of its size: its residual, in standard deviations, goes along
to the line of the new model. A call that keeps model and tokens keeps its duration; a hit in our cache takes none;
nobody waits for a batch. A critical path is the sum over a conversation (or trace) of its stretches of overlapping
calls, each as long as its slowest call; moved calls count as often as the model is expected to ask. Intervals draw
units anew by their hash (Poisson bootstrap), the lines with them.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Final, Literal

import numpy as np
from numpy.typing import NDArray

from analysis import formatting
from analysis.price_book.vocabulary import TIERS
from replay.engine.engine import Engine
from replay.engine.latency_load import Load, loads
from replay.engine.latency_sample import SampledCalls, sampled_rows
from replay.outcomes import HIT, MAX_TIERS
from replay.strategy.latency_schema import Latency
from replay.traffic.traffic import Bool, Int32, Int64
from replay.traffic.unit_draws import uniform

Floats = NDArray[np.float64]

LEAST: Final = 30  # timed calls of a model, for a line
DRAWS: Final = 50
NAMED: Final = 3
KNOWN: Final = 0.95  # of the calls must have a known latency, for a quantile to mean all of them
QUANTILES: Final = (("p50", 0.5), ("p95", 0.95))
# of a Poisson variable with mean 1: the chance of at most 0, 1, ... 6
POISSON: Final = np.cumsum(np.exp(-1) / np.array([1, 1, 2, 6, 24, 120, 720]))


@dataclass(frozen=True)
class Quantile:
    """One quantile in milliseconds: as logged, under the strategy with its 90 % interval, and the same of the ratio."""

    name: str
    logged: float
    expected: float
    low: float
    high: float
    ratio_low: float
    ratio_high: float

    def to_json(self) -> dict[str, float | None]:
        return {
            "logged_ms": _plain(self.logged),
            "ms": _plain(self.expected),
            "low_ms": _plain(self.low),
            "high_ms": _plain(self.high),
        }


def _plain(value: float) -> float | None:
    return round(value, 1) if np.isfinite(value) else None


@dataclass(frozen=True)
class LatencyReport:
    """Quantiles of calls and of critical paths; none where too few are known.

    `known` is the share of the calls whose latency is known, `untimed` the models that the log does not time.
    """

    calls: tuple[Quantile, ...]
    paths: tuple[Quantile, ...]
    known: float
    untimed: tuple[str, ...]
    waited_for_nobody: int  # calls of a batch
    spec: Latency | None
    loads: tuple[Load, ...] = ()  # models that would get clearly more calls than logged

    @property
    def verdict(self) -> Literal["passes", "fails", "unknown"] | None:
        """By the interval of the ratio to the logged quantile; None where the file asks for nothing."""
        if self.spec is None:
            return None
        rows = {row.name: row for row in (self.paths if self.spec.per == "path" else self.calls)}
        asked = [(rows.get(name), most) for name in ("p50", "p95") if (most := getattr(self.spec, name)) is not None]
        if any(row is not None and row.ratio_low > most for row, most in asked):
            return "fails"
        if any(load.rises for load in self.loads):
            return "unknown"
        if self.known < KNOWN or any(row is None or not row.ratio_high <= most for row, most in asked):
            return "unknown"
        return "passes"

    def to_json(self) -> dict[str, Any]:
        return {
            "verdict": self.verdict,
            "known_share": round(self.known, 6),
            "untimed_models": list(self.untimed),
            "calls": {row.name: row.to_json() for row in self.calls},
            "critical_paths": {row.name: row.to_json() for row in self.paths},
            "batch_calls": self.waited_for_nobody,
            "loads": [load.to_json() for load in self.loads],
        }


@dataclass
class Durations:
    """The durations of one traffic's calls, as logged and under its strategy, on a sample of whole units."""

    engine: Engine
    told: SampledCalls | None = None  # what the parts of the traffic found; None where it is the one part

    @cached_property
    def _units(self) -> Int64:
        return self.engine.unit_names()

    @cached_property
    def rows(self) -> Int64:
        """The calls looked at, by unit and start."""
        traffic = self.engine.traffic
        rows = sampled_rows(self.engine)
        return rows[np.lexsort((traffic.start_ms[rows], self._units[rows]))]

    @cached_property
    def outcome(self) -> SampledCalls:
        """What became of each of `rows`."""
        found = SampledCalls.of(self.engine) if self.told is None else self.told
        return found.at(self.engine.traffic.call_no[self.rows])

    @cached_property
    def model(self) -> Int32:
        """The model that serves each of `rows`."""
        return self.engine.served(self.engine.everything)[0][self.rows]

    @cached_property
    def logged(self) -> Floats:
        """Milliseconds of each of `rows`; NaN where the log does not time it. What a gateway answered is as logged."""
        traffic = self.engine.traffic
        spent = (traffic.end_ms - traffic.start_ms)[self.rows].astype(np.float64)
        return np.where(spent > 0, spent, np.nan)

    @cached_property
    def inside(self) -> Bool:
        """Calls of the window that somebody may wait for: all but those of a batch."""
        return self.engine.traffic.window[self.rows] & ~self.batched

    @cached_property
    def batched(self) -> Bool:
        """Per call of the window: whether the strategy moved it to a tier that answers within hours."""
        batch = [TIERS.index(name) for name in ("batch", "flex")]
        tier = self.engine.served(self.engine.everything)[1][self.rows]
        return (tier != self.engine.traffic.tier[self.rows]) & np.isin(tier, batch)

    @cached_property
    def _sizes(self) -> tuple[Floats, Floats]:
        """(logged, expected) columns 1, log output and log input tokens of each of `rows`."""
        usage, rows = self.engine.traffic.usage, self.rows
        ones = np.ones(len(rows))

        def columns(output: Int64, read: Int64) -> Floats:
            return np.column_stack([ones, *(np.log1p(np.maximum(one, 0)) for one in (output, read))])

        before = columns(usage.output[rows], usage.input[rows])
        return before, columns(self.outcome.output_tokens, self.outcome.input_tokens)

    def expected(self, weight: Floats) -> Floats:
        """Milliseconds of each of `rows` under the outcome; NaN where they cannot be known. `weight`: of each call."""
        traffic, rows = self.engine.traffic, self.rows
        source, target = traffic.model[rows], self.model
        before, after = self._sizes
        known = np.isfinite(self.logged)
        clock = np.log(np.where(known, self.logged, 1.0))
        lines: dict[int, tuple[Floats, float]] = {}
        for model in np.unique(np.concatenate([source, target])).tolist():
            mine = known & (source == model) & ~traffic.gateway_hit[rows] & (weight > 0)
            if int(mine.sum()) >= LEAST:
                lines[model] = _line(before[mine], clock[mine], weight[mine])
        result = self.logged.copy()
        hits = (self.outcome.codes >= HIT) & (self.outcome.codes < HIT + MAX_TIERS)
        changed = (target != source) | (before != after).any(axis=1)
        for old in np.unique(source[changed]).tolist():
            for new in np.unique(target[changed & (source == old)]).tolist():
                mine = changed & (source == old) & (target == new)
                if new not in lines or old not in lines:
                    result[mine] = np.nan
                    continue
                (was, spread), (now, wide) = lines[old], lines[new]
                rest = (clock[mine] - before[mine] @ was) * (wide / spread if spread > 0 else 1.0)
                result[mine] = np.where(known[mine], np.exp(after[mine] @ now + rest), np.nan)
        result[hits] = 0.0
        return result

    @cached_property
    def _stretches(self) -> tuple[Int64, Int64]:
        """(number of the unit, number of the stretch of overlapping calls) of each of `rows`, both rising."""
        traffic, rows = self.engine.traffic, self.rows
        unit = self._units[rows]
        _, number = np.unique(unit, return_inverse=True)
        start, end = traffic.start_ms[rows], traffic.end_ms[rows]
        # the latest end so far within a unit: units are set apart by more than any time
        apart = number.astype(np.int64) * (int(end.max(initial=0)) - int(start.min(initial=0)) + 1)
        latest = np.maximum.accumulate(end - int(start.min(initial=0)) + apart)
        first = start - int(start.min(initial=0)) + apart
        fresh = np.ones(len(rows), np.bool_)
        fresh[1:] = (number[1:] != number[:-1]) | (first[1:] >= latest[:-1])
        return number.astype(np.int64), np.cumsum(fresh) - 1

    def paths(self, durations: Floats, times: Floats | None = None) -> tuple[Floats, Int64]:
        """(critical path of each unit in ms, the unit's first row). NaN where a call of it is not known."""
        unit, stretch = self._stretches
        if not len(unit):
            return np.zeros(0), np.zeros(0, np.int64)
        mine = np.where(self.batched, 0.0, durations if times is None else durations * times)
        starts = np.flatnonzero(np.diff(stretch, prepend=-1))
        longest = np.maximum.reduceat(mine, starts)
        firsts = np.flatnonzero(np.diff(unit, prepend=-1))
        return np.add.reduceat(longest, np.searchsorted(starts, firsts)), firsts.astype(np.int64)

    @cached_property
    def times(self) -> Floats:
        """How many calls each of `rows` is expected to become."""
        moved = self.engine.moved(self.engine.everything)
        return np.ones(len(self.rows)) if moved is None else moved.calls_of_each()[self.rows]

    def weights(self, stream: int) -> Floats:
        """A Poisson(1) weight of each of `rows`, by the hash of its unit."""
        return np.searchsorted(POISSON, uniform(self._units[self.rows], 1000 + stream)).astype(np.float64)


def _line(columns: Floats, clock: Floats, weight: Floats) -> tuple[Floats, float]:
    """(coefficients, standard deviation of the rest) of a weighted least squares line."""
    root = np.sqrt(weight)[:, None]
    found = np.linalg.lstsq(columns * root, clock * root[:, 0], rcond=None)[0]
    rest = clock - columns @ found
    return np.asarray(found, np.float64), float(np.sqrt((weight * rest**2).sum() / weight.sum()))


def latency(engine: Engine, reach: Mapping[tuple[int, int], int], sampled: SampledCalls | None = None) -> LatencyReport:
    """The latency of a strategy's result beside the logged one, of the window.

    `reach` is of the whole traffic (`replay.engine.latency_load`), as is `sampled` where its parts found it.
    """
    timed = Durations(engine, sampled)
    even = np.ones(len(timed.rows))
    now = timed.expected(even)
    inside = timed.inside
    known = inside & np.isfinite(now) & np.isfinite(timed.logged)
    share = float(known.sum() / inside.sum()) if inside.any() else 0.0
    pathed = timed.paths(timed.logged), timed.paths(now, timed.times)
    firsts = pathed[0][1]
    whole = np.isfinite(pathed[0][0]) & np.isfinite(pathed[1][0]) & engine.traffic.window[timed.rows][firsts]
    seen = engine.traffic.window[timed.rows][firsts]
    if share < KNOWN:
        known[:] = False
    if not seen.any() or whole.sum() < KNOWN * seen.sum():
        whole[:] = False
    draws: dict[str, list[tuple[float, float]]] = {}
    for stream in range(DRAWS if known.any() or whole.any() else 0):
        weight = timed.weights(stream)
        again = timed.expected(weight)
        new_paths = timed.paths(again, timed.times)[0]
        for kind, old, new, chosen, mine in (
            ("calls", timed.logged, again, known, weight),
            ("paths", pathed[0][0], new_paths, whole, weight[firsts]),
        ):
            good = chosen & np.isfinite(new) & (mine > 0)
            for name, part in QUANTILES:
                values = (_quantile(old[good], mine[good], part), _quantile(new[good], mine[good], part))
                draws.setdefault(kind + name, []).append(values)
    return LatencyReport(
        calls=_rows(timed.logged, now, known, draws, "calls"),
        paths=_rows(pathed[0][0], pathed[1][0], whole, draws, "paths"),
        known=share,
        untimed=_untimed(timed, now),
        waited_for_nobody=int((engine.traffic.window[timed.rows] & timed.batched).sum()),
        spec=engine.strategy.latency,
        loads=loads(engine, reach),
    )


def _untimed(timed: Durations, now: Floats) -> tuple[str, ...]:
    """The serving models of the calls that cannot be told."""
    lost = timed.inside & ~np.isfinite(now)
    numbers = np.unique(timed.model[lost]).tolist()
    return tuple(str(timed.engine.models[number][1]) for number in numbers)


def _rows(
    old: Floats, new: Floats, chosen: Bool, draws: dict[str, list[tuple[float, float]]], kind: str
) -> tuple[Quantile, ...]:
    if not chosen.any():
        return ()
    even = np.ones(int(chosen.sum()))
    found = []
    for name, part in QUANTILES:
        drawn = np.array(draws[kind + name])
        drawn = drawn[np.isfinite(drawn).all(axis=1)]
        ratio = drawn[:, 1] / np.maximum(drawn[:, 0], 1e-9)
        low, high = np.quantile(drawn[:, 1], [0.05, 0.95])
        least, most = np.quantile(ratio, [0.05, 0.95])
        logged, expected = (_quantile(side[chosen], even, part) for side in (old, new))
        found.append(Quantile(name, logged, expected, float(low), float(high), float(least), float(most)))
    return tuple(found)


def _quantile(values: Floats, weight: Floats, part: float) -> float:
    """The smallest value with at least `part` of the weight up to it."""
    if not len(values):
        return float("nan")
    order = np.argsort(values, kind="stable")
    running = np.cumsum(weight[order])
    return float(values[order][np.searchsorted(running, part * running[-1])])


def sentence(name: str, report: LatencyReport) -> str | None:
    """One line for people; None where the log times nothing."""
    verdict = f": {report.verdict}" if report.verdict else ""
    if not report.calls:
        if not report.untimed or report.known == 0:
            return None
        lost = f"{formatting.share(1 - report.known)} of the calls go to {', '.join(report.untimed[:3])}"
        return f"Latency of {name} is not known: {lost}, which the log does not time{verdict}"
    parts = [
        f"{row.name} {_s(row.expected)} s ({_s(row.low)}-{_s(row.high)}, logged {_s(row.logged)})"
        for row in report.calls
    ]
    paths = [f"{row.name} {_s(row.expected)} s (logged {_s(row.logged)})" for row in report.paths]
    ways = f"; critical path {', '.join(paths)}" if paths else ""
    rising = f" ({'; '.join(load.words for load in report.loads if load.rises)})"
    crowded = rising if any(load.rises for load in report.loads) else ""
    return f"Latency of {name}: {', '.join(parts)}{ways}{verdict}{crowded}"


def latency_limits(report: LatencyReport) -> tuple[str, ...]:
    """What the durations take for granted, in a sentence; none where no model gets more calls than logged."""
    if not report.loads or not report.calls:
        return ()
    named = "; ".join(load.words for load in report.loads[:NAMED])
    return (f"durations are taken at the logged load: {named}",)


def _s(milliseconds: float) -> str:
    seconds = milliseconds / 1000
    return f"{seconds:.0f}" if seconds >= 100 else f"{seconds:.1f}" if seconds >= 1 else f"{seconds:.2f}"
