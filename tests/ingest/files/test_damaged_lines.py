"""Whole records in damaged lines: all are found, nothing inside a cut record is taken for one, in linear time."""

from __future__ import annotations

import json
import time
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ingest.files import line_files

WORDS = st.text(st.sampled_from('ab"\\{}[]:,\n\u00e9\U0001f600 '), max_size=8)
LEAVES = WORDS | st.integers(-9, 9) | st.none() | st.booleans()
VALUES = st.recursive(LEAVES, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(WORDS, inner, max_size=3))
RECORDS = st.builds(lambda number, body: {"uuid": number, "kind": "call", "body": body}, st.integers(0, 99), VALUES)


def saved(line: bytes) -> tuple[list[Any], int]:
    """(records of the line, how many rows of it are lost)."""
    rows = list(line_files.line_rows(line, 0, 0))
    return [row.record for row in rows if row.error is None], sum(row.error is not None for row in rows)


@given(st.lists(RECORDS, min_size=1, max_size=4), st.sampled_from(["", " ", ",", "\t", "\x1e"]), st.booleans())
def test_records_glued_together_are_all_read(records: list[Any], between: str, ascii_only: bool) -> None:
    line = between.join(json.dumps(record, ensure_ascii=ascii_only) for record in records)
    assert saved(line.encode()) == (records, 0)


@given(RECORDS, st.data())
def test_a_whole_record_behind_a_cut_one_is_read_and_the_cut_one_told(record: Any, data: st.DataObject) -> None:
    cut = json.dumps({"uuid": 7, "kind": "turn", "text": "so it goes", "parts": [{"a": "b"}, {"c": {"d": 1}}]})
    cut = cut[: data.draw(st.integers(len('{"uuid": 7, "kind"'), len(cut) - 1))]
    assert saved((cut + json.dumps(record)).encode()) == ([record], 1)


@given(RECORDS, st.data())
def test_a_cut_record_alone_gives_no_record(record: Any, data: st.DataObject) -> None:
    text = json.dumps(record)
    assert saved(text[: data.draw(st.integers(1, len(text) - 1))].encode()) == ([], 1)


@given(RECORDS, st.integers(1, 5), st.booleans())
def test_a_run_of_nuls_is_told_and_the_record_beside_it_read(record: Any, count: int, before: bool) -> None:
    text, nuls = json.dumps(record).encode(), b"\x00" * count
    assert saved(nuls + text if before else text + nuls) == ([record], 1)


@pytest.mark.parametrize(
    ("line", "record"),
    [
        (rb'{"a": "\ud83d"}', {"a": "\ufffd"}),
        (rb'{"a": "\ud83d\ude00 \ude00"}', {"a": "\U0001f600 \ufffd"}),
        (rb'{"a": "\\ud83d"}', {"a": "\\ud83d"}),
        (b'{"a": "\xff\xe9"}', {"a": "\ufffd\ufffd"}),
        (b'{"a": "x\ty"}', {"a": "x\ty"}),
        (b'{"a": 1e999, "b": -Infinity, "c": ' + b"9" * 400 + b"}",
         {"a": float("inf"), "b": float("-inf"), "c": float("inf")}),
        (b'\xef\xbb\xbf{"a": 1},', {"a": 1}),
        (b'2026-03-02 12:00:01 INFO {"a": 1}', {"a": 1}),
    ],
)  # fmt: skip
def test_what_json_parsers_of_other_tools_accept_is_read(line: bytes, record: Any) -> None:
    assert saved(b"{}\n" + line) == ([{}, record], 0)


@pytest.mark.parametrize(
    "unit", [b"{", b"}", b'"', b'\\"', b"{}", b'{"a":', b"[", b"\x00", b'{"a":1},', b"}{", b'"}{"']
)
def test_a_damaged_line_takes_time_by_its_length(unit: bytes) -> None:
    line = unit * (400_000 // len(unit))
    begin = time.process_time()
    saved(b"{" + line + b"x")
    saved(line + b'{"a":1}')
    assert time.process_time() - begin < 8  # a quadratic way takes minutes
