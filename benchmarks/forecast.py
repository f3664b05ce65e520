"""How near forecasts of daily cost come on 14 held-out days, how often their ranges hold, and what commitments lose.

Made worlds (levels, weekends, growth, past jumps and spikes, heavy tails, drift, gaps) beside AutoETS, where
statsforecast is installed. With `--rates` the clients of ServeGen (43 clients, 14 days): the days after the first 7 to
11 held out, and provisioned units chosen on the first week and paid in the second. Intervals draw whole clients: the
origins of one client are not independent.
"""

from __future__ import annotations

import argparse
import warnings
from collections.abc import Callable, Sequence
from datetime import date, timedelta
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np

from analysis.array_types import Float64Array
from analysis.forecast.bill_forecast import LEAST
from analysis.forecast.daily_forecast import forecast
from replay.scenario import throughput

START = date(2026, 3, 2)
HELD_OUT = 14
KNOWN = (28, 42, 84)
STABLE = ("flat", "growth", "new level", "heavy tails", "autocorrelated", "spike", "idle weekends")
OTHER = ("drift", "spikes", "gaps", "noisy")
KNOWN_SERVED = (7, 8, 9, 10, 11)
PRICES = (0.3, 0.5, 0.7)  # of a unit, beside what it serves at the API's price


def world(rng: np.random.Generator, kind: str, known: int) -> tuple[list[date], Float64Array]:
    """Days and dollars of one made world, `known` days and HELD_OUT more."""
    count = known + HELD_OUT
    start = START + timedelta(days=int(rng.integers(0, 7)))
    days = [start + timedelta(days=number) for number in range(count)]
    weekday = np.array([day.weekday() for day in days])
    noise = float(rng.choice([0.03, 0.06, 0.1, 0.15, 0.2]))
    effects = rng.normal(0, rng.choice([0.02, 0.08]), 7)
    if rng.random() < 0.4:
        effects[5:] += np.log(rng.uniform(0.1, 0.9))
    level = np.full(count, rng.uniform(0, 7))
    error = rng.normal(0, noise, count)
    if kind == "growth":
        level += np.log(1 + rng.choice([-0.15, -0.08, 0.05, 0.1, 0.2, 0.3])) / 30.4 * np.arange(count)
    if kind == "new level":
        level[known - int(rng.integers(7, max(8, known // 2))) :] += np.log(rng.choice([0.4, 0.6, 1.8, 3, 6]))
    if kind == "heavy tails":
        error = rng.standard_t(4, count) * noise * 0.75
    if kind == "autocorrelated":
        for at in range(1, count):
            error[at] += 0.4 * error[at - 1]
    if kind == "drift":
        level += np.cumsum(rng.normal(0, rng.choice([0.02, 0.05]), count))
    if kind == "noisy":
        error = rng.normal(0, 0.5, count)
    usd = np.exp(level + effects[weekday] + error)
    if kind == "spike":
        for _ in range(int(rng.integers(1, 3))):
            usd[int(rng.integers(3, known - 1))] *= rng.choice([3, 5, 8])
    if kind == "spikes":
        usd = np.where(rng.random(count) < 0.05, usd * rng.choice([3, 5], count), usd)
    if kind == "idle weekends":
        usd[weekday >= 5] = 0
    if kind == "gaps":
        usd = np.where(rng.random(count) < 0.7, usd, 0)
    return days, usd.astype(np.float64)


Peer = Callable[[Float64Array, int], tuple[float, float, float]]


def auto_ets() -> Peer | None:
    """The sum of the next days by AutoETS, and of the ends of their 80 % ranges; None where statsforecast is not
    installed."""
    if find_spec("statsforecast") is None:
        return None
    warnings.filterwarnings("ignore")
    models: Any = import_module("statsforecast.models")

    def foreseen(usd: Float64Array, ahead: int) -> tuple[float, float, float]:
        told = models.AutoETS(season_length=7).forecast(y=usd, h=ahead, level=[80])
        return tuple(float(told[name].sum()) for name in ("mean", "lo-80", "hi-80"))  # type: ignore[return-value]

    return foreseen


def made_worlds(per: int, seed: int) -> None:
    peer, rng = auto_ets(), np.random.default_rng(seed)
    rows: list[tuple[str, float, float, float, float, float]] = []
    for kind in (*STABLE, *OTHER):
        for known in KNOWN:
            for _ in range(per):
                days, usd = world(rng, kind, known)
                made = forecast(dict(zip(days[:known], usd[:known].tolist(), strict=True)), days[:known], days[-1])
                if made is None:
                    continue
                told = made.over(days[known:])
                other = peer(usd[:known], HELD_OUT)[0] if peer else float("nan")
                rows.append((kind, float(usd[known:].sum()), told.usd, told.low, told.high, other))
    print(f"{len(rows)} made worlds, seed {seed}, {HELD_OUT} days held out")
    print(
        f"{'':18}{'within 10 %':>12}{'mean error':>12}{'range holds':>12}{'AutoETS: within 10 %':>22}{'mean error':>12}"
    )
    groups: Sequence[tuple[str, Sequence[str]]] = [
        *((kind, (kind,)) for kind in (*STABLE, *OTHER)), ("stable", STABLE), ("all", (*STABLE, *OTHER)),
    ]  # fmt: skip
    for name, kinds in groups:
        truth, usd, low, high, other = np.array([row[1:] for row in rows if row[0] in kinds]).T
        held = float(np.mean((low <= truth) & (truth <= high)))
        error, theirs = np.abs(usd / truth - 1), np.abs(other / truth - 1)
        print(f"{name:18}{np.mean(error < 0.1):12.3f}{error.mean():12.4f}{held:12.3f}"
              f"{np.mean(theirs < 0.1):22.3f}{theirs.mean():12.4f}")  # fmt: skip


def clients(path: Path) -> dict[str, Float64Array]:
    """Requests of each client by slot of 600 s over 14 days, and of all together."""
    import polars as pl

    rates = pl.read_parquet(path).group_by("client", pl.col("start_sec") // 600).agg(pl.col("rate_rps").sum())
    found: dict[str, Float64Array] = {}
    for client, slot, rate in rates.sort("client", "start_sec").iter_rows():
        if slot < 2016:
            found.setdefault(str(client), np.zeros(2016))[slot] += rate * 600
    return {**found, "all": np.sum(list(found.values()), axis=0)}


Row = tuple[str, int, float, dict[str, tuple[float, float, float]]]


def served(found: dict[str, Float64Array]) -> None:
    """Errors count at most 1, or clients that stop would be all that is seen. The model's sizes were chosen on the
    clients with even numbers; the odd ones show what they are worth elsewhere."""
    days = [START + timedelta(days=number) for number in range(14)]
    peer, rows = auto_ets(), list[Row]()
    for name, slots in found.items():
        daily = slots.reshape(14, 144).sum(axis=1)
        for known in KNOWN_SERVED:
            usd = daily[:known]
            made = forecast(dict(zip(days[:known], usd.tolist(), strict=True)), days[:known], days[-1])
            if made is None or (usd > 0).sum() < 5 or not daily[known:].sum():
                continue
            told = made.over(days[known:])
            week = float(np.resize(usd[-7:], 14 - known).sum())
            by = {"hindcast": (told.usd, told.low, told.high), "week before": (week, np.nan, np.nan)}
            rows.append(
                (name, known, float(daily[known:].sum()), by | ({"AutoETS": peer(usd, 14 - known)} if peer else {}))
            )
    print("ServeGen: the days after the first ones held out, by client (95 % interval by client)")
    groups = {
        "all": rows,
        **{f"{known} days known": [row for row in rows if row[1] == known] for known in KNOWN_SERVED},
        "even clients": [row for row in rows if row[0] != "all" and int(row[0]) % 2 == 0],
        "odd clients": [row for row in rows if row[0] != "all" and int(row[0]) % 2 == 1],
    }
    for title, kept in groups.items():
        print(f"  {title}: {len(kept)} forecasts of {len({row[0] for row in kept})} series")
        for name in rows[0][3]:
            error = by_client(kept, lambda row: min(abs(row[3][name][0] / row[2] - 1), 1.0))  # noqa: B023
            held = by_client(kept, lambda row: float(row[3][name][1] <= row[2] <= row[3][name][2]))  # noqa: B023
            median = float(np.median([abs(row[3][name][0] / row[2] - 1) for row in kept]))
            ranges = "" if name == "week before" else f", range holds {told_of(held)}"
            print(f"    {name:12} median error {median:.3f}, mean {told_of(error)}{ranges}")


def by_client(rows: list[Row], value: Callable[[Row], float]) -> tuple[float, float, float]:
    """The mean over the rows, and its 95 % interval from drawing clients."""
    sums: dict[str, list[float]] = {}
    for row in rows:
        sums.setdefault(row[0], []).append(value(row))
    total, size = np.array([(sum(each), len(each)) for each in sums.values()]).T
    drawn = np.random.default_rng(0).integers(0, len(total), (2000, len(total)))
    low, high = np.quantile(total[drawn].sum(axis=1) / size[drawn].sum(axis=1), [0.025, 0.975])
    return float(total.sum() / size.sum()), float(low), float(high)


def told_of(found: tuple[float, float, float]) -> str:
    return f"{found[0]:.3f} ({found[1]:.2f} to {found[2]:.2f})"


def committed(found: dict[str, Float64Array]) -> None:
    """Units by the volume that is forecast from week 1, as `hindcast forecast` chooses them; by week 1 as it was; and
    by whoever knows the volume of week 2 beforehand, but not its pattern: the least that a rule can lose."""
    days = [START + timedelta(days=number) for number in range(14)]
    print("ServeGen: units chosen on week 1, paid in week 2; regret in points of the API bill")
    for price in PRICES:
        plan = throughput.Plan(price, 15, 5)
        rows: list[tuple[str, float, float, float]] = []
        for name, slots in found.items():
            demand = slots / max(slots[:1008].max(), 1e-9) * 200
            first, second = demand[:1008], demand[1008:]
            if not slots[:1008].sum() or not second.sum():
                continue
            daily = first.reshape(7, 144).sum(axis=1)
            made = forecast(dict(zip(days[:7], daily.tolist(), strict=True)), days[:7], days[-1])
            known = made is not None and made.learned >= LEAST
            volume = made.over(made.days).usd / daily.sum() if made is not None and known else 1.0
            weeks = ((first, first / 6), (second, second / 6))
            told, as_it_was = (throughput.regret(*weeks, 10, plan, each) for each in (volume, 1.0))
            rows.append((name, 100 * told.lost, 100 * as_it_was.lost, 100 * told.unavoidable))
        names = ("by the volume forecast", "by week 1 as it was", "volume of week 2 known")
        whole = next(row for row in rows if row[0] == "all")
        clients = np.array([row[1:] for row in rows if row[0] != "all"])
        print(f"  a unit at {price:.0%} of what it serves, {len(clients)} clients:")
        for at, name in enumerate(names):
            lost = clients[:, at]
            print(f"    {name:23} median {np.median(lost):.2f}, at most 1 point for {np.mean(lost <= 1):.0%}, "
                  f"mean {lost.mean():.2f}; all together {whole[1 + at]:.2f}")  # fmt: skip


def repeated(seed: int) -> None:
    """Weeks of one and the same pattern with noise: what sampling alone loses."""
    rng = np.random.default_rng(seed)
    lost = []
    for _ in range(60):
        day = 1 + 0.8 * np.sin(np.linspace(0, 2 * np.pi, 144)) ** 2
        week = np.concatenate([day * (0.4 if number >= 5 else 1.0) for number in range(7)]) * rng.uniform(20, 200)
        first, second = (week * rng.gamma(25, 1 / 25, 1008) for _ in range(2))
        plan = throughput.Plan(float(rng.choice(PRICES)), 15, 5)
        lost.append(100 * throughput.regret((first, first / 6), (second, second / 6), 10, plan).lost)
    print(
        f"made weeks that repeat: regret at most {max(lost):.2f} points, median {np.median(lost):.3f}, of {len(lost)}"
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rates", type=Path, help="Parquet file of request rates (ServeGen, m-small)")
    parser.add_argument("--worlds", type=int, default=3, help="worlds of each kind and length")
    parser.add_argument("--seed", type=int, default=101)
    args = parser.parse_args()
    made_worlds(args.worlds, args.seed)
    repeated(args.seed)
    if args.rates is None or not args.rates.exists():
        print("For real rates name their file: --rates servegen_m-small_rates.parquet")
        return
    found = clients(args.rates)
    served(found)
    committed(found)


if __name__ == "__main__":
    main()
