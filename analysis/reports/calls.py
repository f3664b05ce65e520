"""The calls behind a figure: lists of calls and sessions by any dimension, and the text of one call."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from decimal import Decimal
from typing import Any, Final

import duckdb

from analysis.dimensions import Filter, Where, as_filter
from analysis.formatting import count, money, usd
from analysis.ledger.costs_view import costs_relation
from analysis.reports.call_labels import labelled
from analysis.reports.cost import condition
from ingest.errors import InputError, did_you_mean
from ingest.store.database import Store, has_tables

ORDERS: Final = {
    "cost": "cost_usd DESC NULLS LAST, call_no",
    "time": "start_time NULLS LAST, source_id, source_row, call_no",
    "tokens": "coalesce(input_tokens, 0) + coalesce(output_tokens, 0) DESC, call_no",
    "duration": "duration_ms DESC NULLS LAST, call_no",
}
COLUMNS: Final = (
    "call_no", "start_time", "provider_name", "model", "agent", "task", "conversation_id", "status", "finish_reason",
    "input_tokens", "cache_read_input_tokens", "output_tokens", "reasoning_output_tokens", "duration_ms", "cost_usd",
    "cost_status", "weight", "content_state", "source_id", "source_row",
)  # fmt: skip
OPENING: Final = 80  # characters


@dataclass(frozen=True)
class CallList:
    """The first rows in the asked order, and what all `matched` rows come to.

    `calls` counts a row that stands for several calls (its `weight`) as many.
    """

    rows: list[dict[str, Any]]
    matched: int
    calls: int
    cost_usd: Decimal | None
    unpriced_calls: int

    @property
    def summary(self) -> str:
        """The total in a sentence."""
        unpriced = f", {self.unpriced_calls:,} of them without a price" if self.unpriced_calls else ""
        return f"{count(self.calls, 'call')}, {money(self.cost_usd)} together{unpriced}."

    def to_json(self) -> dict[str, Any]:
        """The document of `hindcast calls --json`: dollars as decimal strings."""
        return {
            "calls": [_plain(row) for row in self.rows],
            "total": {
                "calls": self.calls,
                "cost_usd": usd(self.cost_usd),
                "unpriced_calls": self.unpriced_calls,
            },
        }


@dataclass(frozen=True)
class Message:
    """One part of a call: `kind` is message, tools or output. `text` is None where the store keeps no text."""

    kind: str
    role: str | None
    text: str | None
    chars: int | None


def calls(
    store: Store,
    where: Where = None,
    *,
    since: date | None = None,
    until: date | None = None,
    order: str = "cost",
    limit: int = 50,
) -> CallList:
    """The calls that a filter keeps (`analysis.dimensions.as_filter`), dearest first.

    `since` and `until` are inclusive UTC days. Raises InputError for an unknown dimension or order.
    """
    if order not in ORDERS:
        raise InputError(f"no order '{order}'", remedy=did_you_mean(order, ORDERS))
    chosen = as_filter(where)
    keep, values = condition(chosen, since, until)
    with store.read() as con:
        _require_costs(con, store)
        source = _source(con, store, chosen, since, until)
        # first which, then their columns: sorting ten million wide rows for twenty of them is ten times the work
        numbers = [
            number
            for (number,) in con.execute(
                f"SELECT call_no FROM {source} WHERE {keep} ORDER BY {ORDERS[order]} LIMIT {int(limit):d}",
                values,
            ).fetchall()
        ]
        found = con.execute(
            f"""SELECT {", ".join(f"costs.{name}" for name in COLUMNS)}, sources.path
                FROM costs LEFT JOIN sources USING (source_id)
                WHERE call_no IN (SELECT unnest(?::BIGINT[])) ORDER BY {ORDERS[order]}""",
            [numbers],
        ).fetchall()
        matched, stood_for, cost, unpriced = con.execute(
            f"""SELECT count(*), sum(weight), sum(cost_usd), coalesce(sum(weight) FILTER (cost_usd IS NULL), 0)
                FROM {source} WHERE {keep}""",
            values,
        ).fetchall()[0]
    rows = [dict(zip((*COLUMNS, "source"), row, strict=True)) for row in found]
    return CallList(rows, matched, round(stood_for or 0), cost, round(unpriced))


def sessions(
    store: Store,
    where: Where = None,
    *,
    since: date | None = None,
    until: date | None = None,
    limit: int = 50,
) -> list[dict[str, Any]]:
    """Sessions by cost: calls, distinct requests (by exact key, where known), tokens, dollars, first and last time."""
    chosen = as_filter(where)
    keep, values = condition(chosen, since, until)
    with store.read() as con:
        _require_costs(con, store)
        source = _source(con, store, chosen, since, until)
        dearest = con.execute(
            f"""SELECT conversation_id, sum(cost_usd) AS usd FROM {source} WHERE {keep}
                GROUP BY conversation_id ORDER BY usd DESC NULLS LAST, conversation_id NULLS LAST
                LIMIT {int(limit):d}""",
            values,
        ).fetchall()
        named = [name for name, _ in dearest if name is not None]
        # the view and a list of constants: a filter that both tables' blocks are skipped by
        values |= {f"session_{i}": name for i, name in enumerate(named)}
        theirs = [f"conversation_id IN ({', '.join(f'$session_{i}' for i in range(len(named)))})"] if named else []
        theirs += ["conversation_id IS NULL"] if len(named) < len(dearest) else []
        rows = con.execute(
            f"""SELECT conversation_id AS session, count(*) AS calls,
                       count(DISTINCT key_canonical) AS distinct_requests,
                       sum(input_tokens)::HUGEINT AS input_tokens, sum(output_tokens)::HUGEINT AS output_tokens,
                       sum(cost_usd) AS cost_usd, count(*) FILTER (cost_usd IS NULL) AS unpriced_calls,
                       min(start_time) AS first, max(start_time) AS last
                FROM {labelled(con, store, "costs", chosen.dimensions)}
                WHERE {keep} AND ({" OR ".join(theirs) or "false"})
                GROUP BY conversation_id ORDER BY cost_usd DESC NULLS LAST, session NULLS LAST""",
            values,
        ).fetchall()
    names = ("session", "calls", "distinct_requests", "input_tokens", "output_tokens", "cost_usd", "unpriced_calls",
             "first", "last")  # fmt: skip
    return [dict(zip(names, row, strict=True)) for row in rows]


def messages(store: Store, call_no: int) -> list[Message]:
    """What was sent and what came back, in order; no text where the store was made without. Raises InputError if
    there is no such call.
    """
    with store.read() as con:
        rows = con.execute("SELECT message_ids, tools_id, output_id FROM calls WHERE call_no = ?", [call_no]).fetchall()
        if not rows:
            raise InputError(f"there is no call {call_no}", remedy="List some: hindcast calls")
        message_ids, tools_id, output_id = rows[0]
        wanted = [*([tools_id] if tools_id is not None else []), *(message_ids or []),
                  *([output_id] if output_id is not None else [])]  # fmt: skip
        found = {
            row[0]: Message(row[1], row[2], row[3], row[4])
            for row in con.execute(
                """SELECT content_id, kind, role, text, chars FROM contents
                   WHERE content_id IN (SELECT unnest(?::INT[]))""",
                [wanted],
            ).fetchall()
        }
    return [found[number] for number in wanted if number in found]


def openings(store: Store, content_ids: Sequence[int]) -> dict[int, str]:
    """How each of these texts begins, in one line of at most OPENING characters; without those that are not kept."""
    with store.read() as con:
        rows = con.execute(
            """SELECT content_id, kind, role, text, chars FROM contents
               WHERE content_id IN (SELECT unnest(?::INT[])) AND text IS NOT NULL""",
            [list(content_ids)],
        ).fetchall()
    return {row[0]: _opening(readable(Message(*row[1:]))) for row in rows}


def _opening(text: str) -> str:
    line = " ".join(text[: 4 * OPENING].split())
    return line if len(line) <= OPENING else f"{line[: OPENING - 3].rstrip()}..."


def readable(message: Message) -> str:
    """A message's text as a person reads it: the text parts; anything else as indented JSON."""
    if message.text is None:
        return "(no text kept: this store was made without texts, or the log had none)"
    try:
        value = json.loads(message.text)
    except ValueError:
        return message.text
    content = value.get("content") if isinstance(value, dict) else None
    if isinstance(content, str) and set(value) <= {"role", "content", "name"}:
        return content
    if isinstance(content, list) and all(
        isinstance(part, dict) and isinstance(part.get("text"), str) for part in content
    ):
        return "\n".join(part["text"] for part in content)
    return json.dumps(value, indent=2, ensure_ascii=False)


