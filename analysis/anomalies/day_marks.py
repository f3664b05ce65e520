"""What people said of a flagged day: expected, planned or wrong. A marked day raises no flag and counts as history."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date
from typing import Final

import duckdb

from ingest.errors import InputError, did_you_mean
from ingest.store.database import Store, has_tables

VERDICTS: Final = ("expected", "planned", "wrong")
_TABLE = "CREATE TABLE IF NOT EXISTS feedback (day DATE, verdict VARCHAR, note VARCHAR)"


@dataclass(frozen=True)
class Feedback:
    """What a person said of one day: a verdict and a note."""

    day: date
    verdict: str
    note: str | None


def mark(store: Store, day: date, verdict: str, note: str | None = None) -> Feedback:
    """Remember `verdict` for `day`; the last word on a day holds. Raises InputError on another word."""
    if verdict not in VERDICTS:
        raise InputError(f"'{verdict}' is not a verdict", remedy=did_you_mean(verdict, VERDICTS))
    with store.read():  # a clear error where there is no store
        pass
    with store.write() as con:
        con.execute(_TABLE)
        con.execute("DELETE FROM feedback WHERE day = ?", [day])
        con.execute("INSERT INTO feedback VALUES (?, ?, ?)", [day, verdict, note])
    return Feedback(day, verdict, note)


def unmark(store: Store, day: date) -> None:
    """Forget what was said of `day`."""
    with store.read():
        pass
    with store.write() as con:
        con.execute(_TABLE)
        con.execute("DELETE FROM feedback WHERE day = ?", [day])


def marks(con: duckdb.DuckDBPyConnection) -> dict[date, Feedback]:
    """All marked days."""
    if not has_tables(con, "feedback"):
        return {}
    rows = con.execute("SELECT day, verdict, note FROM feedback ORDER BY day").fetchall()
    return {row[0]: Feedback(*row) for row in rows}
