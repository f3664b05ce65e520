"""What empties the strategy's caches from outside: restarts of processes, and answers that are deleted by rule."""

from __future__ import annotations

import numpy as np

from ingest.errors import StrategyError, did_you_mean
from replay.response_cache.simulate import Events
from replay.stages import rule_evaluation
from replay.strategy.cache_schema import Cache, Invalidation
from replay.strategy.schedule import expand
from replay.traffic.traffic import Int32, Int64, Traffic


def events(traffic: Traffic, spec: Cache, key: Int32, process: Int32) -> Events | None:
    """The file's restarts and invalidations over this traffic, in time order; None where it has none.

    `key` and `process` of each call are as the tiers see them. An invalidation deletes the answers of every request
    that any selected call of the log makes; it is one event per key that can be there, so a key that nobody asked for
    since the last one costs nothing.
    """
    if not (spec.restarts or spec.invalidate) or not len(traffic):
        return None
    first, last = int(traffic.start_ms[0]), int(max(traffic.start_ms[-1], traffic.end_ms.max()))
    times, keys, processes = [np.zeros(0, np.int64)], [np.zeros(0, np.int32)], [np.zeros(0, np.int32)]
    for restart in spec.restarts:
        at = expand(restart.at, first, last)
        mine = _processes(traffic, process, restart.process)
        times.append(np.repeat(at, len(mine)))
        keys.append(np.full(len(at) * len(mine), -1, np.int32))
        processes.append(np.tile(mine, len(at)))
    for part in spec.invalidate:
        at, gone = _deletions(traffic, part, key, expand(part.at, first, last))
        times.append(at)
        keys.append(gone)
        processes.append(np.zeros(len(at), np.int32))
    whole = np.concatenate(times)
    order = np.argsort(whole, kind="stable")
    return Events(whole[order], np.concatenate(keys)[order], np.concatenate(processes)[order])


def _processes(traffic: Traffic, process: Int32, name: str | None) -> Int32:
    """The processes that a restart is of. Raises StrategyError for a name that the log does not have."""
    if name is None:
        return np.arange(int(process.max(initial=0)) + 1, dtype=np.int32)
    if name not in traffic.processes:
        hint = did_you_mean(name, traffic.processes) if traffic.processes else "Leave it out: the log names none."
        raise StrategyError(f"cache.restarts: the log has no process '{name}'", remedy=hint)
    return np.array([traffic.processes.index(name)], np.int32)


def _deletions(traffic: Traffic, part: Invalidation, key: Int32, times: Int64) -> tuple[Int64, Int32]:
    """(time, key) of what one rule deletes: at each of `times` the keys asked for, or landed, since the last one."""
    if not len(times):
        return times, np.zeros(0, np.int32)
    asked = key >= 0
    if part.match or part.when:
        chosen = rule_evaluation.selected(part, traffic.rule_frame(rule_evaluation.columns_of([part])))
        meant = np.zeros(int(key.max(initial=-1)) + 1, np.bool_)
        meant[key[chosen & asked]] = True
        asked[asked] = meant[key[asked]]
    rows = np.flatnonzero(asked)
    width = int(key.max(initial=-1)) + 1
    pairs = []
    for moments in (traffic.start_ms, traffic.end_ms):  # what comes at the time of an event comes after it
        after = np.searchsorted(times, moments[rows], side="right")
        some = after < len(times)
        pairs.append(np.unique(after[some] * width + key[rows[some]]))
    found = np.unique(np.concatenate(pairs))
    return times[found // width], (found % width).astype(np.int32)