def _source(
    con: duckdb.DuckDBPyConnection, store: Store, chosen: Filter, since: date | None, until: date | None
) -> str:
    """The view where a filter leaves few calls, so that blocks of both tables are skipped; else the aligned tables."""
    ids = any(one.dimension.kind == "id" and not one.negated for one in chosen.conditions)
    few = ids or (since is not None and until is not None and (until - since).days < 2)
    return labelled(con, store, f"{'costs' if few else costs_relation(con)} AS costs", chosen.dimensions)


def plain_rows(rows: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """Rows as JSON values: dollars as decimal strings, times in ISO form."""
    return [_plain(row) for row in rows]


def _plain(row: Mapping[str, Any]) -> dict[str, Any]:
    return {
        name: usd(value) if isinstance(value, Decimal) else value.isoformat() if hasattr(value, "isoformat") else value
        for name, value in row.items()
    }


def _require_costs(con: duckdb.DuckDBPyConnection, store: Store) -> None:
    if con.execute("SELECT count(*) = 0 FROM calls").fetchall()[0][0]:
        raise InputError("the store holds no calls yet", where=store.address, remedy="Run: hindcast ingest PATH")
    if not has_tables(con, "costs"):
        raise InputError("the calls have no cost yet", where=store.address, remedy="Run: hindcast reprice")
