"""Ramps with a known change: is a loss stopped while few are exposed, and is a harmless change left alone?

    python -m benchmarks.trust.monitors [--worlds 100]

Each world is a ramp of 1, 5, 25 and 100 % over 60 days of 1,000 units, looked at every day. Units have a score (passed
or not), a skewed cost, a share of failed calls and a latency; weekends are worse and dearer for everybody, and days
differ. Reported: how often the ramp is rolled back, how often before a tenth of all units was treated, on which day,
and how often it gets to the whole traffic.

A second table looks at every unit of streams at the very limit, where an alarm is false and as likely as it gets.
"""

from __future__ import annotations

import argparse
from dataclasses import dataclass

import numpy as np

from replay.rollout import betting, ramp
from replay.rollout.monitors import ALPHA, Evidence, Limit, Stream, watch

DAYS, PER_DAY, PASSED = 60, 1000, 0.8
LIMITS = (
    Limit("quality", 0.95, floor=True),
    Limit("cost per unit", 1.10, cap=12.0),
    Limit("errors", 1.0, slack=0.02),
    Limit("latency", 1.25, cap=8.0),
)


@dataclass(frozen=True)
class Change:
    """What the treated get: the share of quality lost, and factors of cost, latency and errors."""

    name: str
    loss: float = 0.0
    cost: float = 0.5
    latency: float = 1.0
    errors: float = 0.02


CHANGES = (
    Change("harmless, half the cost"),
    Change("harmless, a tenth better", loss=-0.1),
    Change("nothing changed at all", cost=1.0),
    Change("at the floor: 5 % of quality lost", loss=0.05),
    Change("10 % of quality lost", loss=0.10),
    Change("15 % of quality lost", loss=0.15),
    Change("20 % of quality lost", loss=0.20),
    Change("30 % of quality lost", loss=0.30),
    Change("twice the cost", cost=2.0),
    Change("errors from 2 to 8 %", errors=0.08),
    Change("twice as slow", latency=2.0),
)


def outcomes(change: Change, seed: int) -> tuple[np.ndarray, np.ndarray, list[tuple[np.ndarray, np.ndarray]]]:
    """Day and draw of each unit, and per monitor its value in control and treated."""
    rng = np.random.default_rng(seed)
    day = np.repeat(np.arange(DAYS), PER_DAY)
    weekend = np.where(day % 7 >= 5, 1.0, 0.0)
    number = len(day)
    good = np.clip(PASSED - 0.1 * weekend + rng.normal(0, 0.02, DAYS)[day], 0, 1)
    chance = rng.random(number)
    size = rng.lognormal(-0.32, 0.8, number) * (1 + 0.3 * weekend) * np.exp(rng.normal(0, 0.05, DAYS))[day]
    slow = rng.lognormal(-0.125, 0.5, number) * (1 + 0.2 * weekend)
    failed = rng.random(number)
    return day, rng.random(number), [
        ((chance < good).astype(float), (chance < good * (1 - change.loss)).astype(float)),
        (size, size * change.cost),
        ((failed < 0.02).astype(float), (failed < change.errors).astype(float)),
        (slow, slow * change.latency),
    ]  # fmt: skip


def climb(change: Change, seed: int) -> tuple[str, int, float]:
    """How the ramp ends, on which day, and the share of all units of the 60 days that were treated by then."""
    day, draw, values = outcomes(change, seed)
    plan = ramp.Ramp()
    share, since = plan.shares[0], 0
    treated = draw < share
    paths = _evidence(day, treated, values)
    for today in range(DAYS):
        upto = (today + 1) * PER_DAY
        decision = ramp.decide(
            plan,
            share,
            days=today - since + 1,
            units=int(treated[since * PER_DAY : upto].sum()),
            evidence=[path[today] for path in paths],
        )
        exposed = float(treated[:upto].sum()) / len(day)
        if decision.action == "roll back":
            return "rolled back", today + 1, exposed
        if decision.action == "advance":
            share, since = decision.share, today + 1
            if share >= 1:
                return "whole traffic", today + 1, exposed
            # a day's evidence depends on nothing later, so that the coming days may be drawn at the new share at once
            treated[upto:] = draw[upto:] < share
            paths = _evidence(day, treated, values)
    return "still held", DAYS, float(treated.sum()) / len(day)


def _evidence(
    day: np.ndarray, treated: np.ndarray, values: list[tuple[np.ndarray, np.ndarray]]
) -> list[list[Evidence]]:
    """The evidence of each monitor on each day."""
    return [
        watch(limit, Stream(day, treated, np.where(treated, changed, control)), monitors=len(LIMITS))
        for limit, (control, changed) in zip(LIMITS, values, strict=True)
    ]


def at_the_limit(streams: int, *, share: float, alpha: float, seed: int = 0) -> float:
    """Share of streams of 5,000 units, treated exactly at the floor, that ever raise an alarm."""
    rng = np.random.default_rng(seed)
    alarms = 0
    for _ in range(streams):
        treated = rng.random(5000) < share
        value = (rng.random(5000) < np.where(treated, 0.95 * PASSED, PASSED)).astype(float)
        _, mine, other = betting.blocks(treated, value, treated_rarer=True)
        alarms += betting.log_capital(0.95 * other - mine, 1.0).max() >= np.log(1 / alpha)
    return alarms / streams


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--worlds", type=int, default=100)
    worlds = parser.parse_args().worlds
    print(f"{'change':<36}{'rolled back':>12}{'before 10 %':>12}{'median day':>12}{'whole':>8}")
    for change in CHANGES:
        found = [climb(change, seed) for seed in range(worlds)]
        back = [one for one in found if one[0] == "rolled back"]
        early = sum(one[2] < 0.10 for one in back)
        day = f"{np.median([one[1] for one in back]):.0f}" if back else "-"
        whole = sum(one[0] == "whole traffic" for one in found)
        print(f"{change.name:<36}{len(back) / worlds:>12.1%}{early / worlds:>12.1%}{day:>12}{whole / worlds:>8.0%}")
    print()
    for share in (0.05, 0.25, 0.5):
        print(f"at the floor, {share:.0%} treated: {at_the_limit(1000, share=share, alpha=ALPHA):.1%} alarms at 5 %")


if __name__ == "__main__":
    main()
