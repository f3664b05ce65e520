"""A period's report: whole days against as many before them, sums that agree, promises and what came of them."""

from __future__ import annotations

from datetime import date, datetime, timedelta
from decimal import Decimal

import pytest
from builder import build_store

from analysis.gates.settings import Budget, Settings
from analysis.ledger.ledger import update
from analysis.reports.cost import cost
from dashboard.documents import document_views, story
from dashboard.documents.html_report import html, markdown
from dashboard.documents.period_review import period_of, review
from ingest.errors import InputError
from ingest.store.database import Store

MONDAY = datetime(2024, 9, 2)
CALL = Decimal("0.3")


@pytest.fixture(scope="module")
def store(tmp_path_factory) -> Store:
    """Three weeks, ten calls a day of one agent; in the third week another one makes five beside them; on the Monday
    after it the log ends at two o'clock."""
    rows = [
        {"start_time": MONDAY + timedelta(days=day, hours=2 * i, minutes=30), "agent": agent, "input_tokens": 30_000,
         "output_tokens": 0}
        for day in range(22)
        for agent, calls in (("writer", 12), ("scout", 5 if 14 <= day < 21 else 0))
        for i in range(calls if day < 21 else min(calls, 1))
    ]  # fmt: skip
    made = build_store(tmp_path_factory.mktemp("review") / "s.duckdb", rows)
    update(made)
    return made


def reviewed(store: Store, first: date, last: date, settings: Settings | None = None):
    coverage = document_views.coverage(store)
    by_agent = cost(store, by=("day", "agent")).to_json()
    costs = document_views.day_costs(by_agent)
    return review(store, settings or Settings(), coverage, by_agent, costs, first, last)


def test_a_week_that_ends_in_a_day_that_has_begun_ends_with_the_last_whole_one(store, monkeypatch):
    monkeypatch.setenv("HINDCAST_NOW", "2024-09-23")
    coverage = document_views.coverage(store)
    assert period_of(store, coverage, date(2024, 9, 17), None) == (date(2024, 9, 16), date(2024, 9, 22))
    with pytest.raises(InputError, match="Nothing is logged"):
        period_of(store, coverage, date(2024, 10, 1), None)


def test_the_week_is_held_against_the_week_before_and_its_changes_sum(store):
    found = reviewed(store, date(2024, 9, 16), date(2024, 9, 22))
    assert (found.total, found.before) == (7 * 17 * CALL, 7 * 12 * CALL)
    assert found.agents == (("scout", 7 * 5 * CALL, Decimal(0)), ("writer", 7 * 12 * CALL, 7 * 12 * CALL))
    assert sum(now - then for _, now, then in found.agents) == found.total - found.before
    assert found.headline == (
        "The LLM bill was $35.70 from Mon 16 Sep to Sun 22 Sep 2024, +41.7 % against the 7 days before ($25.20)"
    )


def test_what_lies_before_the_log_is_no_week_before(store):
    assert reviewed(store, date(2024, 9, 2), date(2024, 9, 8)).before is None


def test_promises_are_the_budget_and_the_outlook_of_the_eve(store):
    budgets = (Budget(Decimal(6), "usd", "day"), Budget(Decimal(500), "usd", "month"))
    found = reviewed(store, date(2024, 9, 16), date(2024, 9, 22), Settings(budgets=budgets))
    outlook, daily, monthly, none = found.promises
    assert outlook.startswith("On Sun 15 Sep September 2024 was heading for $104")  # 29 days of $3.60
    assert "By Sun 22 Sep it is heading for $12" in outlook
    assert outlook.endswith("outside that range.")
    assert daily.startswith("Kept: budget usd_per_day. $5.10 of $6.00 on Sun 22 Sep 2024")
    assert monthly.startswith("Kept: budget usd_per_month.")
    assert "no saving was promised" in none


def test_the_report_of_a_period_says_so_in_every_form(store, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    findings = story.gather(store, [], period=(date(2024, 9, 16), date(2024, 9, 22)))
    for text in (markdown(findings), html(findings), html(findings, "stakeholders"), html(findings, "engineers")):
        assert "from Mon 16 Sep 2024 to Sun 22 Sep 2024" in text
        assert "What was promised, and what came true" in text
