"""Prompt templates: the lines that many prompts share, and what varies between them.

The head of a call is its messages up to the first one of a user. A line that stands in many distinct heads is static;
the ordered static lines of a head are its skeleton, runs of other lines are its slots. Skeletons of one agent and task
that share most of their lines are versions of one template; a version is made of lines that nearly every head has
while they are in use. A message that the log keeps by hash only counts as one
line, so templates are found without text too, as far as whole messages repeat.

Measured on 6,584 prompts of 34 labelled templates: adjusted Rand index .73, against .03 for drain3 and .44 for MinHash.
"""

from __future__ import annotations

import hashlib
import json
from bisect import bisect_left, bisect_right
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date, timedelta
from decimal import Decimal
from typing import Any, Final

import duckdb

from analysis import time_zone
from analysis.formatting import usd
from analysis.ledger.costs_view import costs_relation
from ingest.errors import InputError
from ingest.store.database import Store

OPENING: Final = 6  # messages of a call that its head is looked for in
SHORTEST: Final = 8  # characters of a line that can tell a template
MOST_LINES: Final = 40  # static lines of a skeleton that are compared
NEARLY_ALL: Final = 0.9  # of the heads while a line is in use, for it to be part of a version
ALIKE: Final = 0.5  # share of static lines that two versions of a template have in common
FEWEST: Final = 5
SHARE: Final = 0.15  # of the distinct heads of an agent and task, for a line to tell its template


@dataclass(frozen=True)
class Version:
    """One skeleton: when it was in use, and what its calls cost."""

    version: str  # short hash of the skeleton
    first: date
    last: date
    calls: int
    unpriced_calls: int
    cost_usd: Decimal | None
    input_tokens: float | None  # per call
    static_lines: int
    slots: float  # runs of varying lines per prompt
    opening: str  # its first static line


@dataclass(frozen=True)
class PromptTemplate:
    """Prompts of one agent that share their text but for what varies."""

    agent: str | None
    task: str | None
    versions: list[Version] = field(default_factory=list)

    @property
    def calls(self) -> int:
        """How many calls used it."""
        return sum(v.calls for v in self.versions)

    @property
    def cost_usd(self) -> Decimal | None:
        """What they cost; None where none is priced."""
        priced = [v.cost_usd for v in self.versions if v.cost_usd is not None]
        return sum(priced, Decimal(0)) if priced else None

    @property
    def opening(self) -> str:
        """The opening words of its most used version."""
        return max(self.versions, key=lambda v: (v.calls, v.version)).opening


@dataclass(frozen=True)
class TemplateReport:
    """The templates of a window, dearest first."""

    templates: list[PromptTemplate]
    calls: int
    calls_without_messages: int

    def to_json(self) -> dict[str, Any]:
        """The document of `hindcast templates --json`: dollars as decimal strings."""
        return {
            "templates": [
                {
                    "agent": t.agent, "task": t.task, "opening": t.opening, "calls": t.calls,
                    "cost_usd": usd(t.cost_usd),
                    "versions": [
                        {
                            "version": v.version, "first": v.first.isoformat(), "last": v.last.isoformat(),
                            "calls": v.calls, "unpriced_calls": v.unpriced_calls, "cost_usd": usd(v.cost_usd),
                            "input_tokens": v.input_tokens, "static_lines": v.static_lines,
                            "slots": round(v.slots, 2), "opening": v.opening,
                        }
                        for v in t.versions
                    ],
                }
                for t in self.templates
            ],
            "calls": self.calls,
            "calls_without_messages": self.calls_without_messages,
        }  # fmt: skip


@dataclass
class _Head:
    """A distinct head of one agent and task with the figures of its calls."""

    agent: str | None
    task: str | None
    ids: tuple[int, ...]
    figures: tuple[Any, ...]  # first, last, calls, unpriced, cost, input tokens


def templates(store: Store, *, since: date | None = None, until: date | None = None) -> TemplateReport:
    """Templates of the calls in the window, dearest first. Raises InputError where no call keeps its messages."""
    with store.read() as con:
        heads, calls, without = _heads(con, since, until)
        lines = _lines(con, {i for head in heads for i in head.ids})
    if calls and not heads:
        raise InputError("no call keeps its messages", where=store.address, remedy="Ingest without --no-text.")
    found = []
    for (agent, task), members in _places(heads).items():
        for family in _families(members, lines):
            found.append(PromptTemplate(agent, task, _versions(family, lines)))
    found.sort(key=lambda t: (-(t.cost_usd or Decimal(0)), -t.calls, str(t.agent), str(t.task), t.opening))
    return TemplateReport(found, calls, without)


