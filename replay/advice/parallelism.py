"""How long sessions would take if calls that use nothing of each other ran at the same time.

What depends on what is inferred from the log. A call waits for an earlier one of its session that had ended before it
began, if its input continues that call's conversation or holds words that the call's answer was the first to bring.
Where the texts of both are there and show neither, the two could run side by side. Where a text is missing, the answer
is too short to be told again, the earlier call failed or asked for tools (which change the world), it is open whether
the order mattered. So there is a range: `logged` keeps every order, `least` only the proven one, and between them
`likely` keeps the open one too. A decision that hung on an answer leaves no trace in a text, so even `likely` is a
reading of the log, not a proof. The time between the end of the last earlier call and a call's start stays in front of
it throughout. A pause of more than a minute ends a stretch of work, and nothing moves across it. A provider's rate
limits, and the prompt cache that parallel calls cannot share, are left out.
"""

from __future__ import annotations

import json
import re
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import date, datetime, timedelta
from itertools import pairwise
from typing import Any, Final

import duckdb

from analysis import time_zone
from ingest.errors import InputError
from ingest.store.database import Store
from replay.message_text import texts

PAUSE_MS: Final = 60_000
SHINGLE: Final = 8  # words in a row that two texts share only if one was made from the other
MOST_SESSIONS: Final = 2_000
AT_ONCE: Final = 50  # sessions whose texts are held at a time
ANSWERS: Final = ("assistant", "tool", "function", "model")


@dataclass(frozen=True)
class Step:
    """One call of a session. `inputs` and `output` are content numbers; `settled`: it answered and asked for no tool.

    `timed`: its duration is logged; else it is taken to end where the next call of its session begins.
    """

    label: str
    start_ms: int
    end_ms: int
    inputs: tuple[int, ...]
    output: int | None
    settled: bool = True
    timed: bool = True


@dataclass(frozen=True)
class Waits:
    """For one step, the earlier steps of its stretch: `proven` it used, `open` it may have needed."""

    proven: frozenset[int]
    open: frozenset[int]


@dataclass(frozen=True)
class Message:
    """A content's role, and its words in order; None where the log keeps no text."""

    role: str | None
    words: tuple[str, ...] | None


@dataclass(frozen=True)
class Needless:
    """Steps that waited for another without using it: how often, and the milliseconds that they waited for nothing."""

    before: str
    after: str
    times: int
    waited_ms: int

    def to_json(self) -> dict[str, Any]:
        return {"before": self.before, "after": self.after, "times": self.times, "waited_ms": self.waited_ms}


@dataclass(frozen=True)
class Report:
    """Milliseconds summed over stretches of two calls or more."""

    sessions: int
    sessions_of: int  # in the window, with two calls or more
    stretches: int
    calls: int
    untimed: int
    textless: int  # calls whose input or answer has no text
    logged_ms: int
    likely_ms: int
    least_ms: int
    needless: tuple[Needless, ...] = field(default=())

    def to_json(self) -> dict[str, Any]:
        return {
            "sessions": self.sessions,
            "sessions_of": self.sessions_of,
            "stretches": self.stretches,
            "calls": self.calls,
            "calls_without_duration": self.untimed,
            "calls_without_text": self.textless,
            "logged_ms": self.logged_ms,
            "likely_ms": self.likely_ms,
            "least_ms": self.least_ms,
            "needless_waits": [row.to_json() for row in self.needless],
            "inferred": True,
        }


def critical_path(
    store: Store, *, since: date | None = None, until: date | None = None, most: int = MOST_SESSIONS
) -> Report:
    """Analyse up to `most` sessions of the window, evenly spread. Raises InputError where no session has two calls."""
    with store.read() as con:
        names = _sessions(con, since, until)
        if not names:
            raise InputError(
                "no session of this window has two calls", remedy="Sessions come from conversation_id or trace_id."
            )
        step = max(len(names) / most, 1.0)
        chosen = [names[int(i * step)] for i in range(min(most, len(names)))]
        total = _Total()
        for place in range(0, len(chosen), AT_ONCE):
            for steps, contents in _load(con, chosen[place : place + AT_ONCE], since, until):
                for stretch in stretches(steps):
                    total.add(stretch, contents)
    return total.report(len(chosen), len(names))


# -- one session -------------------------------------------------------------------------------------------------------


def stretches(steps: Sequence[Step]) -> Iterator[list[Step]]:
    """The steps in order of their start, cut where nothing was in flight for more than a minute."""
    current: list[Step] = []
    end = 0
    for step in _ended(sorted(steps, key=lambda s: (s.start_ms, s.end_ms))):
        if current and step.start_ms - end > PAUSE_MS:
            yield current
            current = []
        end = max(end, step.end_ms) if current else step.end_ms
        current.append(step)
    if current:
        yield current


