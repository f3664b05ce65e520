"""`hindcast check` ends with 1 where a gate fails, 2 on bad input and 0 else, in every form of output."""

from __future__ import annotations

import json
import math
import xml.etree.ElementTree as ET
from datetime import datetime, timedelta

import pytest
from builder import build_store
from typer.testing import CliRunner

from analysis.ledger.ledger import update
from cli.app import app
from ingest.errors import InputError

FIRST = datetime(2024, 9, 2)


@pytest.fixture(scope="module")
def store(tmp_path_factory):
    """Twenty days of twelve calls; on the last, forty."""
    path = tmp_path_factory.mktemp("check") / "s.duckdb"
    rows = [
        {"start_time": FIRST + timedelta(days=day, minutes=36 * i), "agent": "a<b>|`c`", "model": "gpt-4-turbo",
         "input_tokens": 20_000, "output_tokens": 500, "request_id": f"{day}-{i}", "duration_ms": 100.0 * i}
        for day in range(20)
        for i in range(40 if day == 19 else 12)
    ]  # fmt: skip
    update(build_store(path, rows))
    return str(path)


def check(store: str, *arguments: str, settings=None):
    given = ["--settings", str(settings)] if settings else []
    return CliRunner().invoke(app, ["check", "--store", store, *given, *arguments])


def test_an_odd_day_fails_and_an_ordinary_one_passes(store):
    failed = check(store, "--at", "2024-09-21")
    assert failed.exit_code == 1
    assert failed.output.startswith("1 of 4 gates failed")
    assert "FAIL  flagged day" in failed.output
    assert check(store, "--at", "2024-09-20").exit_code == 0


def test_what_the_log_cannot_say_is_shown_and_fails_where_asked(store, tmp_path):
    shown = check(store, "--at", "2025-01-01")
    assert (shown.exit_code, "?     flagged day" in shown.output) == (0, True)
    (tmp_path / "x.toml").write_text('[gates]\ncannot_say = ["flagged day"]\n')
    assert check(store, "--at", "2025-01-01", settings=tmp_path / "x.toml").exit_code == 1


def test_every_form_names_every_gate(store, tmp_path):
    limits = tmp_path / "x.toml"
    limits.write_text("[budget.agent.'a<b>|`c`']\nusd_per_day = 3\n[gates]\nlatency_p95_ms = 1\n")
    given = ("--at", "2024-09-21")
    document = json.loads(check(store, *given, "--json", settings=limits).stdout)
    names = [gate["name"] for gate in document["gates"]]
    assert document["failed"] == ["budget usd_per_day agent=a<b>|`c`", "flagged day", "latency p95"]
    cases = ET.fromstring(check(store, *given, "--format", "junit", settings=limits).stdout).iter("testcase")
    assert {case.get("name"): case.find("failure") is not None for case in cases} == {
        name: name in document["failed"] for name in names
    }
    annotations = check(store, *given, "--format", "github", settings=limits).stdout.splitlines()
    levels = {"failed": "::error", "cannot_say": "::warning", "passed": "::notice"}
    assert [line.split(" ")[0] for line in annotations] == [levels[gate["outcome"]] for gate in document["gates"]]
    comment = check(store, *given, "--format", "markdown", settings=limits).stdout
    assert comment.count("❌") == 3
    assert r"a\<b\>\|\`c\`" in comment


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("[budget.agent.abc]\nusd_per_day = 1", "no call has agent=abc"),
        ("[budget]\nusd_per_year = 1", "Did you mean 'usd_per_day'?"),
    ],
)
def test_bad_input_ends_with_2(store, tmp_path, text, said):
    (tmp_path / "x.toml").write_text(text)
    error = check(store, settings=tmp_path / "x.toml").exception
    assert isinstance(error, InputError)
    assert (error.exit_code, said in str(error)) == (2, True)


def test_a_settings_file_that_is_named_must_exist(store):
    assert "there is no such file" in str(check(store, settings="none.toml").exception)


# -- a change that is proposed -----------------------------------------------------------------------------------------


def test_a_dearer_strategy_fails_and_a_cheaper_one_of_unknown_quality_cannot_be_told(store, tmp_path):
    (tmp_path / "dear.yaml").write_text("{name: dear, route: [{default: gpt-4-32k}]}")
    (tmp_path / "cheap.yaml").write_text("{name: cheap, route: [{default: gpt-4o-mini}]}")
    dear = check(store, "--strategy", str(tmp_path / "dear.yaml"))
    assert dear.exit_code == 1
    assert "FAIL  dollars a day" in dear.output
    cheap = check(store, "--strategy", str(tmp_path / "cheap.yaml"), "--baseline", str(tmp_path / "dear.yaml"))
    assert cheap.exit_code == 0
    assert "?     quality" in cheap.output
    assert "with dear" in cheap.output


def test_limits_on_a_proposal_hold(store, tmp_path):
    (tmp_path / "same.yaml").write_text("{name: same, cache: {tiers: [{name: memory, ttl: 1h}]}}")
    (tmp_path / "x.toml").write_text("[gates]\nusd_per_day = 1\nhit_rate = 0.5\nlatency_p95_ms = 5000\n")
    found = check(store, "--strategy", str(tmp_path / "same.yaml"), "--json", settings=tmp_path / "x.toml")
    gates = {gate["name"]: gate for gate in json.loads(found.stdout)["gates"]}
    assert {name: gate["outcome"] for name, gate in gates.items()} == {
        "dollars a day": "failed", "quality": "passed", "hit rate": "failed", "latency p95": "passed",
    }  # fmt: skip
    known = sorted(100 * i for day in range(20) for i in range(1, 40 if day == 19 else 12))  # 0 ms is no duration
    assert float(gates["latency p95"]["measured"]) == known[math.ceil(0.95 * len(known)) - 1]


def test_options_of_the_other_kind_of_check_are_refused(store, tmp_path):
    assert "--since belongs to --strategy or --prompt" in str(check(store, "--since", "7d").exception)
    (tmp_path / "a.txt").write_text("a text")
    same = f"{tmp_path / 'a.txt'}={tmp_path / 'a.txt'}"
    assert "--at belongs to the gates of the log" in str(check(store, "--at", "2024-09-20", "--prompt", same).exception)
    assert "is not OLD=NEW" in str(check(store, "--prompt", "a.txt").exception)
    assert "there is no file 'none.txt'" in str(check(store, "--prompt", "none.txt=none.txt").exception)


def test_a_prompt_in_a_log_without_texts_cannot_be_told(store, tmp_path):
    (tmp_path / "a.txt").write_text("a text")
    same = f"{tmp_path / 'a.txt'}={tmp_path / 'a.txt'}"
    shown = check(store, "--prompt", same)
    assert shown.exit_code == 0
    assert "No call of the log uses" in shown.output
    assert "268 calls without text cannot tell" in shown.output