def template_ids(store: Store) -> list[tuple[str, list[int]]]:
    """(template, its calls) of every call that keeps messages: the hash of the version with most calls names it.

    Templates are found over the whole log, so that an id means the same in every window of it.
    """
    with store.read() as con:
        heads, *_ = _heads(con, None, None)
        lines = _lines(con, {i for head in heads for i in head.ids})
        rows = con.execute(
            f"""SELECT agent, task, message_ids[:{OPENING:d}] AS ids, list(call_no ORDER BY call_no) FROM calls
                WHERE start_time IS NOT NULL AND len(message_ids) > 0 GROUP BY agent, task, ids"""
        ).fetchall()
        asked = {row[0] for row in con.execute("SELECT content_id FROM contents WHERE role = 'user'").fetchall()}
    calls: dict[tuple[str | None, str | None, tuple[int, ...]], list[int]] = {}
    for agent, task, ids, numbers in rows:
        calls.setdefault((agent, task, _head_of(ids, asked)), []).extend(numbers)
    found: list[tuple[str, list[int]]] = []
    taken: Counter[tuple[str | None, str | None, str]] = Counter()
    for (agent, task), members in _places(heads).items():
        for family in _families(members, lines):
            name = max(_versions(family, lines), key=lambda v: (v.calls, v.version)).version
            taken[agent, task, name] += 1
            again = taken[agent, task, name]
            numbers = sorted(number for head in family for number in calls.get((agent, task, head.ids), ()))
            found.append((name if again == 1 else f"{name}-{again}", numbers))
    return found


def _head_of(ids: Sequence[int], asked: set[int]) -> tuple[int, ...]:
    """The messages up to the first one of a user."""
    return tuple(ids[: next((i + 1 for i, number in enumerate(ids) if number in asked), len(ids))])


def _heads(con: duckdb.DuckDBPyConnection, since: date | None, until: date | None) -> tuple[list[_Head], int, int]:
    relation = costs_relation(con)
    where, values = ["start_time IS NOT NULL"], {}
    if since:
        where.append("start_time >= $since")
        values["since"] = time_zone.day_start(since)
    if until:
        where.append("start_time < $until")
        values["until"] = time_zone.day_start(until + timedelta(days=1))
    window = " AND ".join(where)
    rows = con.execute(
        f"""SELECT agent, task, message_ids[:{OPENING:d}] AS ids, {time_zone.day_sql("min(start_time)")} AS first,
                   {time_zone.day_sql("max(start_time)")} AS last, count(*), count(*) - count(cost_usd), sum(cost_usd),
                   sum(input_tokens)::DOUBLE
            FROM {relation} WHERE {window} AND len(message_ids) > 0
            GROUP BY agent, task, ids ORDER BY first, agent, task, ids""",
        values,
    ).fetchall()
    asked = {row[0] for row in con.execute("SELECT content_id FROM contents WHERE role = 'user'").fetchall()}
    merged: dict[tuple[str | None, str | None, tuple[int, ...]], list[Any]] = {}
    for agent, task, ids, *figures in rows:
        merged.setdefault((agent, task, _head_of(ids, asked)), []).append(figures)
    heads = [_Head(agent, task, ids, _add(parts)) for (agent, task, ids), parts in merged.items()]
    calls, having = con.execute(
        f"SELECT count(*), count(*) FILTER (len(message_ids) > 0) FROM {relation} WHERE {window}", values
    ).fetchall()[0]
    return heads, calls, calls - having


def _add(parts: Sequence[Sequence[Any]]) -> tuple[Any, ...]:
    costs = [part[4] for part in parts if part[4] is not None]
    return (
        min(part[0] for part in parts),
        max(part[1] for part in parts),
        sum(part[2] for part in parts),
        sum(part[3] for part in parts),
        sum(costs, Decimal(0)) if costs else None,
        sum(part[5] or 0.0 for part in parts),
    )