def _ended(steps: Sequence[Step]) -> Iterator[Step]:
    """Steps without a duration end where the next one begins, unless that is a pause away."""
    for place, step in enumerate(steps):
        after = steps[place + 1].start_ms if place + 1 < len(steps) else step.start_ms
        known = step.timed or after - step.start_ms > PAUSE_MS
        yield step if known else replace(step, end_ms=after)


def waits(steps: Sequence[Step], contents: Mapping[int, Message]) -> list[Waits]:
    """What each step of a stretch (in order of start) waited for, as far as the texts show."""
    owner: dict[str, int] = {}  # words -> the step whose answer was the first to bring them
    seen: set[str] = set()
    sources: dict[int, frozenset[int]] = {}  # content -> steps whose answers it holds
    answers: dict[int, list[int]] = defaultdict(list)
    distinct: list[bool] = []
    threads: dict[int, list[int]] = defaultdict(list)
    found: list[Waits] = []
    for number, step in enumerate(steps):
        proven: set[int] = set()
        for content in dict.fromkeys(step.inputs):
            if content not in sources:
                signs = _signs(contents.get(content))
                sources[content] = frozenset(owner[sign] for sign in signs if sign in owner)
                seen |= signs
            proven |= sources[content]
            proven.update(answers.get(content, ()))
        proven |= set(_continued(step.inputs, contents, threads))
        earlier = [i for i in range(number) if steps[i].end_ms <= step.start_ms]
        told = all(_has_text(contents.get(content)) for content in step.inputs) and bool(step.inputs)
        unsure = {i for i in earlier if not (told and distinct[i] and steps[i].settled)}
        proven &= set(earlier)
        found.append(Waits(frozenset(proven), frozenset(unsure - proven)))
        threads[_prefix(step.inputs)].append(number)
        mine = _signs(contents.get(step.output)) - seen if step.output is not None else set()
        new = {sign for sign in mine if sign not in owner}
        distinct.append(sum(not sign.startswith("=") for sign in new) >= SHINGLE)
        owner |= dict.fromkeys(new, number)
        if step.output is not None:
            answers[step.output].append(number)
    return found


def finish(steps: Sequence[Step], needed: Sequence[Iterable[int]]) -> int:
    """Milliseconds from the first start to the last end if every step waits for just these earlier ones."""
    first = min(step.start_ms for step in steps)
    ends: list[int] = []
    for number, step in enumerate(steps):
        last = max((s.end_ms for s in steps[:number] if s.end_ms <= step.start_ms), default=first)
        begin = max((ends[i] for i in needed[number]), default=first) + step.start_ms - last
        ends.append(begin + step.end_ms - step.start_ms)
    return max(ends) - first


def _prefix(inputs: Iterable[int]) -> int:
    value = 7
    for content in inputs:
        value = (value * 1_000_003 + content + 1) % ((1 << 61) - 1)
    return value


def _continued(
    inputs: Sequence[int], contents: Mapping[int, Message], threads: Mapping[int, list[int]]
) -> Iterator[int]:
    """The steps whose whole input stands at the head of this one, with an answer or a tool's result behind it."""
    value = 7
    for content, behind in pairwise(inputs):
        value = (value * 1_000_003 + content + 1) % ((1 << 61) - 1)
        message = contents.get(behind)
        if message is not None and message.role in ANSWERS:
            yield from threads.get(value, ())


def _has_text(message: Message | None) -> bool:
    return message is not None and message.words is not None


def _signs(message: Message | None) -> set[str]:
    """What tells a text again: itself as a whole, and every run of SHINGLE words."""
    if message is None or not message.words:
        return set()
    words = message.words
    runs = {" ".join(words[i : i + SHINGLE]) for i in range(len(words) - SHINGLE + 1)}
    return {"= " + " ".join(words), *runs}


