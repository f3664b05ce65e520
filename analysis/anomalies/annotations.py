"""Marks of what people did: deployments, price changes, launches, each at a moment; by hand or from git tags."""

from __future__ import annotations

import subprocess
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any, Final

import duckdb

from analysis import time_zone
from ingest.errors import InputError
from ingest.store.database import Store, has_tables
from ingest.store.schema import TABLES

LONGEST: Final = 200  # characters of a text
PATIENCE_S: Final = 20.0
BEFORE: Final = timedelta(days=1)  # how long before a day's begin a mark is still suspected


@dataclass(frozen=True)
class Annotation:
    """What happened at a moment (UTC without a zone). `source` is `hand` or `git`."""

    time: datetime
    text: str
    source: str = "hand"

    def to_json(self) -> dict[str, Any]:
        """Plain values, the time in ISO form."""
        return {"time": self.time.isoformat(), "text": self.text, "source": self.source}


def parse_time(text: str) -> datetime:
    """A moment in ISO form, without a zone in UTC: `2026-05-03T10:00`, `2026-05-03 10:00+02:00`. Raises InputError."""
    try:
        found = datetime.fromisoformat(text.strip())
        return (found.astimezone(UTC) if found.tzinfo else found).replace(tzinfo=None)
    except (ValueError, OverflowError) as error:
        remedy = 'Write day and time: hindcast mark 2026-05-03T10:00 "v2 rollout"'
        raise InputError(f"'{text}' is no time", remedy=remedy) from error


def annotate(store: Store, made: Iterable[Annotation]) -> list[Annotation]:
    """Remember what is not yet there (time and text are the same), and say which that was. Raises InputError for a text
    that is empty or longer than LONGEST."""
    made = list(made)
    for one in made:
        if not one.text.strip() or len(one.text) > LONGEST or not one.text.isprintable():
            raise InputError(
                f"the text of a mark is one line of 1 to {LONGEST} characters",
                remedy='Say what changed: hindcast mark 2026-05-03T10:00 "v2 rollout"',
            )
    with store.read() as con:  # a clear error where there is no store
        known = {(one.time, one.text) for one in read_annotations(con)}
    fresh = [one for one in dict.fromkeys(made) if (one.time, one.text) not in known]
    if fresh:
        with store.write() as con:
            con.execute(f"CREATE TABLE IF NOT EXISTS annotations ({TABLES['annotations']})")
            con.executemany(
                "INSERT INTO annotations VALUES (?, ?, ?)", [[one.time, one.text, one.source] for one in fresh]
            )
    return fresh


def remove(store: Store, time: datetime) -> list[Annotation]:
    """Forget what was marked at this moment, and say what that was."""
    with store.read() as con:
        gone = [one for one in read_annotations(con) if one.time == time]
    if gone:
        with store.write() as con:
            con.execute("DELETE FROM annotations WHERE time = ?", [time])
    return gone


def read_annotations(con: duckdb.DuckDBPyConnection) -> list[Annotation]:
    """All marks, in order of time."""
    if not has_tables(con, "annotations"):
        return []
    return [
        Annotation(*row) for row in con.execute("SELECT time, text, source FROM annotations ORDER BY ALL").fetchall()
    ]


def suspects(made: Sequence[Annotation], day: date, onset: date | None) -> list[Annotation]:
    """The marks that could have changed what began on `onset` (else `day`): from a day before it to its end, the
    latest first."""
    first = onset or day
    begin, end = time_zone.day_start(first), time_zone.day_start(first + timedelta(days=1))
    return [one for one in reversed(made) if begin - BEFORE <= one.time < end]


def git_tags(folder: Path) -> list[Annotation]:
    """The tags of the git repository at `folder`, each at the time it was made. Raises InputError where there is none
    or git cannot be run."""
    command = ["git", "-C", str(folder), "for-each-ref", "--format=%(creatordate:iso-strict)%09%(refname:short)",
               "--sort=creatordate", "refs/tags"]  # fmt: skip
    try:
        done = subprocess.run(command, capture_output=True, text=True, check=True, timeout=PATIENCE_S)
    except FileNotFoundError as error:
        raise InputError("git is not installed", remedy="Write marks by hand: hindcast mark TIME TEXT") from error
    except subprocess.CalledProcessError as error:
        said = (error.stderr or "").strip().splitlines()
        raise InputError(said[-1] if said else "git failed", where=str(folder), remedy="Name a repository.") from error
    except subprocess.TimeoutExpired as error:
        raise InputError(f"git gave no answer for {PATIENCE_S:.0f} s", where=str(folder)) from error
    rows = [line.split("\t", 1) for line in done.stdout.splitlines() if "\t" in line]
    return [Annotation(parse_time(time), f"tag {name}"[:LONGEST], "git") for time, name in rows if time]
