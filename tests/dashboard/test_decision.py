"""The page that asks for a decision: its numbers are those of the commands, and parts sum to the bill."""

from __future__ import annotations

import json
import re
from dataclasses import replace
from datetime import date, timedelta
from decimal import Decimal
from html import unescape
from pathlib import Path
from typing import Any

import pytest
import spiky as made
from builder import build_store
from typer.testing import CliRunner

import sample_logs
from analysis.formatting import money, share
from analysis.ledger import ledger
from cli.app import app
from cli.python_api.reports import default_strategies
from dashboard.documents import docx_report, html_report
from dashboard.documents.decision import plain, rounded
from dashboard.documents.showback import Showback, cents_that_sum, showback
from dashboard.documents.story import Findings, gather
from ingest.errors import InputError
from ingest.store.database import Store
from replay.advice.policy_in_words import policy_in_words
from replay.advice.result_in_words import sentence
from replay.strategy.schema import Strategy, load, parse

OWNED = {"owner": "Dana", "decision": "send a tenth through it", "decide_by": date(2024, 3, 18)}


@pytest.fixture(scope="module")
def strategies() -> list[Strategy]:
    return [load(path).model_copy(update=OWNED) for path in sample_logs.strategies()[1:]]


@pytest.fixture(scope="module")
def findings(spiky: Store, strategies: list[Strategy], tmp_path_factory: pytest.TempPathFactory) -> Findings:
    folder = tmp_path_factory.mktemp("settings")
    (folder / "hindcast.toml").write_text("[budget]\nusd_per_month = 300\n")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        return gather(spiky, strategies, finance=True)


def ask(store: Store, *arguments: str) -> Any:
    result = CliRunner().invoke(app, [*arguments, "--store", str(store.path), "--json"])
    assert result.exit_code == 0, result.output
    return json.loads(result.stdout)


def words(page: str) -> str:
    bare = re.sub(r"<(script|style)\b.*?</\1>", "", page, flags=re.DOTALL)
    return unescape(re.sub(r"<[^>]+>", " ", bare)).replace("\u00a0", " ")


def dollars_of(text: str) -> set[str]:
    return set(re.findall(r"-?\$[\d,]+(?:\.\d+)?", text))


def test_every_dollar_on_the_pages_is_a_number_of_a_command(spiky: Store, findings: Findings, tmp_path: Path) -> None:
    """All dollars of each page are gathered, as HTML, Markdown and Word: each is the model's, and the model's are
    those of the commands."""
    ahead = ask(spiky, "forecast")
    decision = findings.decision.to_json()
    assert decision["forecast"] == ahead["periods"]
    best = findings.best
    assert best is not None
    files = [str(path) for path in sample_logs.strategies()[1:]]
    replayed = ask(spiky, "replay", *files, "--since", "2024-03-05", "--until", "2024-03-08")
    entry = next(one for one in replayed["strategies"] if one["name"] == best.name)
    assert entry["run_id"] == best.run_id  # who decides is no part of what was replayed
    part = Decimal(entry["cost_usd"]) / Decimal(entry["baseline_cost_usd"])
    month, proposed = findings.decision.month, findings.decision.proposed
    assert month is not None
    assert proposed is not None
    assert abs(proposed.usd[0] - month.expected * part) <= Decimal("0.01")
    assert proposed.usd[0] + proposed.saved[0] == month.expected
    for amounts in (proposed.usd, proposed.saved):
        assert amounts[1] <= amounts[0] <= amounts[2]
    for one in findings.decision.units:
        if one.unit != "good answer":
            unit = ask(spiky, "cost", "--per", one.unit, "--since", "2024-03-05", "--until", "2024-03-08")["total"]
            assert Decimal(unit["usd_per_unit"]) == one.now
    known = {money(Decimal(one["cost_usd"])) for one in [ask(spiky, "cost")["total"]]}
    for number in _numbers([decision, findings.diagnosis, ask(spiky, "diagnose"), replayed, ahead]):
        known |= {money(number), money(-number), rounded(number), f"${number:,.0f}"}
    proposed_day, logged_day = best.per_day(), best.logged_per_day()
    ends = best.per_day_range()
    assert proposed_day is not None
    assert logged_day is not None
    assert ends is not None
    days = [findings.before(), findings.since(), logged_day, proposed_day, *ends]
    days += [logged_day - one for one in (proposed_day, *ends)]
    times = [one * 12 for one in (month.expected, proposed.usd[0], proposed.saved[0])]
    drawn = [step.amount for part in _parts(findings) for step in getattr(part, "steps", ())]
    for number in [*days, *times, *drawn, *(findings.decision.waiting() or ()), Decimal(300), Decimal(0)]:
        assert number is not None
        known |= {money(number), money(abs(number)), rounded(number)}
    assert findings.showback is not None
    table = findings.showback.table()
    printed = [*table.rows, table.total or ()]
    known |= {money(cell) for row in printed for cell in row if isinstance(cell, Decimal)}
    for audience in html_report.AUDIENCES:
        page = words(html_report.html(findings, audience))
        for text in (page, html_report.markdown(findings, audience), _word(findings, audience, tmp_path)):
            bare = text.replace("\\", "").replace("+$", "$").replace("*", "")
            assert dollars_of(bare)
            strange = {one for one in dollars_of(bare) if one not in known and one.removeprefix("-") not in known}
            assert not strange, audience


