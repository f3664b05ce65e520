"""SQLite databases in which tools keep sessions: rows of the tables that are known, read without writing a byte.

A row becomes the record `{"database": LAYOUT, column: value, ...}`, its JSON columns decoded. A database whose last
changes still stand in a write-ahead log beside it is read from a copy of both, since SQLite would write beside it.
"""

from __future__ import annotations

import contextlib
import shutil
import sqlite3
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final, NamedTuple

import msgspec
import zstandard

from ingest.errors import InputError
from ingest.files.byte_stream import StreamCutError
from ingest.files.line_files import SQLITE, Row, decode
from ingest.records.call import BadRecordError
from ingest.records.claimed_usage import names_tokens

_VALUE_LIMIT = 64 << 20  # bytes of one value, compressed or not
_ZSTD = b"\x28\xb5\x2f\xfd"


class _Layout(NamedTuple):
    """A database of one tool: the columns by which it is known, and the rows to read."""

    name: str
    needs: dict[str, tuple[str, ...]]  # table -> columns
    query: str
    json: tuple[str, ...] = ()


# The first one whose tables are there counts. Schemas as of 2026-11: sst/opencode, block/goose, charmbracelet/crush,
# NousResearch/hermes-agent, zed-industries/zed, github/copilot-cli, simonw/llm, Copilot Chat, Cursor 2.
_LAYOUTS: Final = (
    _Layout(
        "opencode",
        {"message": ("id", "session_id", "data"), "session": ("id", "parent_id", "directory")},
        """SELECT m.id, m.session_id, m.data, s.directory, s.parent_id
             FROM message m LEFT JOIN session s ON s.id = m.session_id ORDER BY m.rowid""",
        ("data",),
    ),
    _Layout(
        "opencode",
        {"message": ("id", "session_id", "data")},
        "SELECT id, session_id, data FROM message ORDER BY rowid",
        ("data",),
    ),
    _Layout(
        "copilot",
        {"assistant_usage_events": ("model", "input_tokens", "output_tokens")},
        "SELECT rowid AS row_number, * FROM assistant_usage_events ORDER BY rowid",
    ),
    _Layout(
        "goose",
        {"sessions": ("id", "accumulated_input_tokens", "accumulated_output_tokens", "model_config_json")},
        "SELECT * FROM sessions ORDER BY rowid",
        ("model_config_json",),
    ),
    _Layout(
        "crush",
        {"sessions": ("id", "prompt_tokens", "completion_tokens", "cost"), "messages": ("session_id", "model")},
        """SELECT s.*, (SELECT CASE WHEN count(DISTINCT model) = 1 THEN max(model) END FROM messages
                         WHERE session_id = s.id AND model <> '') AS model
             FROM sessions s ORDER BY s.rowid""",
    ),
    _Layout(
        "crush",
        {"sessions": ("id", "prompt_tokens", "completion_tokens", "cost")},
        "SELECT * FROM sessions ORDER BY rowid",
    ),
    _Layout(
        "hermes",
        {"sessions": ("id", "model", "input_tokens", "output_tokens")},
        "SELECT * FROM sessions ORDER BY rowid",
    ),
    _Layout(
        "zed",
        {"threads": ("id", "updated_at", "data_type", "data")},
        "SELECT id, updated_at, data_type, data FROM threads ORDER BY rowid",
        ("data",),
    ),
    _Layout(
        "llm",
        {"responses": ("id", "model", "prompt", "datetime_utc", "input_tokens", "output_tokens", "token_details")},
        "SELECT * FROM responses ORDER BY rowid",
    ),
    _Layout(
        "agent_traces",
        {"spans": ("span_id", "trace_id", "operation_name", "start_time_ms"), "span_attributes": ("span_id", "key")},
        """SELECT s.*, (SELECT json_group_object(a.key, a.value) FROM span_attributes a
                         WHERE a.span_id = s.span_id) AS attributes FROM spans s ORDER BY s.rowid""",
        ("attributes",),
    ),
    _Layout(
        "cursor",
        {"cursorDiskKV": ("key", "value")},
        "SELECT key, value FROM cursorDiskKV WHERE key LIKE 'bubbleId:%' ORDER BY rowid",
        ("value",),
    ),
)


def write_ahead_log(path: Path, head: bytes = SQLITE) -> Path | None:
    """The file beside a database that holds its last changes; None where there is none, or an empty one.

    `head` are the first bytes of a file that need not be a database.
    """
    if not head.startswith(SQLITE):
        return None
    log = path.with_name(path.name + "-wal")
    with contextlib.suppress(OSError):
        if log.stat().st_size:
            return log
    return None


