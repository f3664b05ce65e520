"""A small store with a spike, prompts that try to be markup, and a model without a price."""

from __future__ import annotations

import json
import random
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

from builder import build_store

from analysis.ledger import ledger
from ingest.store.database import Store

FIRST = datetime(2024, 2, 20)
SPIKE = datetime(2024, 3, 5)
DAYS = 18
HOSTILE_AGENT = "<script>window.hit=1</script><b>agent</b>"
HOSTILE_TASK = "**bold** :smile: $x^2$ [link](http://example.org) ![i](http://example.org/i.png)"
HOSTILE_MODEL = "<img src=x onerror=window.hit=1>"
HOSTILE_TEXT = "<script>window.hit=1</script>\n# heading\n**bold** `code` $\\alpha$ <img src=x onerror=window.hit=1>"


def rows() -> list[dict[str, Any]]:
    """Calls of four agents over DAYS days; from SPIKE on the drafting agent asks five times as often."""
    rng = random.Random(11)
    found: list[dict[str, Any]] = []
    for number in range(DAYS):
        day = FIRST + timedelta(days=number)
        drafts = 60 if day >= SPIKE else 12
        for agent, task, count in (
            ("research_agent", "research", 10),
            ("drafting_agent", "draft", drafts),
            ("refinement_agent", "critique", 8),
            (HOSTILE_AGENT, HOSTILE_TASK, 2),
        ):
            for index in range(count + rng.randrange(2)):
                start = day + timedelta(seconds=600 + rng.randrange(85_000))
                repeat = rng.randrange(6)
                found.append(
                    {
                        "start_time": start,
                        "end_time": start + timedelta(seconds=4),
                        "agent": agent,
                        "task": task,
                        "model": "gpt-4-turbo" if index % 5 else "gpt-3.5-turbo",
                        "input_tokens": 20_000 + rng.randrange(2_000),
                        "output_tokens": 900 + rng.randrange(100),
                        "conversation_id": f"{agent}-{number}-{index // 4}",
                        "input_words": 900,
                        "key_canonical": 1000 * number + repeat + 10 * len(task),
                    }
                )
    for edge in (FIRST + timedelta(seconds=5), FIRST + timedelta(days=DAYS) - timedelta(seconds=5)):
        found.append(
            {"start_time": edge, "agent": "research_agent", "task": "research", "model": HOSTILE_MODEL,
             "input_tokens": 10, "output_tokens": 1}
        )  # fmt: skip
    return sorted(found, key=lambda row: row["start_time"])


def make(path: Path) -> Store:
    """The store, priced, with the hostile text as the prompt of the first call of the hostile agent."""
    store = build_store(path, rows())
    with store.write() as con:
        con.execute(
            "INSERT INTO contents VALUES (0, 1, 'message', 'user', ?, ?, 5), (1, 2, 'output', 'assistant', ?, 9, 2)",
            [
                '{"content":' + json.dumps(HOSTILE_TEXT) + ',"role":"user"}',
                len(HOSTILE_TEXT),
                '{"content":"an answer"}',
            ],
        )
        con.execute(
            "UPDATE calls SET message_ids = [0], output_id = 1, content_state = 'full' WHERE agent = ?", [HOSTILE_AGENT]
        )
    ledger.update(store)
    return store