def _lines(con: duckdb.DuckDBPyConnection, ids: set[int]) -> dict[int, list[str]]:
    """The lines of each message; a message without text is one line that names it."""
    found = {}
    rows = con.execute(
        "SELECT content_id, text FROM contents WHERE content_id IN (SELECT unnest($ids::INTEGER[]))",
        {"ids": sorted(ids)},
    ).fetchall()
    for number, text in rows:
        found[number] = [f"(message {number})"] if text is None else _split(text)
    return found


def _split(text: str) -> list[str]:
    """Lines of the text parts of a canonical message."""
    content = json.loads(text).get("content")
    parts = [content] if isinstance(content, str) else [
        part.get("text", "") for part in content or [] if isinstance(part, Mapping)
    ]  # fmt: skip
    lines = (line.strip() for part in parts if isinstance(part, str) for line in part.split("\n"))
    return [line for line in lines if line]


def _places(heads: Iterable[_Head]) -> dict[tuple[str | None, str | None], list[_Head]]:
    found: dict[tuple[str | None, str | None], list[_Head]] = {}
    for head in heads:
        found.setdefault((head.agent, head.task), []).append(head)
    return found


def _text(head: _Head, lines: Mapping[int, list[str]]) -> list[str]:
    return [line for i in head.ids for line in lines.get(i, ())]


def _families(heads: Sequence[_Head], lines: Mapping[int, list[str]]) -> list[list[_Head]]:
    """Heads of one agent and task whose frequent lines are mostly the same, most calls first."""
    counts = Counter(line for head in heads for line in set(_text(head, lines)) if len(line) >= SHORTEST)
    least = min(len(heads), max(FEWEST, SHARE * len(heads)))
    static = {line for line, n in counts.items() if n >= least}
    families: list[tuple[set[str], list[_Head]]] = []
    for head in sorted(heads, key=lambda h: (-h.figures[2], h.ids)):
        mine = set(list(dict.fromkeys(line for line in _text(head, lines) if line in static))[:MOST_LINES])
        for kept, members in families:
            union = len(mine | kept)
            if union == 0 or len(mine & kept) / union >= ALIKE:
                members.append(head)
                break
        else:
            families.append((mine, [head]))
    return [members for _, members in families]


def _versions(family: Sequence[_Head], lines: Mapping[int, list[str]]) -> list[Version]:
    """Versions of a template in order of first use. A line belongs to the template if nearly every head between its
    first and its last use has it; a line that comes and goes is content."""
    texts = [(head, _text(head, lines)) for head in family]
    spans: dict[str, tuple[date, date, int]] = {}
    for head, text in texts:
        for line in set(text):
            if len(line) >= SHORTEST:
                first, last, n = spans.get(line, (head.figures[0], head.figures[1], 0))
                spans[line] = (min(first, head.figures[0]), max(last, head.figures[1]), n + 1)
    starts = sorted(head.figures[0] for head, _ in texts)
    ends = sorted(head.figures[1] for head, _ in texts)

    def alive(first: date, last: date) -> int:
        return bisect_right(starts, last) - bisect_left(ends, first)

    known = {
        line
        for line, (first, last, n) in spans.items()
        if n >= min(len(texts), FEWEST) and n >= NEARLY_ALL * alive(first, last)
    }
    groups: dict[tuple[str, ...], list[tuple[_Head, int]]] = {}
    for head, text in texts:
        skeleton, slots, varying = [], 0, False
        for line in text:
            if line in known:
                skeleton.append(line)
                varying = False
            elif not varying:
                slots, varying = slots + 1, True
        groups.setdefault(tuple(skeleton), []).append((head, slots))
    found = [_version(skeleton, members) for skeleton, members in groups.items()]
    return sorted(found, key=lambda v: (v.first, v.version))


def _version(skeleton: tuple[str, ...], members: Sequence[tuple[_Head, int]]) -> Version:
    first, last, calls, unpriced, cost, tokens = _add([head.figures for head, _ in members])
    return Version(
        version=hashlib.sha256("\n".join(skeleton).encode()).hexdigest()[:8],
        first=first,
        last=last,
        calls=calls,
        unpriced_calls=unpriced,
        cost_usd=cost,
        input_tokens=tokens / calls if tokens else None,
        static_lines=len(skeleton),
        slots=sum(slots for _, slots in members) / len(members),
        opening=skeleton[0][:100] if skeleton else "(no static line)",
    )
