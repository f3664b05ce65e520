"""Fifteen ordinary days of two agents, for tests of what a sixteenth is told of."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import date, datetime, timedelta
from typing import Any

DAYS = 15
MONDAY = datetime(2024, 9, 2)
DAY = date(2024, 9, 17)


def calls(
    day: int, count: int, *, agent: str = "writer", task: str = "draft", tokens: int = 20_000, user: str | None = None,
    **more: Any,
) -> Iterator[dict[str, Any]]:  # fmt: skip
    """Calls of one day, counted from MONDAY, a session for every three."""
    for i in range(count):
        yield {
            "start_time": MONDAY + timedelta(days=day, minutes=5 + 7 * i), "agent": agent, "task": task,
            "model": "gpt-4-turbo", "input_tokens": tokens, "output_tokens": 500,
            "request_id": f"{agent}{task}{day}-{i}", "conversation_id": f"s{agent}{day}-{i // 3}",
            "user_id": user or f"u{i % 5}", **more,
        }  # fmt: skip


def quiet(days: int = DAYS) -> Iterator[dict[str, Any]]:
    """So many days, each like the other."""
    for day in range(days):
        yield from calls(day, 9)
        yield from calls(day, 6, agent="editor", task="review")
