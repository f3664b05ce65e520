"""Explore, Cache lab, Optimize, Prices and Data say what their commands say, and strategies can be edited and run."""

from __future__ import annotations

import json
from collections.abc import Callable
from datetime import date, timedelta
from decimal import Decimal
from html import unescape
from pathlib import Path
from typing import Any

import pytest
from builder import build_store
from typer.testing import CliRunner

from analysis.formatting import money, share, usd
from analysis.ledger import ledger
from cli.app import app
from dashboard.data import cache_lab_data, strategy_files
from dashboard.screens import explore
from ingest.errors import InputError
from ingest.store.database import Store

Opened = Callable[..., Any]


def said(page: Any) -> str:
    return unescape("\n".join(part.value for part in page.html)).replace("\u00a0", " ")


def ask(store: Store, *arguments: str) -> Any:
    result = CliRunner().invoke(app, [*arguments, "--store", str(store.path), "--json"])
    assert result.exit_code == 0, result.output
    return json.loads(result.stdout)


def test_the_matrix_holds_the_cost_of_every_agent_and_model(spiky: Store, open_page: Opened) -> None:
    report = ask(spiky, "cost", "--by", "agent,model")
    text = said(open_page(spiky, "explore"))
    for row in report["rows"]:
        if row["cost_usd"] is not None:
            assert money(Decimal(row["cost_usd"])) in text
    table = explore.matrix(report, "agent", "model")
    assert sum(row[-1] for row in table.rows) == Decimal(report["total"]["cost_usd"])
    assert any("unpriced" in row for row in table.rows)


def test_areas_and_prompts_begin_with_their_own_finding(spiky: Store, open_page: Opened) -> None:
    assert "costs most" in said(open_page(spiky, "explore", look="areas"))
    found = ask(spiky, "templates")
    many = len(found["templates"])
    said_of_prompts = f"{many} template{'s' * (many != 1)} make{'s' * (many == 1)} {found['calls']:,} call"
    assert f'<h1 class="hc-finding">{said_of_prompts}' in said(open_page(spiky, "explore", look="prompts"))


def test_repeats_are_those_of_duplicates(spiky: Store, open_page: Opened) -> None:
    found = ask(spiky, "duplicates")
    text = said(open_page(spiky, "explore", look="repeats"))
    assert f"{found['repeats']:,} of {found['calls']:,} calls repeat an earlier request exactly" in text
    for row in found["exact"]:
        assert money(Decimal(row["cost_usd"])) in text


def test_the_context_is_that_of_the_command(spiky: Store, open_page: Opened) -> None:
    found = ask(spiky, "context", "--no-replays")
    text = said(open_page(spiky, "explore", look="context"))
    assert f"of the input cost of {money(Decimal(found['input_cost_usd']))} is {found['sources'][0]['source']}" in text
    for row in found["sources"]:
        assert money(Decimal(row["cost_usd"])) in text


def test_a_session_is_found_by_agent_and_shown_call_by_call(spiky: Store, open_page: Opened) -> None:
    page = open_page(spiky, "explore", look="sessions", **{"only-agent": "drafting_agent"})
    found = ask(spiky, "calls", "--agent", "drafting_agent", "--limit", "1")
    assert ">hindcast calls --agent drafting_agent --session " in said(page)
    assert found["total"]["calls"] > 300
    assert "drafting_agent-14" in said(page) or "drafting_agent-15" in said(page)


def test_the_cache_lab_says_what_cache_curve_says(spiky: Store, open_page: Opened) -> None:
    found = ask(spiky, "cache", "curve")
    text = said(open_page(spiky, "cache-lab"))
    day = next(point for point in found["ttl"] if point["ttl_ms"] == 86_400_000)
    assert f"served {share(day['hit_rate'])} of the calls" in text
    assert money(Decimal(day["saved_usd"]) / found["days"]) in text
    for policy in found["keys"]:
        assert share(policy["hit_rate"]) in text


def test_a_sampled_log_is_told_why_no_cache_can_be_simulated(tmp_path: Path, open_page: Opened) -> None:
    import spiky as made

    store = build_store(tmp_path / "weighted.duckdb", [{**row, "weight": 10} for row in made.rows()[:50]])
    ledger.update(store)
    assert "No cache can be simulated here" in said(open_page(store, "cache-lab"))


