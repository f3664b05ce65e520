"""Where the calls of a store come from, what could not be read, and what the log knows of its calls."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from ingest.store.database import Store


@dataclass(frozen=True)
class StoreContents:
    """Where the calls come from and what is known of them. `quarantine` and `issues` are rows for a table."""

    calls: int
    sources: list[dict[str, Any]]
    quarantine: list[tuple[Any, ...]]
    issues: list[tuple[Any, ...]]
    known: dict[str, int]


KNOWLEDGE = {
    "a time": "start_time IS NOT NULL",
    "a duration": "duration_ms IS NOT NULL",
    "a model": "model IS NOT NULL",
    "an agent": "agent IS NOT NULL",
    "a task": "task IS NOT NULL",
    "a session": "conversation_id IS NOT NULL",
    "a logical request": "request_id IS NOT NULL",
    "a user": "user_id IS NOT NULL",
    "reported token counts": "tokens_source = 'reported'",
    "tokens read from the provider's cache": "cache_read_input_tokens IS NOT NULL",
    "a logged cost": "logged_cost_usd IS NOT NULL",
    "message text": "content_state IN ('full', 'truncated', 'redacted')",
    "message hashes only": "content_state = 'hashed'",
    "a key for exact caching": "key_canonical IS NOT NULL",
    "a quality score": "score IS NOT NULL OR call_no IN (SELECT call_no FROM scores)",
}


def read_contents(store: Store, limit: int = 1000) -> StoreContents:
    """Sources, the first lines in quarantine, remarks by kind, and how many calls carry each piece of knowledge."""
    names = ("path", "format", "rows", "calls", "duplicates", "quarantined", "complete")
    with store.read() as con:
        counts = con.execute(
            f"SELECT count(*), {', '.join(f'count(*) FILTER ({rule})' for rule in KNOWLEDGE.values())} FROM calls"
        ).fetchall()[0]
        sources = con.execute(f"SELECT {', '.join(names)} FROM sources ORDER BY source_id").fetchall()
        bad = con.execute(
            f"""SELECT path, source_row, reason, json_path, excerpt FROM quarantine LEFT JOIN sources USING (source_id)
                ORDER BY source_id, source_row LIMIT {int(limit):d}"""
        ).fetchall()
        issues = con.execute(
            "SELECT code, count(*), min(detail) FROM import_issues GROUP BY code ORDER BY 2 DESC, 1"
        ).fetchall()
    return StoreContents(
        calls=counts[0],
        sources=[dict(zip(names, row, strict=True)) for row in sources],
        quarantine=bad,
        issues=issues,
        known=dict(zip(KNOWLEDGE, counts[1:], strict=True)),
    )
