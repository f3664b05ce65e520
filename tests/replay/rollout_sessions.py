"""Logs of a rollout: support's conversations on fourteen days before it and seven after, whatever became of them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import date, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
from builder import build_store

from analysis.ledger import ledger
from ingest.store.database import Store
from replay.evaluation.verification import Verification
from replay.rollout.assignment import arm
from replay.strategy import schema

BIG, SMALL = "gpt-4o-2024-08-06", "gpt-4o-mini-2024-07-18"
FIRST, BEFORE, AFTER = date(2026, 3, 2), 14, 7
ROLLOUT = FIRST + timedelta(days=BEFORE)
MINI = schema.parse(f"name: mini\nroute: [{{default: {SMALL}}}]\noutput_ratio: 1.0\nquality: {{floor: 0.95}}")
Row = dict[str, Any]


def session(
    day: int, number: int, *, calls: int = 3, model: str = BIG, agent: str = "support", size: float = 1.0, **more: Any
) -> list[Row]:
    """The calls of one conversation, 20 s apart, from 8:00 on, every fifth minute."""
    start = datetime(FIRST.year, FIRST.month, FIRST.day, 8) + timedelta(days=day, minutes=5 * number)
    return [
        {
            "start_time": start + timedelta(seconds=20 * call), "duration_ms": 900.0, "agent": agent, "task": "reply",
            "conversation_id": f"{agent}{day}-{number}", "model": model,
            "input_tokens": int(2000 * size), "output_tokens": int(300 * size), **more,
        }
        for call in range(calls)
    ]  # fmt: skip


def log(
    each: Callable[[int, int, float], Sequence[Row]], *, days: int = BEFORE + AFTER, sessions: int = 30, seed: int = 0
) -> list[Row]:
    """Rows of every session; `each` gets the day, the session's number and its own size, around 1."""
    rng = np.random.default_rng(seed)
    return [
        row for day in range(days) for number in range(sessions) for row in each(day, number, rng.gamma(20, 1 / 20))
    ]


def store_of(path: Path, rows: Sequence[Row]) -> Store:
    store = build_store(path / "v.duckdb", sorted(rows, key=lambda row: row["start_time"]))
    ledger.update(store)
    return store


def adds_up(result: Verification) -> bool:
    return sum(one.amount_pico for one in result.drifts) == result.realised_pico - result.forecast_pico


HELD_BACK = MINI.model_copy(update={"rollout": schema.Rollout(share=0.7, unit="conversation", seed=4)})


def held_back(day: int, number: int, size: float, **more: Any) -> list[Row]:
    """Seven in ten go to the small model and need twice the calls; from the same day on everyone asks for more."""
    side = arm(f"support{day}-{number}", share=0.7, seed=4) if day >= BEFORE else None
    treated = side == "treated"
    calls = (4 if day >= BEFORE else 3) * (2 if treated else 1)
    return session(day, number, calls=calls, model=SMALL if treated else BIG, size=size, **more)
