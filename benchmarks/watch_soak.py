"""Twenty-four days of a watch in an hour or less: two spikes, a price change, a rollout and its rebound.

The clock is simulated: the log grows by --minutes at a time, the watch looks, and what it tells is printed with the
simulated time, beside the line that `hindcast` says each morning. Every look but each --restart-th is by the same
process; there a new `Watch` takes over, which must repeat nothing.
"""

from __future__ import annotations

import argparse
import json
import math
import random
import subprocess
import sys
import tempfile
import time
from collections import Counter
from datetime import datetime, timedelta
from pathlib import Path

from analysis.alerting import watch as module
from analysis.alerting.notices import Notice
from analysis.alerting.settings import WatchSettings
from analysis.alerting.watch import Watch
from analysis.anomalies.annotations import Annotation, annotate
from analysis.diagnosis.diagnose import diagnose
from analysis.diagnosis.document import summary
from ingest.errors import HindcastError
from ingest.store.database import Store

BEGIN = datetime(2026, 3, 2)
HISTORY = 10  # days before the watch begins
AGENTS = {"research": 6.0, "draft": 9.0, "review": 5.0, "support": 7.0}  # calls in ten busy minutes
EVENTS = """day 4, 10:00-12:00   draft makes 6 times the calls (a loop)
day 9, 14:00-16:00   research reads prompts 8 times as long
day 13, 00:00        gpt-4o costs 1.6 times as much
day 16, 09:00        support goes to gpt-4o-mini (mark: rollout)
day 20, 09:00        support's users ask 3 times as often (rebound)"""


def day_of(at: datetime) -> float:
    """Days since the watch began."""
    return (at - BEGIN) / timedelta(days=1) - HISTORY


def load(at: datetime) -> float:
    """How busy people are: office hours, less at night and at weekends."""
    hour = at.hour + at.minute / 60
    return (0.15 + 0.85 * math.exp(-(((hour - 13.5) / 4.2) ** 2))) * (0.35 if at.weekday() > 4 else 1.0)


def calls(first: datetime, last: datetime, rng: random.Random) -> str:
    """The log of a stretch of time."""
    lines = []
    at = first
    while at < last:
        day, hour = day_of(at), at.hour
        for agent, usual in AGENTS.items():
            rate = usual * load(at)
            tokens, model = 1_500.0, "gpt-4o"
            rate *= 6 if agent == "draft" and int(day) == 4 and 10 <= hour < 12 else 1
            tokens *= 8 if agent == "research" and int(day) == 9 and 14 <= hour < 16 else 1
            if agent == "support" and day >= 16 + 9 / 24:
                model = "gpt-4o-mini"
                rate *= 3 if day >= 20 + 9 / 24 else 1
            for n in range(min(200, sum(rng.random() < 0.5 for _ in range(round(2 * rate))))):
                moment = at + timedelta(seconds=rng.random() * 599)
                lines.append(json.dumps({
                    "hindcast": 1, "call_id": f"{agent}-{at}-{n}", "start_time": moment.isoformat() + "Z",
                    "duration_ms": 1_500, "request_model": model, "provider_name": "openai", "agent": agent,
                    "task": agent, "conversation_id": f"{agent}-{moment:%d%H%M}", "user_id": f"u{rng.randrange(9)}",
                    "input_tokens": round(tokens * rng.uniform(0.7, 1.3)), "output_tokens": rng.randrange(150, 350),
                }))  # fmt: skip
        at += timedelta(minutes=10)
    return "".join(line + "\n" for line in lines)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--days", type=int, default=24)
    parser.add_argument("--minutes", type=int, default=30, help="between two looks; a multiple of ten")
    parser.add_argument("--restart", type=int, default=50, help="looks of one process")
    given = parser.parse_args()
    folder = Path(tempfile.mkdtemp(prefix="watch-soak-"))
    store = Store(folder / "s.duckdb")
    rng = random.Random(7)
    now = BEGIN + timedelta(days=HISTORY)
    (folder / "logs").mkdir()
    (folder / "logs" / "00.jsonl").write_text(calls(BEGIN, now, rng))
    module.JUDGE_S, module.BUSY, module.JUMP_S = 0.0, 1e9, 1e9  # time is simulated: each look does all
    told: list[Notice] = []

    def tell(notice: Notice) -> None:
        told.append(notice)
        print(f"[day {day_of(now):5.2f}, {now:%a %d %b %H:%M}] " + notice.text.replace("\n", "\n    "), flush=True)

    def fresh() -> Watch:
        return Watch(
            store, WatchSettings(), {}, paths=[folder / "logs"], tell=tell, complain=print, clock=lambda: now,
            options={"metadata_only": True},
        )  # fmt: skip

    print(EVENTS, flush=True)
    began, looks = time.time(), 0
    watched = fresh()
    watched.look()
    end = now + timedelta(days=given.days)
    while now < end:
        before, now = now, now + timedelta(minutes=given.minutes)
        with (folder / "logs" / f"{now:%m%d}.jsonl").open("a") as handle:
            handle.write(calls(before, now, rng))
        now += timedelta(seconds=30)  # the calls of the ten minutes have come
        if now.hour == 0 and now.minute < given.minutes and int(day_of(now)) == 13:
            subprocess.run(
                [sys.executable, "-m", "cli.app", "prices", "set", "gpt-4o", "--input", "4", "--cache-read", "2",
                 "--output", "16", "--from", str(now.date()), "--store", str(store.path)],
                check=True, capture_output=True,
            )  # fmt: skip
        if 9 <= now.hour < 10 and now.minute < given.minutes and int(day_of(now)) == 16:
            annotate(store, [Annotation(now.replace(minute=0, second=0), "rollout: support to gpt-4o-mini")])
        looks += 1
        watched = fresh() if looks % given.restart == 0 else watched
        watched.look()
        if now.hour == 7 and now.minute < given.minutes:
            try:
                lines = summary(diagnose(store))
            except HindcastError as error:
                lines = str(error)
            print(f"[day {day_of(now):5.2f}] morning: {lines.splitlines()[0]}", flush=True)
        now -= timedelta(seconds=30)
    events = Counter(one.event for one in told)
    repeated = len(told) - len({one.notice_id for one in told})
    print(f"{looks:,} looks in {time.time() - began:.0f} s, {looks // given.restart} restarts; {dict(events)}, "
          f"{repeated} told twice; problems: {dict(watched.counts.problems) or 'none'}")  # fmt: skip


if __name__ == "__main__":
    main()
