"""The filter bar: which days and calls it means, that every page holds to them, and the views that are saved."""

from __future__ import annotations

import json
import random
from collections.abc import Callable
from datetime import date, datetime, timedelta
from decimal import Decimal
from html import unescape
from pathlib import Path
from typing import Any

import pytest
from builder import build_store
from hypothesis import given
from hypothesis import strategies as st
from typer.testing import CliRunner

from analysis.dimensions import as_filter
from analysis.formatting import money
from analysis.ledger import ledger
from analysis.reports.cost import cost
from cli.app import app
from dashboard.data import view_files
from dashboard.data.filter_choices import filter_choices, tag_keys
from dashboard.data.view_files import SavedView
from dashboard.widgets import filter_bar
from ingest.errors import InputError
from ingest.store.database import Store

Opened = Callable[..., Any]
COVERED = [date(2024, 1, 20) + timedelta(days=number) for number in range(60)]  # to 19 Mar


def said(page: Any) -> str:
    return unescape("\n".join(part.value for part in page.html)).replace("\u00a0", " ")


@pytest.mark.parametrize(
    ("text", "first", "last"),
    [
        ("all days", date(2024, 1, 20), date(2024, 3, 19)),
        ("last 7 days", date(2024, 3, 13), date(2024, 3, 19)),
        ("last 90 days", date(2024, 1, 20), date(2024, 3, 19)),
        ("this month", date(2024, 3, 1), date(2024, 3, 19)),
        ("last month", date(2024, 2, 1), date(2024, 2, 29)),
        ("14d", date(2024, 3, 6), date(2024, 3, 19)),
        ("2024-01", date(2024, 1, 20), date(2024, 1, 31)),
        ("2024-03-01..2024-03-05", date(2024, 3, 1), date(2024, 3, 5)),
        ("from the spike on", date(2024, 3, 5), date(2024, 3, 19)),
    ],
)
def test_a_choice_of_days_counts_from_the_newest_day_of_the_log(text: str, first: date, last: date) -> None:
    assert filter_bar.window(text, COVERED, date(2024, 3, 5)) == (first, last)


@given(st.integers(1, 400), st.integers(1, 80))
def test_the_last_days_are_as_many_as_the_log_has_of_them(asked: int, has: int) -> None:
    covered = [date(2024, 1, 1) + timedelta(days=number) for number in range(has)]
    first, last = filter_bar.window(f"{asked}d", covered)
    assert (last - first).days + 1 == min(asked, has)
    assert last == covered[-1]


@pytest.mark.parametrize("text", ["2023", "nonsense", "2024-13", "2024-03-05..2024-03-01"])
def test_days_that_are_none_say_so(text: str) -> None:
    with pytest.raises(InputError):
        filter_bar.window(text, COVERED)


@pytest.fixture(scope="module")
def tagged(tmp_path_factory: pytest.TempPathFactory) -> Store:
    """Calls of two agents, whose names a filter must quote, with tags, over ten days; late ones at 23:30 UTC."""
    rng = random.Random(4)
    rows = []
    for day in range(10):
        for number in range(12):
            agent = ("star*agent", "plain")[number % 2]
            rows.append(
                {
                    "start_time": datetime(2024, 3, 1 + day, 23, 30) - timedelta(hours=2 * (number % 3)),
                    "agent": agent, "task": "t", "model": "gpt-4-turbo", "input_tokens": 1000 + rng.randrange(100),
                    "output_tokens": 100, "status": "ok" if number else "error",
                    "duration_ms": 100.0 * (number + 1),
                    "conversation_id": f"{agent}-{day}-{number // 6}", "request_id": f"{day}-{number // 2}",
                    "tags": [f"team:{'core' if number < 4 else 'edge'}", "loose"],
                }
            )  # fmt: skip
    rows.sort(key=lambda row: row["start_time"])
    store = build_store(tmp_path_factory.mktemp("tagged") / "tagged.duckdb", rows)
    ledger.update(store)
    return store


def test_every_offered_condition_keeps_the_calls_of_one_value(tagged: Store) -> None:
    offered = filter_choices(tagged)
    assert {"agent=star[*]agent", "agent=plain", "tag.team=core", "tag.team=edge", "status=error"} <= set(offered)
    assert not [one for one in offered if one.startswith(("task=", "model="))]  # of one value: nothing to choose
    assert tag_keys(tagged) == ["tag.team"]
    by_agent = {row["agent"]: row["calls"] for row in cost(tagged, by=["agent"]).rows}
    for one in offered:
        kept = cost(tagged, by=[], where=[one]).total["calls"]
        assert 0 < kept < 120
        if one.startswith("agent="):
            assert kept == by_agent[as_filter([one]).conditions[0].value.replace("[*]", "*")]  # type: ignore[union-attr]