def _word(findings: Findings, audience: str, folder: Path) -> str:
    docx = pytest.importorskip("docx", reason="python-docx is not installed")
    docx_report.write(findings, audience, folder / "page.docx")
    written = docx.Document(str(folder / "page.docx"))
    cells = [cell.text for table in written.tables for row in table.rows for cell in row.cells]
    return "\n".join([*(line.text for line in written.paragraphs), *cells])


def _parts(findings: Findings) -> list[Any]:
    from dashboard.documents.report_sections import sections

    return [part for section in sections(findings, "stakeholders") for part in section.parts]


def _numbers(value: Any) -> set[Decimal]:
    """Every amount of documents, as decimals; sentences are searched for dollars."""
    if isinstance(value, dict):
        return set().union(*map(_numbers, value.values())) if value else set()
    if isinstance(value, (list, tuple)):
        return set().union(*map(_numbers, value)) if value else set()
    if isinstance(value, bool) or value is None:
        return set()
    if isinstance(value, (int, float)):
        return {Decimal(repr(value))}
    if re.fullmatch(r"-?\d+(\.\d+)?", str(value)):
        return {Decimal(value)}
    return {Decimal(one.replace("$", "").replace(",", "")) for one in dollars_of(str(value))}


def test_the_page_says_what_is_proposed_what_it_rests_on_and_who_decides(findings: Findings) -> None:
    text = words(html_report.html(findings, "stakeholders"))
    best = findings.best
    assert best is not None
    assert findings.decision.policy in text
    assert "Each week of waiting costs" in text
    assert "$300.00 in March 2024" in text
    scored = best.quality["scored_calls"]
    assert (f"{scored:,} of the log's" if scored else "None of the log's") in text
    assert "Dana decides by Mon 18 Mar 2024: send a tenth through it." in text
    assert not re.findall(r"(?:Mon|Tue|Wed|Thu|Fri|Sat|Sun) \d+ [A-Z][a-z]{2}(?! \d{4})", text)


def test_a_share_beside_means_of_days_is_theirs_or_says_of_what_it_is(findings: Findings) -> None:
    best = findings.best
    assert best is not None
    assert "of all calls" not in sentence(best)
    begun = replace(best, baseline_pico=best.baseline_pico + 10**12)  # a day under way, which is in no mean of days
    assert f"({share(-(begun.saved_share or 0), sign=True)} of all calls, days under way too)" in sentence(begun)


