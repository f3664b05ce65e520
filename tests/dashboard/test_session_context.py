"""The context of a session by turn: every token of every turn is there, and a growing history is told as one."""

from __future__ import annotations

import json
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Any

import pytest

from analysis.ledger import ledger
from dashboard.data.jobs import session_context
from dashboard.widgets.session_context import by_turn, finding
from ingest.pipeline.run import ingest
from ingest.store.database import Store

TURNS = 5


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Store:
    """Two sessions of five turns; each turn sends all that was said before, and one message more."""
    folder = tmp_path_factory.mktemp("session")
    lines: list[dict[str, Any]] = []
    for session in ("one", "two"):
        messages: list[dict[str, str]] = [{"role": "system", "content": "be brief " * 20}]
        for turn in range(TURNS):
            messages = [*messages, {"role": "user", "content": f"question {turn} of {session} " * 30}]
            lines.append(
                {
                    "timestamp": (datetime(2026, 3, 1, 9) + timedelta(minutes=turn)).isoformat() + "Z",
                    "session_id": session,
                    "request": {"model": "gpt-4o", "messages": messages},
                    "response": {
                        "id": f"{session}-{turn}", "object": "chat.completion", "model": "gpt-4o",
                        "choices": [{"index": 0, "message": {"role": "assistant", "content": f"answer {turn}"},
                                     "finish_reason": "stop"}],
                        "usage": {"prompt_tokens": 200 * (turn + 1), "completion_tokens": 10,
                                  "total_tokens": 200 * (turn + 1) + 10},
                    },
                }
            )  # fmt: skip
            messages = [*messages, {"role": "assistant", "content": f"answer {turn}"}]
    path = folder / "log.jsonl"
    path.write_text("\n".join(map(json.dumps, lines)))
    made = Store(folder / "sessions.duckdb")
    ingest(made, [path])
    ledger.update(made)
    return made


def test_every_token_of_every_turn_is_in_the_picture(store: Store) -> None:
    found = session_context(store, "two", None, None, lambda _text: None)
    turns, stacks, usd = by_turn(found)
    assert turns == list(range(1, TURNS + 1))
    sums = [sum(counts) for counts in zip(*stacks.values(), strict=True)]
    assert sums == [200 * turn for turn in turns]
    assert sum(usd, Decimal(0)) == Decimal(found["input_cost_usd"])
    assert stacks["user messages"] == sorted(stacks["user messages"])
    assert finding(turns, stacks).startswith("From 200 tokens in turn 1 to 1,000 in turn 5: ")
    assert finding(turns, stacks).endswith("are user messages")