@pytest.mark.parametrize("page", ["overview", "explore", "compare", "spike"])
def test_pages_show_the_calls_of_the_filter_alone(tagged: Store, open_page: Opened, page: str) -> None:
    shown = said(open_page(tagged, page, where="agent=plain", **({"days": "last 3 days"} if page != "spike" else {})))
    assert "agent=plain" in shown
    assert "star*agent" not in shown


def test_a_filtered_overview_says_what_the_command_says(tagged: Store, open_page: Opened) -> None:
    where = ["tag.team=core", "agent!=plain"]
    page = open_page(tagged, where=where, days="2024-03-02..2024-03-08", measure="cost per conversation")
    arguments = ["cost", "--per", "conversation", "--since", "2024-03-02", "--until", "2024-03-08", "--store"]
    asked = CliRunner().invoke(app, [*arguments, str(tagged.path), *(f"--where={one}" for one in where), "--json"])
    total = json.loads(asked.stdout)["total"]
    assert f"{money(Decimal(total['usd_per_unit']))} (" in said(page)
    assert f"over {total['units']} conversations" in said(page)


def test_days_are_of_the_chosen_zone_for_this_reader_alone(tagged: Store, open_page: Opened) -> None:
    # 23:30 UTC on 10 March is the 11th in Berlin, so the log there has a day more
    assert "10 days: Fri 1 Mar to Sun 10 Mar 2024, UTC" in said(open_page(tagged))
    assert "11 days: Fri 1 Mar to Mon 11 Mar 2024, Europe/Berlin" in said(open_page(tagged, tz="Europe/Berlin"))
    assert "10 days: Fri 1 Mar to Sun 10 Mar 2024, UTC" in said(open_page(tagged))


@pytest.mark.parametrize(
    ("query", "answer"),
    [
        ({"where": "agnt=plain"}, "Did you mean 'agent'?"),
        ({"where": "agent=nobody"}, "No call has agent=nobody"),
        ({"where": "agent"}, "has no '='"),
        ({"tz": "Europe/Berln"}, "Did you mean 'Europe/Berlin'?"),
        ({"days": "2024-13"}, "names no day"),
        ({"by": "other", "dimension": "modell"}, "Did you mean 'model'?"),
    ],
)
def test_what_an_address_gets_wrong_is_said(
    tagged: Store, open_page: Opened, query: dict[str, str], answer: str
) -> None:
    assert answer in said(open_page(tagged, **query))


def test_any_dimension_and_measure_is_drawn(tagged: Store, open_page: Opened) -> None:
    page = open_page(tagged, by="other", dimension="tag.team", measure="calls")
    spec = json.loads(page.get("plotly_chart")[0].proto.spec)
    assert {trace["name"] for trace in spec["data"] if trace["type"] == "bar"} == {"core", "edge"}
    assert "tag.team" in said(page)
    for measure, words in (("errors", "8.3 % of the calls failed: 10 of 120"), ("latency", "Half of the calls took")):
        assert words in said(open_page(tagged, measure=measure))


def test_views_are_kept_by_name_and_forgotten(tmp_path: Path) -> None:
    file = tmp_path / "views.json"
    assert view_files.read(file) == []
    one = SavedView("March <b>", "compare", {"days": ["2024-03"], "where": ["agent=a", "model!=b"]})
    view_files.save(one, file)
    view_files.save(SavedView("all", "", {}), file)
    view_files.save(SavedView("all", "spike", {}), file)
    assert view_files.read(file) == [SavedView("all", "spike", {}), one]
    view_files.remove("all", file)
    assert view_files.read(file) == [one]
    for name in ("", " ", "x" * 81, "two\nlines"):
        with pytest.raises(InputError):
            view_files.save(SavedView(name, "", {}), file)
    file.write_text('[{"name": 1}]')
    with pytest.raises(InputError, match="holds no saved views"):
        view_files.read(file)


def test_a_view_is_saved_from_its_page(tagged: Store, open_page: Opened) -> None:
    page = open_page(tagged, "explore", days="last 7 days", look="areas")
    page.text_input(key="view-name").set_value("three days")
    next(button for button in page.button if button.label == "Save").click()
    page.run()
    (kept,) = view_files.read()
    assert kept == SavedView("three days", "explore", {"days": ["last 7 days"], "look": ["areas"]})
