"""What a file is, why, how its fields were read, and what is missing: a reading without a store."""

from __future__ import annotations

import itertools
from collections import Counter
from dataclasses import dataclass, field
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

from ingest.detect.file_format import recognise, sample
from ingest.files import containers, line_files
from ingest.format_contract import READER_ERRORS, Context, Format, as_bad_record
from ingest.formats import format_named
from ingest.records.call import BadRecordError, Bucket, Call, Skip
from ingest.staging.call_completion import complete

ROWS = 2_000
# what decides which questions can be answered, in the words of a user
_SHOWN = (
    ("start_time", "start_us"), ("model", "response_model"), ("provider_name", "provider_name"),
    ("input_tokens", "input_tokens"), ("cache_read_input_tokens", "cache_read_input_tokens"),
    ("cache_creation_input_tokens", "cache_creation_input_tokens"), ("output_tokens", "output_tokens"),
    ("reasoning_output_tokens", "reasoning_output_tokens"), ("logged_cost_usd", "logged_cost_pico"),
    ("duration_ms", "duration_ms"), ("agent", "agent"), ("task", "task"), ("conversation_id", "conversation_id"),
    ("user_id", "user_id"), ("identity", "identity"), ("input messages", "messages"), ("answer", "output"),
)  # fmt: skip


@dataclass
class Explanation:
    """What `hindcast ingest --explain` tells of one file. Shares are of the calls among the first rows."""

    path: str
    format: str
    title: str
    because: str
    compression: str
    layout: str
    rows: int = 0
    calls: int = 0
    skipped: dict[str, int] = field(default_factory=dict)
    bad_rows: list[dict[str, Any]] = field(default_factory=list)
    issues: dict[str, int] = field(default_factory=dict)
    filled: dict[str, float] = field(default_factory=dict)
    agent_sources: dict[str, int] = field(default_factory=dict)
    tokens_sources: dict[str, int] = field(default_factory=dict)
    example: dict[str, Any] = field(default_factory=dict)
    cannot: list[str] = field(default_factory=list)


def explain(path: Path, *, mapping: Any = None, format: str | None = None, rows: int = ROWS) -> Explanation:
    """Read the first rows of a file without storing anything. Raises InputError where it is no log."""
    forced = format_named(format) if format is not None else None
    known = recognise(path, mapping=mapping, forced=forced)
    kind = line_files.file_kind(path)
    form = format_named(known.format or known.name)
    found = Explanation(
        str(path), known.name, form.title, _because(path, form, kind, mapping), kind.compression or "none", kind.shape
    )
    reader = form.open(Context(path, mapping=mapping, mtime_us=path.stat().st_mtime_ns // 1000))
    calls: list[Call] = []
    skipped: Counter[str] = Counter()
    if kind.shape == "jsonl":
        source = line_files.file_rows(path)
    else:
        source = containers.rows_of_shape(path, kind.shape)
    outcomes: list[tuple[int, Any]] = []
    for row in itertools.islice(source, rows):
        try:
            if row.error is not None:
                raise row.error
            got = reader.read(row.record, row.number)
        except BadRecordError as bad:
            got = bad
        except READER_ERRORS as error:
            got = as_bad_record(error)
        outcomes.extend((row.number, one) for one in (got if isinstance(got, list) else [got]))
    outcomes.extend((0, one) for one in reader.close())
    for number, outcome in outcomes:
        found.rows += 1
        if isinstance(outcome, Call):
            try:
                complete(outcome, stored=True)
                calls.append(outcome)
            except BadRecordError as bad:
                _bad(found, number, bad)
            except READER_ERRORS as error:
                _bad(found, number, as_bad_record(error))
        elif isinstance(outcome, Skip | Bucket):
            skipped[outcome.reason if isinstance(outcome, Skip) else "usage report row"] += 1
        else:
            _bad(found, number, outcome)
    found.calls = len(calls)
    found.skipped = dict(sorted(skipped.items()))
    _summarise(found, calls)
    return found


def _bad(found: Explanation, number: int, bad: BadRecordError) -> None:
    if len(found.bad_rows) < 5:
        found.bad_rows.append({"row": number, "reason": bad.reason, "json_path": bad.path})


def _because(path: Path, form: Format, kind: line_files.FileKind, mapping: Any) -> str:
    if mapping is not None:
        return f"the mapping file '{mapping.name}' was given"
    if kind.shape == "csv" and form.csv_columns:
        return f"its header has {', '.join(sorted(form.csv_columns))}"
    records = sample(path, kind, 5)
    first = next((record for record in records if form.recognises(record)), None)
    if isinstance(first, dict):
        for fingerprint in form.fingerprints:
            shared = sorted(fingerprint & first.keys())
            if shared:
                return f"its records have {', '.join(shared)}"
    return "its records have this format's shape"


def _summarise(found: Explanation, calls: list[Call]) -> None:
    if not calls:
        return
    for shown, name in _SHOWN:
        filled = sum(1 for call in calls if getattr(call, name) is not None)
        found.filled[shown] = filled / len(calls)
    first = calls[0]
    for shown, name in _SHOWN[:-2]:
        value = getattr(first, name)
        if name == "start_us" and value is not None:
            value = datetime.fromtimestamp(value / 1e6, UTC).isoformat()
        elif name == "logged_cost_pico" and value is not None:
            value = f"{Decimal(value).scaleb(-12).normalize():f}"
        if value is not None:
            found.example[shown] = value
    found.agent_sources = dict(Counter(call.agent_source or "none" for call in calls).most_common())
    found.tokens_sources = dict(Counter(call.tokens_source or "missing" for call in calls).most_common())
    found.issues = dict(Counter(code for call in calls for code, _ in call.issues or ()).most_common())
    share = found.filled
    if share["start_time"] < 1:
        found.cannot.append("calls without a time take no part in days, spikes and caches with a time to live")
    if share["input_tokens"] < 1:
        found.cannot.append("calls without token counts have no price")
    if share["input messages"] < 1:
        found.cannot.append("caching and compression need the messages, which some calls lack")
    if share["agent"] < 1:
        found.cannot.append("calls without an agent are explained by model only; name one in metadata or tags")
    if share["identity"] < 1:
        found.cannot.append("calls without an id are told apart by their bytes")
