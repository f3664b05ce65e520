"""False alarms and first-day detection of `analysis.anomalies.detector.judge` on simulated daily cost.

    python -m benchmarks.diagnosis.detection --series 300

Daily cost is log-normal around a level: spread .12 with 3 % outliers of three times that, AR(1) .3, weekends -45 %,
+0.3 % a day. Null series count false alarms over their last 60 days; the others jump on the last day of each history.
"""

from __future__ import annotations

import argparse
import time
from datetime import date, timedelta

import numpy as np

from analysis.anomalies.detector import ALPHA, judge

FIRST = date(2024, 1, 1)


def series(rng: np.random.Generator, days: int, spread: float = 0.12) -> np.ndarray:
    """Daily dollars of one log."""
    noise = rng.normal(0, spread, days) * np.where(rng.random(days) < 0.03, 3, 1)
    for d in range(1, days):
        noise[d] += 0.3 * noise[d - 1]
    weekday = np.array([0, 0.03, 0.02, 0, -0.03, -0.6, -0.6])[np.arange(days) % 7]
    return np.exp(np.log(130) + noise + weekday + 0.003 * np.arange(days))


def judged(values: np.ndarray, alpha: float) -> list[bool]:
    days = [FIRST + timedelta(days=i) for i in range(len(values))]
    found = judge(dict(zip(days, values.tolist(), strict=True)), alpha=alpha)
    return [found[day].flagged for day in days]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--series", type=int, default=200)
    parser.add_argument("--alpha", type=float, nargs="*", default=[ALPHA])
    args = parser.parse_args()
    for alpha in args.alpha:
        start = time.process_time()
        alarms = [sum(judged(series(np.random.default_rng([5, i]), 90), alpha)[30:]) for i in range(args.series)]
        print(f"alpha {alpha}: {np.mean(alarms):.2f} false alarms in 60 days", end="  ")
        early = [sum(judged(series(np.random.default_rng([6, i]), 28), alpha)) for i in range(args.series)]
        print(f"{np.mean(early):.2f} in the first 28 days  ({time.process_time() - start:.1f} s)")
        for history in (7, 14, 28, 60):
            rates = []
            for jump in (0.25, 0.5, 1.0, 3.0):
                hit = 0
                for i in range(args.series):
                    values = series(np.random.default_rng([7, history, i]), history + 1)
                    values[-1] *= 1 + jump
                    hit += judged(values, alpha)[-1]
                rates.append(hit / args.series)
            print(f"  history {history:>2}: +25 % {rates[0]:.2f}  +50 % {rates[1]:.2f}  +100 % {rates[2]:.2f}  "
                  f"+300 % {rates[3]:.2f}", flush=True)  # fmt: skip


if __name__ == "__main__":
    main()