def test_prices_are_those_of_the_book(spiky: Store, open_page: Opened) -> None:
    found = ask(spiky, "prices", "list")
    text = said(open_page(spiky, "prices"))
    assert found["rows"]
    for row in found["rows"]:
        assert row["model"] in text
        assert usd(Decimal(row["input"])) in text
    for name in found["unresolved"]:
        assert f"No price for {name}" in text
    assert "gpt-4o-mini" in said(open_page(spiky, "prices", model="gpt-4o-mini"))
    assert "No price row" in said(open_page(spiky, "prices", model="no such model"))


def test_another_price_list_is_compared_as_the_command_does(spiky: Store, open_page: Opened, tmp_path: Path) -> None:
    theirs = {"gpt-4-turbo": {"input_cost_per_token": 0.00002, "output_cost_per_token": 0.00003}}
    file = tmp_path / "theirs.json"
    file.write_text(json.dumps(theirs))
    page = open_page(spiky, "prices")
    page.get("file_uploader")[0].set_value((file.name, file.read_bytes(), "application/json")).run()
    assert not page.exception
    found = ask(spiky, "prices", "diff", str(file), "--at", "2024-03-08")
    (row,) = found["differences"]
    text = said(page)
    assert f"1 price differs from the book: {money(Decimal(row['usd_at_stake']))} at stake" in text
    assert "<script>" not in "".join(part.value for part in page.html)
    assert found["missing"]
    for name in found["missing"]:
        assert name in text
    page.get("file_uploader")[0].set_value(("x.json", b"[1]", "application/json")).run()
    assert "No prices of litellm's kind" in said(page)


def test_data_names_files_and_quarantine(tmp_path: Path, open_page: Opened) -> None:
    log = tmp_path / "calls.jsonl"
    good = {
        "hindcast": 1,
        "start_time": "2024-03-05T10:00:00Z",
        "provider_name": "openai",
        "request_model": "gpt-4-turbo",
        "input_tokens": 10,
        "output_tokens": 5,
    }
    log.write_text(f"{json.dumps(good)}\n{{<b>broken</b>\n")
    result = CliRunner().invoke(app, ["ingest", str(log), "--store", str(tmp_path / "s.duckdb")])
    assert result.exit_code == 0, result.output
    text = said(open_page(tmp_path / "s.duckdb", "data"))
    assert "1 call from 1 file, 1 line in quarantine" in text
    assert "calls.jsonl" in text
    assert "<b>broken</b>" in text  # as text: `said` has taken the escapes away
    assert "Quarantine" in text


def test_optimize_waits_for_a_click(spiky: Store, open_page: Opened) -> None:
    page = open_page(spiky, "optimize")
    assert "Find the cheapest policy" in said(page)
    assert "Search" in [button.label for button in page.button]


def test_a_strategy_is_saved_under_its_own_name_and_nowhere_else(tmp_path: Path) -> None:
    entry = strategy_files.check("name: ../../etc/Über strategy\nroute: [{default: gpt-4o}]\n", "x.yaml")
    path = strategy_files.save(entry, tmp_path / "strategies")
    assert path == tmp_path / "strategies" / "etc-ber-strategy.yaml"
    assert strategy_files.read(path).strategy == entry.strategy
    with pytest.raises(InputError, match="no file name"):
        strategy_files.save(strategy_files.check("name: '///'\nroute: [{default: gpt-4o}]\n", "x.yaml"), tmp_path)
    with pytest.raises(InputError, match="not saved"):
        strategy_files.save(strategy_files.check("nam: x\n", "x.yaml"), tmp_path)


def test_a_copy_is_renamed_in_its_text() -> None:
    entry = strategy_files.check("# mine\nname: a\nroute: [{default: gpt-4o}]\n", "x.yaml")
    copy = strategy_files.rename(entry, 'b: "c"')
    assert copy.strategy is not None
    assert copy.strategy.name == 'b: "c"'
    assert strategy_files.difference(entry.text, copy.text).count("\n-name") == 1


def test_a_mean_of_the_cache_lab_is_over_all_days_of_the_window(origin_story: Path) -> None:
    first, store = date(2024, 3, 9), Store(origin_story)
    spent = []
    for days in (20, 200):  # the log ends before
        found = cache_lab_data.cache_curves(store, first, first + timedelta(days=days - 1), "canonical", "always")
        spent.append(found.spent * days)
    assert spent[0] > 0
    assert spent[0] == pytest.approx(spent[1])
