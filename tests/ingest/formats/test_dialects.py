"""One call with known counts, written in every dialect that tokens are logged in, reads back as the same call."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
from dialect_writers import DIALECTS, Dialect, Truth
from hypothesis import given, settings
from hypothesis import strategies as st

from ingest.format_contract import Context, Outcome
from ingest.formats import detect_record, formats
from ingest.pipeline.run import ingest
from ingest.records.call import SUM_OF_CALLS, BadRecordError, Call, Skip
from ingest.records.claimed_usage import claimed_usage
from ingest.store.memory import MemoryStore

# formats whose rows are no calls, or are read by a description of the user's own
NO_DIALECT = {"provider_usage", "mapping"}
# remarks that say how the counts were understood, or what the record does not tell; the counts stand
REMARKS = {"cache_outside_input", "reasoning_outside_output", "time_of_file", "time_of_thread", "cost_from_quota",
           "cache_unknown", SUM_OF_CALLS}  # fmt: skip
FEW = settings.default.max_examples // 4  # an example is a call in all dialects
CONTEXT = Context(path=Path("home/s.jsonl"), mtime_us=1_772_445_602_000_000)


def records(written: Any) -> list[Any]:
    return written if isinstance(written, list) else [written]


def read(written: Any, expected: str | None = None) -> list[Outcome]:
    """The outcomes of a file of these records, read by the format that recognises one of them."""
    rows = records(written)
    found = next((one for one in map(detect_record, rows) if one is not None), None)
    assert found is not None, "no format recognises it"
    assert expected in (None, found.name), found.name
    reader = found.open(CONTEXT)
    outcomes: list[Outcome] = []
    for number, row in enumerate(rows, 1):
        one = reader.read(row, number)
        outcomes.extend(one if isinstance(one, list) else [one])
    return [*outcomes, *reader.close()]


def told(truth: Truth, one: Dialect) -> Truth:
    """The call without what the dialect cannot tell."""
    silent = {"read": {}, "written": {"written": 0, "hour": 0}, "hour": {"hour": 0}, "heard": {"heard": 0},
              "spoken": {"spoken": 0}, "tier": {"tier": None}, "failed": {"failed": False}}  # fmt: skip
    changes = {
        key: value for part, changed in silent.items() if part not in one.tells for key, value in changed.items()
    }
    return dataclasses.replace(truth, **changes)


def differences(truth: Truth, one: Dialect) -> dict[str, Any]:
    """What the call that is read has otherwise than the one that was written."""
    calls = [call for call in read(one.write(truth), one.format) if isinstance(call, Call)]
    if one.write.__name__ == "codex_by_running_totals":
        del calls[0]
    if len(calls) != 1:
        return {"calls": len(calls)}
    call = calls[0]
    facts = {
        "input": (call.input_tokens, truth.asked), "output": (call.output_tokens, truth.made),
        "read": (call.cache_read_input_tokens or 0, truth.read),
        "written": (call.cache_creation_input_tokens or 0, truth.written),
        "hour": (call.cache_creation_1h_input_tokens or 0, truth.hour),
        "reasoning": (call.reasoning_output_tokens or 0, truth.thought),
        "heard": (call.audio_input_tokens or 0, truth.heard), "spoken": (call.audio_output_tokens or 0, truth.spoken),
        "tier": (call.service_tier, truth.tier), "batch": (call.is_batch, True), "region": (call.region, "us"),
        "cost": (call.logged_cost_pico, 1_000_000), "failed": (call.status == "error", truth.failed),
        "sums": (any(code == SUM_OF_CALLS for code, _ in call.issues or ()), True),
    }  # fmt: skip
    wrong = {name: pair for name, pair in facts.items() if name in {*one.tells, "input", "output"} and
             pair[0] != pair[1]}  # fmt: skip
    remarks = {code for code, _ in call.issues or ()} - REMARKS
    return {**wrong, **({"remarks": remarks} if remarks else {})}


@st.composite
def truths(draw: st.DrawFn) -> Truth:
    """Calls of which a total tells where the parts lie: thoughts are as many as cached tokens only if none."""
    fresh, shown = draw(st.integers(1, 10**6)), draw(st.integers(1, 10**5))
    read, written = draw(st.integers(0, 10**6)), draw(st.integers(0, 10**6))
    thought = draw(st.integers(0, 10**5).filter(lambda n: n == 0 or n not in (read, written, read + written)))
    hour = round(written * draw(st.sampled_from([0.0, 0.5, 1.0])))
    heard, spoken = draw(st.integers(0, fresh)), draw(st.integers(0, shown))
    tier = draw(st.sampled_from([None, "flex", "priority"]))
    return Truth(fresh, read, written, hour, shown, thought, heard, spoken, tier, failed=draw(st.booleans()))


def test_every_format_has_a_dialect_and_every_dialect_a_format() -> None:
    assert {one.format for one in DIALECTS.values()} | NO_DIALECT == {one.name for one in formats()}


@settings(max_examples=FEW)
@given(truth=truths())
def test_the_same_call_in_every_dialect(truth: Truth) -> None:
    wrong = {name: found for name, one in DIALECTS.items() if (found := differences(told(truth, one), one))}
    assert not wrong


@settings(max_examples=FEW)
@given(data=st.data())
def test_a_row_with_usage_is_never_without_an_outcome(data: st.DataObject) -> None:
    """Whatever key is missing beside the usage, the row is a call, or is counted with a reason."""
    for name, one in DIALECTS.items():
        written = one.write(told(Truth(10, 5, 3, 1, 7, 2), one))
        rows = records(written)
        places = [place for row in rows for place in (row, *(v for v in row.values() if isinstance(v, dict))) if place]
        place = data.draw(st.sampled_from(places), label=name)
        del place[data.draw(st.sampled_from(sorted(place)), label=name)]
        if not any(detect_record(row) for row in rows):
            continue  # the file is passed over, and says so
        with suppress(BadRecordError):
            assert all(isinstance(found, Call | Skip | BadRecordError) for found in read(written)), name
            assert read(written), name


@pytest.mark.parametrize("part", ["read", "written", "hour", "reasoning", "heard", "spoken", "tier", "batch", "region",
                                  "cost", "failed", "sums"])  # fmt: skip
def test_every_part_of_a_call_is_told_by_several_formats(part: str) -> None:
    assert len({one.format for one in DIALECTS.values() if part in one.tells}) >= 3


def paths(value: Any, depth: int = 3) -> Iterator[tuple[Any, ...]]:
    """Where the keys of a record stand, to a depth."""
    inside = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, inner in inside if depth else ():
        if isinstance(value, dict):
            yield (key,)
        yield from ((key, *rest) for rest in paths(inner, depth - 1))


def without(rows: list[Any], number: int, path: tuple[Any, ...]) -> list[Any]:
    """The records, of which one lost the key at a path."""
    rows = json.loads(json.dumps(rows))
    place = rows[number]
    for key in path[:-1]:
        place = place[key]
    del place[path[-1]]
    return rows


@pytest.mark.slow
def test_no_file_that_names_usage_leaves_every_counter_untouched(tmp_path: Path) -> None:
    """Each key of each record is cut out in turn: a file of its own for each, and one ingest of all."""
    logs = tmp_path / "logs"
    logs.mkdir()
    claims: dict[str, int] = {}
    for name, one in DIALECTS.items():
        rows = records(one.write(told(Truth(10, 5, 3, 1, 7, 2), one)))
        if one.format in ("recorded_http", "event_stream") or any("database" in row for row in rows):
            continue  # no lines of JSON
        for number, row in enumerate(rows):
            for place, path in enumerate(paths(row)):
                left = without(rows, number, path)
                file = f"{name}-{number}-{place}.jsonl"
                (logs / file).write_text("".join(json.dumps(one) + "\n" for one in left))
                claims[file] = claimed_usage(left).tokens
    report = ingest(MemoryStore(tmp_path / "s.duckdb"), [logs], workers=1)
    touched = {Path(file["path"]).name for file in report.files
               if any(file.get(count) for count in ("calls", "duplicates", "quarantined", "left_out"))}  # fmt: skip
    named = {Path(path).name for path in report.passed_over_usage}
    assert len(claims) > 1000
    untouched = sorted(file for file, tokens in claims.items() if tokens and file not in touched | named)
    assert not untouched, [(logs / file).read_text() for file in untouched]
