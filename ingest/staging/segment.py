"""A segment: what was staged of some rows, with counts by file, and the rules by which texts are kept."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ingest.records.call import NOTHING, Bucket, Claimed

PRINTED = "printed_run"  # the issue of a call that the log of the tool's own session may have
USAGE_REPORT = "usage report, kept to reconcile with"  # the reason by which rows of one are no calls
_MOST = 2**62  # a sum that no log reaches, and an integer of the store holds


@dataclass
class Quarantined:
    """A row that cannot be used: where it stands, why, and what it claims to have used."""

    row: int
    offset: int
    reason: str
    path: str
    sha256: str | None
    excerpt: str | None
    claims: Claimed = NOTHING


@dataclass
class LeftOut:
    """Rows that became no call although they name usage: how many, and the tokens and pico-dollars that they name."""

    rows: int = 0
    tokens: int = 0
    cost_pico: int = 0

    def add(self, claims: Claimed, rows: int = 1) -> None:
        """Count `rows` more rows, which name so much."""
        self.rows += rows
        self.tokens = min(self.tokens + claims.tokens, _MOST)
        self.cost_pico = min(self.cost_pico + claims.cost_pico, _MOST)


@dataclass
class FileCounts:
    """Counts of what one segment holds of one file: rows, calls, and the rows that are none."""

    rows: int = 0
    calls: int = 0
    duplicates: int = 0
    skipped: Counter[str] = field(default_factory=Counter)
    left_out: dict[str, LeftOut] = field(default_factory=dict)  # of the rows skipped, by reason
    flagged: Counter[str] = field(default_factory=Counter)  # remarks on the rows that are calls, by code
    quarantined: list[Quarantined] = field(default_factory=list)
    last_row: int = 0  # the number of the last row read
    lines: int = 0  # lines of a piece whose rows count from its own beginning
    end_offset: int | None = None  # set when the piece was read to its end
    complete: bool = False  # the file was read to its end
    buckets: list[Bucket] = field(default_factory=list)
    problem: str | None = None


@dataclass
class Segment:
    """Staged calls: counts by file, and in `folder` its tables (absent where a table has no row)."""

    folder: Path
    calls: int = 0
    hashed: bool = False  # some contents are known by the hash that the log gave
    counts: dict[int, FileCounts] = field(default_factory=dict)
    issues: list[tuple[int, str, str]] = field(default_factory=list)  # call number in the segment, code, detail


@dataclass(frozen=True)
class ContentRules:
    """What is kept of the texts: all of it, keyed hashes, or nothing at all."""

    keep: str = "text"  # text, hashes, none
    hash_key: bytes | None = None
    redact: Any = None  # ingest.contents.redaction.Redactor


def without_values(reason: str) -> str:
    """A reason without the values it quotes, which may be somebody's text."""
    return reason.partition(":")[0][:80]