def test_a_bill_with_calls_without_a_price_has_no_range(findings: Findings) -> None:
    bill = findings.decision.forecast
    assert bill is not None
    lost = replace(bill, unpriced=bill.calls // 2)
    page = html_report.markdown(
        replace(findings, decision=replace(findings.decision, forecast=lost)), "stakeholders"
    ).replace("\\", "")
    assert "comes to at least" in page
    month = lost.period("next_month")
    row = next(line for line in page.splitlines() if line.startswith(f"| {month.title} |"))
    assert " to " not in row


def test_a_year_is_told_as_a_rate_without_a_range(findings: Findings) -> None:
    row = re.search(r"12 such months([^|]*(?:\|[^|\n]*){3})", html_report.markdown(findings, "stakeholders"))
    assert row is not None
    assert " to " not in row[1]
    assert len(dollars_of(row[1].replace("\\", ""))) == 3


def test_without_strategies_the_demo_has_its_own_and_another_log_gets_drafts(spiky: Store, tmp_path: Path) -> None:
    rows = [{"start_time": made.SPIKE + timedelta(minutes=n), "agent": "mine", "input_tokens": 900} for n in range(6)]
    other = build_store(tmp_path / "other.duckdb", rows)
    ledger.update(other)
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(tmp_path)
        assert [one.name for one in default_strategies(spiky)] == [load(one).name for one in sample_logs.strategies()]
        drafted = default_strategies(other)
    assert "refinement_agent" not in str([one.document() for one in drafted])


def test_who_decides_changes_no_run(strategies: list[Strategy]) -> None:
    bare = [load(path) for path in sample_logs.strategies()[1:]]
    assert [one.canonical_json() for one in strategies] == [one.canonical_json() for one in bare]
    assert strategies[0].document()["decide_by"] == "2024-03-18"


def test_finance_is_shown_parts_that_are_the_bill(spiky: Store, findings: Findings) -> None:
    bill = Decimal(ask(spiky, "cost")["total"]["cost_usd"])
    shown = findings.showback
    assert shown is not None
    assert shown.bill == bill
    assert sum((sum(row[1], Decimal(0)) for row in shown.rows), Decimal(0)) == bill
    table = shown.table()
    assert table.total is not None
    at = [column.title for column in table.columns].index("USD")
    assert sum(row[at] for row in table.rows) == table.total[at]
    by_agent = ask(spiky, "cost", "--by", "agent")["rows"]
    told = shown.to_json()
    assert {row["name"]: row["usd"] for row in told["rows"]} == {row["agent"]: row["cost_usd"] for row in by_agent}


def test_a_tag_divides_the_bill_where_calls_have_one(tmp_path: Path) -> None:
    rows = [
        {
            "start_time": made.SPIKE + timedelta(minutes=n),
            "tags": [f"cost_center:{n % 3}"],
            "output_tokens": n,
            "input_tokens": 1000 + 7 * n,
        }
        for n in range(30)
    ]
    store = build_store(tmp_path / "tags.duckdb", rows)
    ledger.update(store)
    found = showback(store, None)
    assert found.by == "tag.cost_center"
    assert len(found.rows) == 3
    assert sum((sum(row[1], Decimal(0)) for row in found.rows), Decimal(0)) == found.bill > 0


def test_cents_sum_to_the_total_in_cents() -> None:
    amounts = [Decimal("0.333333333333")] * 3 + [Decimal("1.005"), Decimal("-0.0049")]
    cents = cents_that_sum(amounts)
    assert sum(cents) == sum(amounts).quantize(Decimal("0.01"))
    assert all(abs(cent - amount) < Decimal("0.01") for cent, amount in zip(cents, amounts, strict=True))


def test_months_that_round_up_still_print_the_bill() -> None:
    month = date(2025, 1, 1)
    months = tuple(month.replace(month=number) for number in (7, 8, 9, 10))
    rows = (("a", tuple(map(Decimal, ("0.001", "2.1176", "5.816", "29.487"))), 9, 0),
            ("b", tuple(map(Decimal, ("1.717", "0.2806", "0.7619", "1.5116"))), 9, 0))  # fmt: skip
    bill = sum((sum(row[1], Decimal(0)) for row in rows), Decimal(0))
    table = Showback("agent", months, rows, bill).table()
    assert table.total is not None
    assert table.total[5] == bill.quantize(Decimal("0.01")) == sum(table.total[1:5])
    for at in range(1, 6):
        assert sum(row[at] for row in table.rows) == table.total[at]
    for row in table.rows:
        assert sum(row[1:5]) == row[5]


def test_markdown_and_word_say_what_the_page_says(findings: Findings, tmp_path: Path) -> None:
    text = _word(findings, "stakeholders", tmp_path)
    page = html_report.html(findings, "stakeholders")
    drawn = dollars_of(" ".join(re.findall(r'aria-label="([^"]*)"', page)))  # where there are no pictures, words
    assert dollars_of(text) <= dollars_of(words(page)) | drawn
    markdown = html_report.markdown(findings, "stakeholders").replace("\\", "")
    assert dollars_of(markdown) <= dollars_of(words(page)) | drawn
    for said in (findings.decision.policy, findings.decision.who):
        assert said in text
        assert said in markdown


def test_without_python_docx_the_extra_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(docx_report, "find_spec", lambda name: None)
    with pytest.raises(InputError, match=r"llm-hindcast\[docx\]"):
        docx_report.require()


def test_a_policy_reads_as_a_sentence() -> None:
    assert policy_in_words(parse("{name: a, route: [{default: small}]}")) == "Send all calls to small."
    said = policy_in_words(
        parse("""{name: b, compress: [whitespace], cache: {tiers: [{name: m, ttl: 5m}, {name: r, ttl: 24h}]},
                  route: [{match: {task: [x, y], agent: z}, model: big}, {when: "task LIKE '%deep%'", model: big},
                          {default: small}]}""")
    )
    assert said == (
        "Shorten prompts without changing what they say (whitespace); send x and y calls of z and calls whose task "
        "contains 'deep' to big, and all other calls to small; answer a request that was asked before with the earlier "
        "answer, kept for up to 1 day."
    )
    assert policy_in_words(parse("{name: c}")) == "Leave every call as it is."


def test_limits_are_told_in_plain_words() -> None:
    said = plain("left with the logged model: 884 calls, which the target does not fit (window)")
    assert said == "884 calls stay with today's model, because they are too long for the other one."
    assert plain("something new") == "Something new."
    unchecked = plain("prompt cache of m: the log has nothing to check its simulation against: its dollars are a range")
    assert unchecked == "What the provider's cache saves on m follows from its rules, unchecked by this log: a range."
    biased = plain(
        "prompt cache of m: the log is reproduced with bias -2.3 %, spread 1 % by day; in dollars bias +5.3 %: its "
        "dollars are a range"
    )
    assert "m's bill comes out +5.3 % from the one that was paid" in biased
