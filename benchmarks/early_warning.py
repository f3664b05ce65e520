"""How soon a jump in cost is heard of, at how many false alarms: the ten-minute detector beside the hourly judge.

Real request rates (a row per client and ten minutes of two weeks; columns client, start_sec, rate_rps) are taken as
dollars. Steps and ramps are put into each busy client and into the total at random times of the second week; thresholds
come from the first week alone. False alarms are counted on the untouched second week, with and without those after
which the next two hours indeed cost 1.5 times the same hours of the week before.

Without such a file, and beside it: false alarms in made worlds where nothing changes but by chance.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from datetime import datetime, timedelta
from pathlib import Path
from typing import Final

import duckdb
import numpy as np

from analysis.anomalies.detector import judge_hours
from analysis.array_types import Float64Array
from analysis.early_warning.sequential_detector import alerts
from analysis.early_warning.ten_minute_sums import BINS_A_DAY, Series, TenMinuteSums

FIRST: Final = datetime(2026, 3, 2)
DAYS: Final = 14
WEEK: Final = 7 * BINS_A_DAY
USD: Final = 0.1  # a request, so that no floor in dollars matters
BUSY: Final = 5_000  # requests on each day
RAMP_BINS: Final = 36
COSTS: Final = ("step", "ramp", "spike")
SHAPES: Final = (("step", 1.5), ("step", 2.0), ("step", 3.0), ("ramp", 2.0), ("ramp", 3.0))


def rates(path: Path) -> tuple[tuple[Series, ...], Float64Array]:
    """The total and the busy clients, requests per ten minutes."""
    rows = duckdb.execute(
        """SELECT client, (start_sec // 600)::INTEGER AS bin, sum(rate_rps) * 600 AS requests
           FROM read_parquet($path) WHERE start_sec < $end GROUP BY ALL""",
        {"path": str(path), "end": DAYS * 86_400},
    ).fetchnumpy()
    clients = np.unique(rows["client"])
    table = np.zeros((len(clients), DAYS * BINS_A_DAY))
    table[np.searchsorted(clients, rows["client"]), rows["bin"]] = rows["requests"]
    busy = (table.reshape(len(clients), DAYS, BINS_A_DAY).sum(axis=2) > BUSY).all(axis=1)
    names = (Series("total", None), *(Series("user", str(name)) for name in clients[busy]))
    return names, np.concatenate([table.sum(axis=0, keepdims=True), table[busy]])


def by_ten_minutes(series: tuple[Series, ...], calls: Float64Array) -> list[list[int]]:
    """Per series the minutes, from the first on, at which an alert on its dollars was raised."""
    none = np.zeros(calls.shape)
    sums = TenMinuteSums(FIRST, series, calls * USD, calls, none, none)
    found: dict[Series, list[int]] = {one: [] for one in series}
    for one in alerts(sums, FIRST + timedelta(days=DAYS), learn_until=FIRST + timedelta(days=7)):
        if one.kind in COSTS:
            found[Series(one.dimension, one.value)].append((one.detected - FIRST) // timedelta(minutes=1))
    return [found[one] for one in series]


def by_hour(calls: Float64Array) -> list[int]:
    """The minutes at which the hourly judge flags an hour above its forecast, known at the hour's end."""
    hourly = calls.reshape(-1, 6).sum(axis=1) * USD
    judged = judge_hours({FIRST + timedelta(hours=n): float(usd) for n, usd in enumerate(hourly)})
    after = [one for one in judged if one.flagged and one.actual > one.forecast]
    return [(one.hour - FIRST) // timedelta(minutes=1) + 60 for one in after]


def changed(calls: Float64Array, at: int, shape: str, factor: float) -> Float64Array:
    """The series with a step at bin `at`, or a ramp of six hours from it on."""
    times = np.ones(len(calls))
    times[at:] = factor
    if shape == "ramp":
        times[at : at + RAMP_BINS] = np.linspace(1, factor, RAMP_BINS)[: len(times) - at]
    return calls * times


def world(kind: str, per_bin: float, seed: int, series: int = 12, days: int = 21) -> TenMinuteSums:
    """Series without any change: Poisson calls around a daily wave or office hours, noisier than by counting alone,
    whose costs differ by a factor e."""
    rng = np.random.default_rng(seed)
    at = np.arange(days * BINS_A_DAY)
    hour = (at % BINS_A_DAY) / 6
    wave = 1 + 0.7 * np.sin((hour - 9) / 24 * 2 * np.pi)
    if kind != "all day":
        wave = np.where((hour >= 8) & (hour < 18), 2.0, 0.0)
    if kind == "office weekdays":
        wave = np.where(at // BINS_A_DAY % 7 < 5, wave, 0.0)
    calls = rng.poisson(per_bin * wave * rng.gamma(20, 1 / 20, (series, len(at))))
    usd = np.zeros(calls.size)
    np.add.at(usd, np.repeat(np.arange(calls.size), calls.ravel()), 0.02 * rng.lognormal(-0.5, 1, int(calls.sum())))
    none = np.zeros(calls.shape)
    names = tuple(Series("user", str(number)) for number in range(series))
    return TenMinuteSums(FIRST, names, usd.reshape(calls.shape), calls.astype(np.float64), none, none)


def show_worlds(seed: int) -> None:
    """False alarms per series in 60 days where nothing changes."""
    print("made worlds, no change: alarms per series in 60 days at about 1, 6 and 60 calls in ten minutes")
    for kind in ("all day", "office hours", "office weekdays"):
        rates = []
        for per_bin in (1.0, 6.0, 60.0):
            sums = world(kind, per_bin, seed)
            days = sums.usd.shape[1] // BINS_A_DAY
            raised = len(alerts(sums, FIRST + timedelta(days=days)))
            rates.append(raised / len(sums.series) / (days - 7) * 60)
        print(f"{kind:22} {'  '.join(f'{rate:4.1f}' for rate in rates)}")


def held(calls: Float64Array, minute: int) -> bool:
    """Whether the two hours after an alarm came to 1.5 times the median of the same hours of the week before."""
    at = minute // 10
    usual = np.median([calls[at - d * BINS_A_DAY : at + 12 - d * BINS_A_DAY].sum() for d in range(1, 8)])
    return bool(calls[at : at + 12].sum() >= 1.5 * usual)


def delays(raised: list[int], at: int) -> Iterator[int]:
    """Minutes from the change to the first alarm within a day."""
    found = [minute - at * 10 for minute in raised if 0 < minute - at * 10 <= 1440]
    if found:
        yield min(found)


def line(name: str, found: list[int], of: int) -> str:
    half = f"{np.median(found):4.0f} min" if found else "   -"
    return f"{name:22} {len(found) / of:6.0%} {half:>9}"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rates", type=Path, help="Parquet file of request rates (ServeGen, m-small)")
    parser.add_argument("--runs", type=int, default=4, help="changes per series and shape")
    parser.add_argument("--seed", type=int, default=11)
    args = parser.parse_args()
    if args.rates is None or not args.rates.exists():
        print("For real rates name their file: --rates servegen_m-small_rates.parquet")
        show_worlds(args.seed)
        return
    series, calls = rates(args.rates)
    rng = np.random.default_rng(args.seed)
    times = rng.integers(8 * BINS_A_DAY, 13 * BINS_A_DAY, (args.runs, len(series)))
    days = 7 * len(series)
    quiet = by_ten_minutes(series, calls)
    hours = [[minute for minute in by_hour(row) if minute > WEEK * 10] for row in calls]
    print(f"{len(series)} series, {args.runs} changes of each shape in each, seed {args.seed}")
    for name, raised in (("ten minutes", quiet), ("hours", hours)):
        count = sum(map(len, raised))
        idle = sum(not held(calls[row], minute) for row, found in enumerate(raised) for minute in found)
        print(f"{name}: {count} alarms on the untouched week, {count / days * 60:.1f} per series in 60 days; "
              f"{idle} that did not hold, {idle / days * 60:.1f}")  # fmt: skip
    print(f"{'within a day':22} {'found':>6} {'median':>9}   hours: found, median")
    for shape, factor in SHAPES:
        ten: list[int] = []
        hourly: list[int] = []
        for run in range(args.runs):
            made = np.stack([changed(row, at, shape, factor) for row, at in zip(calls, times[run], strict=True)])
            raised = by_ten_minutes(series, made)  # series do not see each other; only their number counts
            for row, at in enumerate(times[run].tolist()):
                ten += delays(raised[row], at)
                hourly += delays(by_hour(made[row]), at)
        of = args.runs * len(series)
        print(line(f"{shape} x{factor:g}", ten, of), line("  ", hourly, of).strip())
    show_worlds(args.seed)


if __name__ == "__main__":
    main()
