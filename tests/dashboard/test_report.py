"""The report: one file that says what the commands say, to the audience it is for, and shows log text as text."""

from __future__ import annotations

import json
import re
from decimal import Decimal
from html import unescape
from pathlib import Path
from typing import Any

import pytest
import spiky as made
from builder import build_store
from typer.testing import CliRunner, Result

import sample_logs
from analysis.formatting import money, share
from analysis.ledger import ledger
from cli.app import app
from dashboard.documents import html_report
from dashboard.documents.story import Findings, gather
from ingest.store.database import Store
from replay.strategy.schema import load


@pytest.fixture(scope="module")
def findings(spiky: Store) -> Findings:
    return gather(spiky, [load(path) for path in sample_logs.strategies()[1:]])


@pytest.fixture(scope="module")
def page(findings: Findings) -> str:
    return html_report.html(findings)


def body(page: str) -> str:
    """What a reader reads: without script, style and the pictures' data."""
    bare = re.sub(r"<(script|style)\b.*?</\1>", "", page, flags=re.DOTALL)
    return unescape(bare).replace("\u00a0", " ")


def hindcast(*arguments: str) -> Result:
    return CliRunner().invoke(app, list(arguments))


def ask(store: Store, *arguments: str) -> Any:
    result = hindcast(*arguments, "--store", str(store.path), "--json")
    assert result.exit_code == 0, result.output
    return json.loads(result.stdout)


def test_the_report_asks_no_other_machine_for_anything(page: str) -> None:
    assert not re.findall(r"<(?:script|link|img|iframe)[^>]*(?:src|href)=", page)
    assert "default-src 'none'" in page
    assert "@import" not in page
    assert "url(http" not in page


def test_the_report_says_what_diagnose_and_replay_say(spiky: Store, page: str, findings: Findings) -> None:
    text = body(page)
    found = ask(spiky, "diagnose", "--day", "2024-03-05")
    assert found["summary"].split(" in one day.")[0].replace("5 Mar", "5 Mar 2024") in text
    for cause in found["causes"]:
        assert money(Decimal(cause["delta"]), sign=True) in text
    files = [str(path) for path in sample_logs.strategies()[1:]]
    replayed = ask(spiky, "replay", *files, "--since", "2024-03-05", "--until", "2024-03-08")
    for entry in replayed["strategies"]:
        assert money(Decimal(entry["usd_per_day"])) in text
        assert share(entry["saved_share"]) in text
        assert entry["run_id"] in text


def test_stakeholders_get_three_numbers_two_pictures_and_one_recommendation(findings: Findings) -> None:
    text = html_report.html(findings, "stakeholders")
    assert text.count('class="hc-kpi"') == 3
    assert text.count('class="hc-picture"') + text.count('class="hc-steps"') == 2
    assert body(text).count("What is proposed") == 1
    assert "Words used" in text


def test_engineers_get_every_driver_and_every_limit(findings: Findings) -> None:
    text = body(html_report.html(findings, "engineers"))
    assert findings.diagnosis is not None
    assert findings.replay is not None
    for driver in findings.diagnosis["drivers"]:
        assert money(Decimal(driver["delta"]), sign=True) in text
    for entry in findings.replay.strategies:
        for limit in entry.limits:
            assert limit.replace("`", "'") in text


def test_what_is_unpriced_stands_in_every_report(findings: Findings) -> None:
    for audience in html_report.AUDIENCES:
        text = body(html_report.html(findings, audience))
        assert f"No price, in no total: 2 of {findings.coverage.calls:,} calls." in text


def test_text_from_a_log_is_text_in_the_report(findings: Findings) -> None:
    for audience in html_report.AUDIENCES:
        page = html_report.html(findings, audience)
        scripts = re.findall(r"<script[^>]*>", page)
        assert set(scripts) <= {"<script>", '<script type="application/json">'}
        assert scripts.count("<script>") == 2
        assert "<img" not in re.sub(r"<script\b.*?</script>", "", page, flags=re.DOTALL)
    written = html_report.markdown(findings, "engineers")
    assert "<script" not in written.replace("\\<script", "")
    assert "**bold**" not in written


def test_a_log_without_a_spike_says_so(tmp_path: Path) -> None:
    rows = [row for row in made.rows() if row["start_time"] < made.SPIKE]
    store = build_store(tmp_path / "calm.duckdb", rows)
    ledger.update(store)
    text = body(html_report.html(gather(store, [])))
    assert "no day stands out" in text
    assert "No policy was compared" in text


def test_a_log_without_prices_or_times_still_makes_a_report(tmp_path: Path) -> None:
    unpriced = build_store(tmp_path / "unpriced.duckdb", [{**made.rows()[1], "model": "nobody-knows"}])
    untimed = build_store(tmp_path / "untimed.duckdb", [{**made.rows()[1], "start_time": None, "end_time": None}])
    for store in (unpriced, untimed):
        ledger.update(store)
        found = gather(store, [load(path) for path in sample_logs.strategies()[1:2]])
        for audience in html_report.AUDIENCES:
            assert "1 of 1 call" in body(html_report.html(found, audience))
        assert html_report.markdown(found)


def test_the_command_writes_html_and_markdown_and_equal_stores_give_equal_bytes(
    spiky: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    strategy = str(sample_logs.strategies()[1])
    done = hindcast("report", strategy, "-o", "r.html", "--store", str(spiky.path), "--json")
    assert done.exit_code == 0, done.output
    assert json.loads(done.stdout)["path"] == "r.html"
    written = (tmp_path / "r.html").read_text()
    assert written.startswith("<!doctype html>")
    assert written == html_report.html(gather(spiky, [load(Path(strategy))]))
    done = hindcast("report", strategy, "--md", "--for", "stakeholders", "--store", str(spiky.path))
    assert done.exit_code == 0, done.output
    assert done.stdout == ""
    assert (tmp_path / "report.md").read_text().startswith("## The LLM bill went from")


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (("--for", "stakeholder"), "Did you mean 'stakeholders'?"),
        (("--md", "--pdf"), "two files"),
        (("--day", "someday"), "names no day"),
        (("-o", "/nowhere/at/all.html"), "cannot be written"),
        (("missing.yaml",), "no such file"),
    ],
)
def test_a_wrong_request_is_one_clear_line(
    spiky: Store, arguments: tuple[str, ...], says: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    done = hindcast("report", *arguments, "--store", str(spiky.path))
    assert done.exit_code != 0
    assert says in str(done.exception)
