"""Which option for each group under constraints that a frontier cannot see: a mixed-integer programme for HiGHS."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]


def assign(
    cost: Floats,
    quality: Floats,
    target: float,
    *,
    floors: Mapping[int, float] | None = None,
    max_models: int | None = None,
    free_option: int | None = None,
    gap: float = 1e-6,
) -> NDArray[np.int16] | None:
    """The option of each group with the least cost such that the summed quality is at least `target`.

    `cost` and `quality` are groups x options; an infinite cost or a NaN quality forbids an option. `floors` sets a
    least quality for single groups. At most `max_models` different options are used, not counting `free_option` (that
    of leaving calls where they are). None if nothing satisfies all of it.
    """
    from scipy.optimize import Bounds, LinearConstraint, milp
    from scipy.sparse import coo_array

    groups, options = cost.shape
    possible = np.isfinite(cost) & np.isfinite(quality)
    cost = np.where(possible, cost, 0.0)
    quality = np.where(possible, quality, 0.0)
    for place, floor in (floors or {}).items():
        possible[place] &= quality[place] >= floor - 1e-12
    if not possible.any(axis=1).all():
        return None
    scale = max(float(np.abs(cost[possible]).max()), 1e-300)
    group, option = np.nonzero(possible)
    count = len(group)
    extra = options if max_models is not None else 0
    price = np.concatenate([cost[group, option] / scale, np.zeros(extra)])
    one = coo_array((np.ones(count), (group, np.arange(count))), shape=(groups, count + extra))
    worth = np.concatenate([quality[group, option], np.zeros(extra)])[None, :]
    rules = [LinearConstraint(one, 1, 1), LinearConstraint(worth, target - 1e-12, np.inf)]
    if max_models is not None:
        # a group may take an option only if that option is in use
        rows = np.arange(count)
        link = coo_array(
            (
                np.concatenate([np.ones(count), -np.ones(count)]),
                (np.concatenate([rows, rows]), np.concatenate([rows, count + option])),
            ),
            shape=(count, count + extra),
        )
        used = np.concatenate([np.zeros(count), np.ones(extra)])
        if free_option is not None:
            used[count + free_option] = 0
        rules += [LinearConstraint(link, -np.inf, 0), LinearConstraint(used[None, :], 0, max_models)]
    for safety in (0.0, 1e-6, 1e-5):  # HiGHS lets constraints slip by its tolerance: ask again for a little more
        rules[1] = LinearConstraint(worth, target - 1e-12 + safety, np.inf)
        with _silenced():
            found = milp(
                price,
                constraints=rules,
                integrality=np.ones(count + extra),
                bounds=Bounds(0, 1),
                options={"mip_rel_gap": gap, "time_limit": 60.0},
            )
        if found.x is None:
            return None
        result = np.zeros(groups, np.int16)
        taken = found.x[:count] > 0.5
        result[group[taken]] = option[taken]
        if quality[np.arange(groups), result].sum() >= target - 1e-12:
            return result
    return None


@contextmanager
def _silenced() -> Iterator[None]:
    """HiGHS writes a line of debugging straight to the process' standard output, which belongs to our result."""
    sys.stdout.flush()
    try:
        kept = os.dup(1)
    except OSError:  # no standard output to keep clean
        yield
        return
    try:
        with Path(os.devnull).open("w") as nowhere:
            os.dup2(nowhere.fileno(), 1)
            yield
    finally:
        os.dup2(kept, 1)
        os.close(kept)
