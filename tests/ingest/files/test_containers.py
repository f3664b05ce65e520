"""Documents, pages and tables: every layout that tools print the same records in gives the same calls."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from ingest.files import containers
from ingest.pipeline.run import ingest
from ingest.store.memory import MemoryStore

CALLS = [
    {"hindcast": 1, "call_id": f"c{number}", "start_time": "2026-03-02T00:00:01Z", "request_model": "gpt-4o",
     "input_tokens": number, "output_tokens": 1, "input_messages": [{"role": "user", "content": "{\n  [x"}]}
    for number in range(6)
]  # fmt: skip
LAYOUTS: dict[str, Callable[[list[Any]], str]] = {
    "documents as jq prints them": lambda calls: "".join(json.dumps(one, indent=2) + "\n" for one in calls),
    "a list over lines": lambda calls: json.dumps(calls, indent=2),
    "a list in one line": json.dumps,
    "a list, an element a line": lambda calls: "[" + ",\n".join(map(json.dumps, calls)) + "]\n",
    "lists, one a line": lambda calls: "".join(json.dumps([one, one]) + "\n" for one in calls),
    "lists in a list": lambda calls: json.dumps([calls[:3], calls[3:]]),
    "pages, one a line": lambda calls: "".join(json.dumps({"data": [one], "has_more": True}) + "\n" for one in calls),
    "pages with other names": lambda calls: "".join(json.dumps({"n": 1, "items": [one]}) + "\n" for one in calls),
    "pages over lines": lambda calls: "".join(json.dumps({"data": [one]}, indent=4) + "\n" for one in calls),
    "a sequence of RFC 7464": lambda calls: "".join("\x1e" + json.dumps(one) + "\n" for one in calls),
    "no line ends": lambda calls: "".join(map(json.dumps, calls)),
}


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("codec", ["utf-8", "utf-16"])
def test_every_layout_of_the_same_records_gives_the_same_calls(layout: str, codec: str, tmp_path: Path) -> None:
    path = tmp_path / "log.json"
    path.write_bytes(LAYOUTS[layout](CALLS).encode(codec))
    report = ingest(MemoryStore(tmp_path / "s.duckdb"), [path], workers=1)
    assert (report.calls, report.quarantined, report.skipped) == (6, 0, 0)


@pytest.mark.parametrize(
    "layout", ["documents as jq prints them", "a list over lines", "a list in one line", "a list, an element a line"]
)
def test_a_document_that_breaks_off_gives_the_records_before_and_one_row_for_the_rest(
    layout: str, tmp_path: Path
) -> None:
    text = LAYOUTS[layout](CALLS)
    path = tmp_path / "log.json"
    path.write_text(text[: text.index('"c4"') + 20])
    rows = list(containers.document_rows(path))
    assert [row.record for row in rows if row.error is None] == CALLS[:4]
    assert sum(row.error is not None for row in rows) == 1


@pytest.mark.parametrize("codec", ["utf-8", "utf-8-sig", "utf-16", "utf-16-le"])
@pytest.mark.parametrize("delimiter", [",", ";", "\t"])
def test_a_table_is_read_whatever_its_delimiter_and_encoding(delimiter: str, codec: str, tmp_path: Path) -> None:
    out = io.StringIO()
    rows = [["model", "prompt"], ["gpt-4o", "a,b;c\t\u00e9"], ["gpt-4o-mini", "x" * 300_000]]
    csv.writer(out, delimiter=delimiter).writerows(rows)
    path = tmp_path / "log.csv"
    path.write_bytes(out.getvalue().encode(codec))
    assert [row.record for row in containers.csv_rows(path)] == [
        dict(zip(rows[0], row, strict=True)) for row in rows[1:]
    ]