class _Total:
    """Sums over stretches."""

    def __init__(self) -> None:
        self.stretches = self.calls = self.untimed = self.textless = 0
        self.logged = self.likely = self.least = 0
        self.pairs: dict[tuple[str, str], list[int]] = defaultdict(lambda: [0, 0])

    def add(self, steps: Sequence[Step], contents: Mapping[int, Message]) -> None:
        if len(steps) < 2:
            return
        found = waits(steps, contents)
        self.stretches += 1
        self.calls += len(steps)
        self.untimed += sum(not step.timed for step in steps)
        self.textless += sum(not _told(step, contents) for step in steps)
        self.logged += max(step.end_ms for step in steps) - min(step.start_ms for step in steps)
        self.likely += finish(steps, [wait.proven | wait.open for wait in found])
        self.least += finish(steps, [wait.proven for wait in found])
        self._needless(steps, found)

    def _needless(self, steps: Sequence[Step], found: Sequence[Waits]) -> None:
        """The step that ended last before each step, where it was not needed and kept it waiting."""
        first = min(step.start_ms for step in steps)
        for number, (step, wait) in enumerate(zip(steps, found, strict=True)):
            earlier = [i for i in range(number) if steps[i].end_ms <= step.start_ms]
            if not earlier:
                continue
            last = max(earlier, key=lambda i: (steps[i].end_ms, i))
            needed = wait.proven | wait.open
            ready = max((steps[i].end_ms for i in needed), default=first)
            if last not in needed and ready < steps[last].end_ms:
                row = self.pairs[steps[last].label, step.label]
                row[0] += 1
                row[1] += steps[last].end_ms - ready

    def report(self, sessions: int, sessions_of: int) -> Report:
        rows = [Needless(before, after, *figures) for (before, after), figures in self.pairs.items()]
        return Report(
            sessions=sessions,
            sessions_of=sessions_of,
            stretches=self.stretches,
            calls=self.calls,
            untimed=self.untimed,
            textless=self.textless,
            logged_ms=self.logged,
            likely_ms=self.likely,
            least_ms=self.least,
            needless=tuple(sorted(rows, key=lambda row: (-row.waited_ms, row.before, row.after))),
        )


def _told(step: Step, contents: Mapping[int, Message]) -> bool:
    asked = bool(step.inputs) and all(_has_text(contents.get(content)) for content in step.inputs)
    return asked and step.output is not None and _has_text(contents.get(step.output))


# -- from the store ----------------------------------------------------------------------------------------------------

_SESSION = "coalesce(conversation_id, trace_id)"


def _sessions(con: duckdb.DuckDBPyConnection, since: date | None, until: date | None) -> list[str]:
    rows = con.execute(
        f"""SELECT {_SESSION} AS session FROM calls
            WHERE start_time IS NOT NULL AND {_SESSION} IS NOT NULL
              AND ($since IS NULL OR start_time >= $since::TIMESTAMP)
              AND ($until IS NULL OR start_time < $until::TIMESTAMP)
            GROUP BY session HAVING count(*) > 1 ORDER BY min(start_time), session""",
        _window(since, until),
    ).fetchall()
    return [str(row[0]) for row in rows]


def _window(since: date | None, until: date | None) -> dict[str, datetime | None]:
    return {
        "since": time_zone.day_start(since) if since else None,
        "until": time_zone.day_start(until + timedelta(days=1)) if until else None,
    }


def _load(
    con: duckdb.DuckDBPyConnection, sessions: Sequence[str], since: date | None, until: date | None
) -> Iterator[tuple[list[Step], Mapping[int, Message]]]:
    rows = con.execute(
        f"""SELECT {_SESSION} AS session, coalesce(agent, '-') || ' / ' || coalesce(task, '-'),
                epoch_ms(start_time), duration_ms, epoch_ms(end_time), message_ids, output_id,
                status = 'ok' AND NOT coalesce(pending_tool_calls, false)
            FROM calls WHERE {_SESSION} IN (SELECT unnest($sessions)) AND start_time IS NOT NULL
              AND ($since IS NULL OR start_time >= $since::TIMESTAMP)
              AND ($until IS NULL OR start_time < $until::TIMESTAMP)
            ORDER BY session, start_time, source_id, source_row""",
        {"sessions": list(sessions), **_window(since, until)},
    ).fetchall()
    used = sorted({number for row in rows for number in [*(row[5] or ()), *([] if row[6] is None else [row[6]])]})
    contents = _contents(con, used)
    by_session: dict[str, list[Step]] = {}
    for session, label, start, duration, end, ids, output, settled in rows:
        took = round(duration) if duration is not None else (end - start if end is not None else 0)
        timed = duration is not None or end is not None
        step = Step(label, start, start + max(took, 0), tuple(ids or ()), output, bool(settled), timed)
        by_session.setdefault(session, []).append(step)
    for session in sessions:
        yield by_session.get(session, []), contents


def _contents(con: duckdb.DuckDBPyConnection, numbers: Sequence[int]) -> dict[int, Message]:
    rows = con.execute(
        "SELECT content_id, role, text FROM contents WHERE content_id IN (SELECT unnest($ids::INTEGER[]))",
        {"ids": list(numbers)},
    ).fetchall()
    return {number: Message(role, None if text is None else _words(text)) for number, role, text in rows}


def _words(text: str) -> tuple[str, ...]:
    """The words of a canonical message, tool calls and their arguments too: whatever a later prompt could repeat."""
    message = json.loads(text)
    parts = list(texts(message))
    if not parts:  # an answer that is only tool calls
        parts = [json.dumps(message, ensure_ascii=False)]
    return tuple(re.findall(r"\w+", " ".join(parts).lower()))
