"""The pages open on real stores, say what the commands say, and show text from logs as text."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from decimal import Decimal
from html import escape, unescape
from pathlib import Path
from typing import Any

import pytest
import spiky as made
from builder import build_store
from typer.testing import CliRunner

import sample_logs
from analysis.formatting import money, share
from cli.app import app
from ingest.store.database import Store

Opened = Callable[..., Any]


def said(page: Any) -> str:
    """All text that the page draws, as a reader sees it."""
    return unescape("\n".join(part.value for part in page.html)).replace("\u00a0", " ")


def ask(store: Store, *arguments: str) -> Any:
    """The JSON document that a command prints."""
    result = CliRunner().invoke(app, [*arguments, "--store", str(store.path), "--json"])
    assert result.exit_code == 0, result.output
    return json.loads(result.stdout)


def test_the_overview_says_what_cost_and_diagnose_say(open_page: Opened, spiky: Store) -> None:
    text = said(open_page(spiky))
    found = ask(spiky, "diagnose")
    assert found["summary"].split(" in one day.")[0] in text
    assert money(Decimal(found["actual"])) in text
    for mover in ([cause for cause in found["causes"] if cause["surprising"]] or found["drivers"])[:3]:
        assert money(Decimal(mover["delta"]), sign=True) in text
    month = ask(spiky, "cost", "--by", "month")
    (march,) = (row for row in month["rows"] if row["month"] == "2024-03")
    assert money(Decimal(march["cost_usd"])) in text
    assert f"No price, in no total: {month['total']['unpriced_calls']} of {month['total']['calls']:,} calls." in text


def test_a_large_store_is_drawn_before_its_newest_day_is_explained(
    open_page: Opened, spiky: Store, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    from dashboard.data import results_cache

    own = tmp_path / "large.duckdb"
    own.write_bytes(spiky.path.read_bytes())
    monkeypatch.setattr(results_cache, "AT_ONCE", 0)
    page = open_page(own)
    assert "being compared with earlier ones" in said(page)
    assert page.get("plotly_chart")
    found = ask(spiky, "diagnose")
    for _ in range(60):
        page.run()
        if money(Decimal(found["actual"])) in said(page):
            break
        time.sleep(0.5)
    assert found["summary"].split(" in one day.")[0] in said(page)


def test_the_daily_bars_are_the_ledger_s(open_page: Opened, spiky: Store) -> None:
    for dimension in ("agent", "model", "task"):
        page = open_page(spiky, by=dimension)
        drawn = json.loads(page.get("plotly_chart")[0].proto.spec)["data"]
        bars = sum(value for trace in drawn if trace["type"] == "bar" for value in _plain(trace["y"]))
        total = ask(spiky, "cost", "--by", dimension)["total"]["cost_usd"]
        assert bars == pytest.approx(float(total), abs=1e-9)


def test_the_spike_page_says_what_diagnose_says(open_page: Opened, spiky: Store) -> None:
    for day in (None, "2024-03-06"):
        page = open_page(spiky, "spike", **({"day": day} if day else {}))
        found = ask(spiky, "diagnose", *(["--day", day] if day else []))
        page.session_state[f"fold-alerts-{found['day']}"] = True
        text = said(page.run())
        for amount in (found["actual"], found["expected"], found["residual"]):
            assert money(Decimal(amount)) in text
        for driver in found["drivers"][:8]:
            assert money(Decimal(driver["delta"]), sign=True) in text
        assert found["alerts"]
        for alert in found["alerts"]:
            assert alert["what"] in text
        for cause in found["causes"]:
            assert money(Decimal(cause["delta"]), sign=True) in text
        steps = json.loads(page.get("plotly_chart")[0].proto.spec)["data"][0]
        amounts = _plain(steps["x"])
        assert amounts[0] == float(found["expected"])
        assert amounts[-1] == float(found["actual"])
        assert sum(amounts[:-1]) == pytest.approx(amounts[-1], abs=1e-9)


def test_the_strategies_page_says_what_replay_says(open_page: Opened, spiky: Store) -> None:
    page = open_page(spiky, "strategies", days="all days")
    text = said(page)
    files = [str(path) for path in sample_logs.strategies() if path.stem != "logged"]
    replayed = ask(spiky, "replay", *files)
    assert len(replayed["strategies"]) == 4
    drawn = {trace["name"]: trace for trace in json.loads(page.get("plotly_chart")[0].proto.spec)["data"]}
    for entry in replayed["strategies"]:
        assert money(Decimal(entry["usd_per_day"])) in text
        assert share(entry["saved_share"]) in text
        assert entry["quality"]["verdict"] in text
        if entry["tier_hits"]:
            assert share(entry["hit_rate"]) in text
        line = drawn[entry["name"]]["y"]
        assert _plain(line) == [float(row["cost_usd"]) for row in entry["daily"]]
    best = next(entry for entry in replayed["strategies"] if f">{entry['name']} would have cost" in text)
    for saved in best["savings"].values():
        assert money(Decimal(saved)) in text


def test_text_from_a_log_is_shown_and_never_acted_on(open_page: Opened, spiky: Store) -> None:
    for page in (open_page(spiky), open_page(spiky, "spike"), open_page(spiky, "explore", dimension="agent")):
        for part in (*page.html, *page.markdown):
            assert "<script" not in part.value
            assert "<img" not in part.value
        assert not [part for part in page.markdown if made.HOSTILE_TASK in part.value]


def test_a_prompt_is_drilled_to_and_stands_there_as_it_was_written(open_page: Opened, spiky: Store) -> None:
    found = ask(spiky, "diagnose")
    number = next(i for i, driver in enumerate(found["drivers"]) if driver["segment"]["agent"] == made.HOSTILE_AGENT)
    page = open_page(spiky, "spike").selectbox(key="driver").set_value(str(number)).run()
    assert any(f">{escape(made.HOSTILE_TEXT)}<" in part.value for part in page.html)


def test_a_missing_store_says_what_to_do(open_page: Opened, tmp_path: Path) -> None:
    text = said(open_page(tmp_path / "none.duckdb"))
    assert "There is no store at" in text
    assert "hindcast ingest" in text


def test_an_empty_store_says_what_to_do(open_page: Opened, tmp_path: Path) -> None:
    text = said(open_page(build_store(tmp_path / "empty.duckdb", [])))
    assert "no calls yet" in text
    assert "hindcast ingest" in text


def test_an_unpriced_store_says_what_to_do(open_page: Opened, tmp_path: Path) -> None:
    store = build_store(tmp_path / "raw.duckdb", made.rows()[:5])
    assert "hindcast reprice" in said(open_page(store))


def _plain(values: Any) -> list[float]:
    """A plotly array: a list, or the typed form that plotly writes for numbers."""
    if isinstance(values, dict):
        import base64

        import numpy as np

        return [float(value) for value in np.frombuffer(base64.b64decode(values["bdata"]), dtype=values["dtype"])]
    return [float(value) for value in values]