def database_rows(path: Path) -> Iterator[Row]:
    """The rows of a database of a known layout.

    Raises InputError for any other one, StreamCutError after the last row that a damaged one still gives.
    """
    number = 0
    with contextlib.ExitStack() as open_things:
        if write_ahead_log(path) is None:
            where, mode = path, "mode=ro&immutable=1"
        else:
            folder = Path(open_things.enter_context(tempfile.TemporaryDirectory(prefix="hindcast-")))
            where, mode = _copy(path, folder), "mode=ro"
        try:
            connection = open_things.enter_context(
                contextlib.closing(sqlite3.connect(f"{where.absolute().as_uri()}?{mode}", uri=True))
            )
            connection.text_factory = _text
            layout = _layout(connection)
            if layout is None:
                raise InputError(
                    "a SQLite database of no known tool, and no table of it has token counts", where=str(path),
                    remedy="Export the table as CSV or JSON.",
                )  # fmt: skip
            cursor = connection.execute(layout.query)
            names = [column[0] for column in cursor.description]
            for number, values in enumerate(cursor, 1):
                yield _row(number, layout, dict(zip(names, values, strict=True)))
        except sqlite3.Error as error:
            if number:
                raise StreamCutError(f"the database is damaged after row {number}: {error}"[:200]) from None
            raise InputError(f"not a readable SQLite database: {str(error)[:120]}", where=str(path)) from None


def _copy(path: Path, folder: Path) -> Path:
    """A copy of a database and its write-ahead log, made again if either changed meanwhile."""
    log = path.with_name(path.name + "-wal")
    copy = folder / "copy.db"
    for _ in range(3):
        before = path.stat().st_mtime_ns, log.stat().st_mtime_ns if log.exists() else None
        shutil.copyfile(path, copy)
        if log.exists():
            shutil.copyfile(log, folder / "copy.db-wal")
        if before == (path.stat().st_mtime_ns, log.stat().st_mtime_ns if log.exists() else None):
            break
    return copy


def _layout(connection: sqlite3.Connection) -> _Layout | None:
    tables: dict[str, set[str]] = {}
    for (name,) in connection.execute("SELECT name FROM sqlite_master WHERE type = 'table'").fetchall():
        columns = connection.execute("SELECT name FROM pragma_table_info(?)", (name,)).fetchall()
        tables[name] = {column for (column,) in columns}
    for layout in _LAYOUTS:
        if all(tables.get(table, set()).issuperset(columns) for table, columns in layout.needs.items()):
            return layout
    return _counting(connection, tables)


def _counting(connection: sqlite3.Connection, tables: dict[str, set[str]]) -> _Layout | None:
    """The table of an unknown database whose columns name token counts; of several, the one with most rows."""
    best = None
    for name, columns in sorted(tables.items()):
        if any(names_tokens(column) for column in columns):
            quoted = '"' + name.replace('"', '""') + '"'
            rows = connection.execute(f"SELECT count(*) FROM {quoted}").fetchone()[0]
            if best is None or rows > best[0]:
                best = rows, _Layout(name, {}, f"SELECT * FROM {quoted}")
    return best[1] if best else None


def _row(number: int, layout: _Layout, values: dict[str, Any]) -> Row:
    try:
        for name in layout.json:
            values[name] = _decoded(values[name])
    except (msgspec.DecodeError, ValueError, RecursionError, zstandard.ZstdError) as error:
        return Row(number, 0, None, values, BadRecordError(f"a column that is not JSON: {error}"[:200], f"$.{name}"))
    clean = {name: value for name, value in values.items() if not isinstance(value, bytes)}
    return Row(number, 0, None, {"database": layout.name, **clean}, None)


def _decoded(value: Any) -> Any:
    if value is None or value == "" or value == b"":
        return None
    data = value if isinstance(value, bytes) else str(value).encode("utf-8", "surrogatepass")
    if len(data) > _VALUE_LIMIT:
        raise ValueError("too large")
    if data.startswith(_ZSTD):
        data = zstandard.ZstdDecompressor(max_window_size=1 << 27).decompressobj().decompress(data)
        if len(data) > _VALUE_LIMIT:
            raise ValueError("too large")
    return decode(data)


def _text(value: bytes) -> str:
    return value.decode("utf-8", "replace")
