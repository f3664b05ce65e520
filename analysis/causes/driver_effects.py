"""Drivers with their history: what each is worth beside its ordinary wobble, split where one driver holds two stories.

Volume is split into what the whole day did to all segments and what the segment did on top of it; a fall of the cache
share into what longer prompts made by themselves and what broke.
"""

from __future__ import annotations

from collections.abc import Sequence
from math import log
from typing import Final

import numpy as np

from analysis.attribution.baseline_comparison import Comparison
from analysis.attribution.factors import FACTORS, NEW_SEGMENT, VANISHED_SEGMENT, VOLUME
from analysis.attribution.shapley_drivers import Driver, Game
from analysis.attribution.significance import CLUSTER, Surprise, dilution
from analysis.causes.cause_signatures import Cause
from analysis.causes.segment_localization import HOT, Effect, Key, Universe

ONE_SIDED_SPREAD: Final = 0.1  # a segment is new or it is not


def effects_of(
    drivers: Sequence[Driver], compared: Comparison, by: tuple[str, ...], strayed: Surprise
) -> tuple[list[Effect], Universe]:
    """The drivers with their history, and per factor every segment that could have moved."""
    names = [dict(zip(by, segment, strict=True)) for segment in compared.segments]
    calls = [np.bincount(compared.cells.segment, compared.cells.of(s, "calls"), len(names)) for s in (0, 1)]
    both = (calls[0] > 0) & (calls[1] > 0)
    keys: list[Key] = [tuple(name.items()) for name in names]
    known = np.flatnonzero(both).tolist()
    changes, spreads = strayed.change.tolist(), strayed.spread.tolist()
    universe: dict[str, dict[Key, tuple[float, float]]] = {
        factor: {keys[k]: (changes[f][k], spreads[f][k]) for k in known} for f, factor in enumerate(FACTORS)
    }
    # calls on one side only may be chance where they are few: staying away has the chance exp(-n / CLUSTER), all of
    # them falling on one of the days a chance of one in days + 1 for each cluster; -2 log of it is a distance squared
    usual = calls[0] * np.exp(min(strayed.shift, 0.0))
    one_sided = {
        NEW_SEGMENT: np.sqrt(2 * log(strayed.days + 1) * calls[1] / CLUSTER),
        VANISHED_SEGMENT: np.sqrt(2 * usual / CLUSTER),
    }
    for factor, side in ((NEW_SEGMENT, 0), (VANISHED_SEGMENT, 1)):
        absent = calls[side] <= 0
        width = np.maximum(np.where(absent, 1 / np.maximum(one_sided[factor], 1e-9), 0.0), ONE_SIDED_SPREAD)
        universe[factor] = dict(zip(keys, zip(absent.astype(float).tolist(), width.tolist(), strict=True), strict=True))
    found = []
    diluted = dilution(compared.cells)
    ordinary = dict(zip(FACTORS, strayed.noise.tolist(), strict=True))
    shares = strayed.shared.tolist()
    for driver in drivers:
        k = driver.segment
        change, spread = universe[driver.factor][keys[k]]
        noise = common = 0.0
        delta = driver.delta
        if driver.factor in ordinary:
            noise = ordinary[driver.factor][k]
            common = noise * strayed.common / spread if driver.factor == FACTORS[0] else 0.0
        else:
            noise = abs(delta) / max(float(one_sided[driver.factor][k]), 1e-9)
        if driver.factor == VOLUME and strayed.shift:
            shared = round(shares[k])
            delta -= shared
            wobble = abs(shared) * strayed.shift_scale / abs(strayed.shift)
            found.append(
                Effect(names[k], VOLUME, shared, strayed.shift, strayed.shift_scale, wobble, wobble, driver.delta, True)
            )
        if driver.factor == "cache_read_share" and diluted[k] and abs(_z(universe["input_tokens"][keys[k]])) >= HOT:
            part = round(delta * diluted[k])
            delta -= part
            noise *= 1 - diluted[k]
            longer = universe["input_tokens"][keys[k]]
            found.append(Effect(names[k], driver.factor, part, *longer, 0.0, 0.0, driver.delta, follows="input_tokens"))
        found.append(Effect(names[k], driver.factor, delta, change, spread, noise, common, driver.delta))
    return found, universe


def _z(moved: tuple[float, float]) -> float:
    change, spread = moved
    return change / spread if spread else 0.0


def repriced(compared: Comparison) -> list[str]:
    """The models whose price list changed wherever they are used, if that explains every changed price."""
    cells = compared.cells
    both = (cells.of(0, "calls") > 0) & (cells.of(1, "calls") > 0)
    found = []
    for number, model in enumerate(compared.models):
        mine = both & (cells.model == number)
        if mine.any() and cells.repriced[mine].all():
            if model is None or len(np.unique(cells.segment[mine])) < 2:
                return []
            found.append(model)
        elif cells.repriced[mine].any():
            return []
    return found


def saved(cause: Cause, compared: Comparison, game: Game) -> float:
    """What the day would save with the cause's factors of its segments at their baseline together. A cause that holds
    a part of a driver saves that part."""
    number = {segment: k for k, segment in enumerate(compared.segments)}
    held: dict[int, dict[str, list[int]]] = {}  # segment -> factor -> (part held, whole driver)
    saves = 0.0
    for effect in cause.effects:
        k = number[tuple(effect.segment.values())]
        if effect.factor in (NEW_SEGMENT, VANISHED_SEGMENT) and effect.delta == effect.whole:
            saves += compared.after[k]  # the only driver of its segment
            continue
        pair = held.setdefault(k, {}).setdefault(effect.factor, [0, effect.whole])
        pair[0] += effect.delta
    together: dict[frozenset[str], list[int]] = {}
    apart: dict[tuple[frozenset[str], frozenset[str]], list[tuple[int, float]]] = {}
    for k, factors in held.items():
        parts = {f: had / whole for f, (had, whole) in factors.items() if had != whole and whole}
        if parts:
            every = frozenset(factors)
            apart.setdefault((every - set(parts), every), []).append((k, min(parts.values(), key=abs)))
        else:
            together.setdefault(frozenset(factors), []).append(k)
    for (kept, every), some in apart.items():
        where, shares = [k for k, _ in some], np.array([share for _, share in some])
        alone = game.undoing_each(where, kept)
        saves += float((alone + (game.undoing_each(where, every) - alone) * shares).sum())
    for names, where in together.items():
        whole = names & {NEW_SEGMENT, VANISHED_SEGMENT}
        saves += sum(compared.after[k] for k in where) if whole else game.undoing(where, names)
    return saves
