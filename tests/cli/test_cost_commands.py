"""`hindcast cost`, `prices`, `reprice`, `reconcile` and `export focus` as a person types them."""

from __future__ import annotations

import json
import shutil
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest
from builder import build_store
from typer.testing import CliRunner

from analysis.ledger.ledger import update
from cli.app import app
from ingest.errors import GateError, InputError, PriceError, StoreError


@pytest.fixture(scope="module")
def priced(tmp_path_factory: pytest.TempPathFactory) -> Path:
    def call(day: int, **columns: Any) -> dict[str, Any]:
        tokens = {"input_tokens": 1000, "output_tokens": 100}
        return {"start_time": datetime(2024, 3, day, 12), "agent": "writer", **tokens, **columns}

    built = build_store(
        tmp_path_factory.mktemp("priced") / "s.duckdb",
        [call(4), call(5), call(5, agent="[red]x[/red]"), call(5, model="house-7b", provider_name="vllm")],
    )
    update(built)
    return built.path


@pytest.fixture
def store(priced: Path, tmp_path: Path) -> str:
    """A copy, which a test may write to."""
    return str(shutil.copy(priced, tmp_path))


def run(*arguments: str) -> str:
    # the width of a table is the terminal's: a test says its own
    done = CliRunner(env={"COLUMNS": "160"}).invoke(app, list(arguments), catch_exceptions=False)
    assert done.exit_code == 0, done.output
    return done.stdout


def document(*arguments: str) -> Any:
    return json.loads(run(*arguments, "--json"))


def test_cost_answers_first_and_names_what_is_unpriced(store: str) -> None:
    text = run("cost", "--store", store, "--by", "day,model")
    first = text.splitlines()[0]
    assert first.startswith("$0.0390 for 4 calls, 4,000 tokens in")
    assert "Unpriced: 1 call with 1,100 tokens, in no sum above:" in text
    assert "unknown model: vllm/house-7b" in text


def test_text_of_a_log_is_never_markup(store: str) -> None:
    assert "[red]x[/red]" in run("cost", "--store", store, "--by", "agent")


def test_an_alias_to_a_model_without_a_price_is_refused_with_the_nearest_names(store: str) -> None:
    at = ["--store", store]
    for target in ("nothing/none", "openai/gpt-4-turboo"):
        with pytest.raises(PriceError, match=f"no price is known for '{target}'") as refused:
            run("prices", "set", "gpt-4-turbo", "--as", target, *at)
        assert ("openai/gpt-4-turbo" in str(refused.value)) == (target != "nothing/none")
    assert document("cost", *at)["total"]["unpriced_calls"] == 1
    run("prices", "set", "ours-7b", "--input", "2", "--output", "2", *at)
    text = run("prices", "set", "house-7b", "--as", "ours-7b", *at)
    assert text.splitlines()[1:] == ["1 call won a price."]
    assert document("cost", *at)["total"]["cost_usd"] == "0.0412"
    assert "override 1" in run("prices", "explain", "house-7b", "--provider", "vllm", *at)


def test_what_a_set_takes_away_is_said(store: str) -> None:
    at = ["--store", store]
    run("prices", "set", "house-7b", "--zero", *at)
    lines = run("prices", "unset", "1", *at).splitlines()
    assert lines[1:] == ["1 call lost a price.", "Without a price now: 1 call."]


@pytest.mark.parametrize("price", ["1,5", "x", "nan", "inf", "-1", "1e400", "1e30"])
@pytest.mark.parametrize("option", ["--input", "--per-hour", "--multiplier"])
def test_a_price_that_is_no_number_is_refused_by_name(store: str, option: str, price: str) -> None:
    with pytest.raises(InputError, match=f"{option} '{price}' is not a number") as refused:
        run("prices", "set", "gpt-4-turbo", f"{option}={price}", "--store", store)
    assert f"{option} 2.75" in str(refused.value)


def test_none_is_the_unknown_in_every_filter_and_an_agent_of_that_name_is_shown_quoted(tmp_path: Path) -> None:
    agents = [None, "(none)", '"(none)"', "writer"]
    rows = [{"agent": agent, "input_tokens": 10 * (n + 1), "output_tokens": 0} for n, agent in enumerate(agents)]
    built = build_store(tmp_path / "s.duckdb", rows)
    update(built)
    at = ["--store", str(built.path)]
    text = run("cost", *at, "--by", "agent")
    for number, (agent, shown) in enumerate(zip(agents, ["(none)", '"(none)"', '""(none)""', "writer"], strict=True)):
        (row,) = document("cost", *at, "--by", "agent", "--where", f"agent={shown}")["rows"]
        assert (row["agent"], row["input_tokens"]) == (agent, 10 * (number + 1))
        (call,) = document("calls", *at, "--agent", shown)["calls"]
        assert call["agent"] == agent
        assert any(line.startswith(f"{shown} ") for line in text.splitlines())


def test_cost_json_keeps_its_contract(store: str) -> None:
    found = document("cost", "--store", store, "--by", "day,model")
    assert set(found["rows"][0]) >= {
        "day", "model", "calls", "input_tokens", "cache_read_input_tokens", "output_tokens", "cost_usd",
    }  # fmt: skip
    assert found["rows"][0]["day"] == "2024-03-04"
    assert {key: found["total"][key] for key in ("calls", "cost_usd", "unpriced_calls")} == {
        "calls": 4, "cost_usd": "0.039", "unpriced_calls": 1,
    }  # fmt: skip


def test_strict_exits_1_where_a_call_has_no_price(store: str) -> None:
    with pytest.raises(GateError, match="1 call without a price") as failed:
        run("cost", "--store", store, "--strict")
    assert failed.value.exit_code == 1
    run("cost", "--store", store, "--strict", "--where", "provider=openai")


def test_a_mistyped_dimension_or_day_says_what_to_write(store: str) -> None:
    with pytest.raises(InputError, match="Did you mean 'model'"):
        run("cost", "--store", store, "--by", "modle")
    with pytest.raises(InputError, match="'March' names no day\nWrite YYYY-MM-DD, "):
        run("cost", "--store", store, "--since", "March")
    with pytest.raises(InputError, match="has no '='"):
        run("cost", "--store", store, "--where", "agent")


def test_without_a_store_every_command_says_how_to_make_one(tmp_path: Path) -> None:
    for command in (["cost"], ["reprice"], ["prices", "list"], ["prices", "set", "x", "--zero"], ["export", "focus"]):
        with pytest.raises(StoreError, match="there is no store"):
            run(*command, "--store", str(tmp_path / "none.duckdb"))
    assert not list(tmp_path.iterdir())


def test_setting_a_price_reprices_and_unsetting_brings_the_old_one_back(store: str) -> None:
    text = run("prices", "set", "house*", "--input", "1", "--output", "2", "--store", store)
    assert "1 override set: 4 calls cost $0.0402 (before: $0.0390)." in text
    assert "house*: input 1, output 2" in run("prices", "list", "--overrides", "--store", store)
    run("cost", "--store", store, "--strict")
    assert document("prices", "unset", "1", "--store", store)["cost_usd"] == "0.039"
    with pytest.raises(PriceError, match="there is no override 7"):
        run("prices", "unset", "7", "--store", store)


def test_a_price_that_matches_no_call_says_so(store: str) -> None:
    def told(*arguments: str) -> str:
        done = CliRunner().invoke(app, ["prices", "set", *arguments, "--store", store], catch_exceptions=False)
        return done.stderr

    assert "No call matches provider azure, model gpt-4o*. As logged:" in told(
        "gpt-4o*", "--provider", "azure", "--input", "2.75"
    )
    assert "No call matches" not in told("house*", "--input", "1", "--output", "2")


def test_an_alias_prices_one_name_as_another(store: str) -> None:
    run("prices", "set", "house-7b", "--as", "openai/gpt-3.5-turbo", "--store", store)
    assert document("cost", "--store", store)["total"]["cost_usd"] == "0.03965"


def test_explain_tells_the_whole_way_with_and_without_a_store(store: str, tmp_path: Path) -> None:
    nowhere = str(tmp_path / "none.duckdb")
    text = run("prices", "explain", "gpt-3.5-turbo", "--at", "2023-08-25", "--store", nowhere)
    assert text.startswith("gpt-3.5-turbo on 2023-08-25: 1.5 input, 2 output (USD per million tokens).")
    assert "family of openai > exact id (high confidence)" in text
    run("prices", "set", "gpt-4-turbo", "--multiplier", "0.9", "--note", "contract", "--store", store)
    found = document("prices", "explain", "gpt-4-turbo", "--provider", "openai", "--at", "2024-03-05", "--store", store)
    assert found["price"]["usd_per_million"]["input"] == "9"
    assert found["overrides"] == ["override 1: multiplier (contract)"]
    assert "has no standard price" in run("prices", "explain", "house-7b", "--at", "2024-03-05", "--store", store)


def test_prices_list_names_the_logged_models_without_a_price(store: str) -> None:
    assert "No price: vllm/house-7b" in run("prices", "list", "--store", store)
    assert document("prices", "list", "gpt-3.5-turbo-0125", "--store", store)["rows"][0]["input"] is not None


def test_prices_diff_shows_what_hangs_on_a_difference(store: str, tmp_path: Path) -> None:
    theirs = {
        "sample_spec": {"input_cost_per_token": 0.0},
        "gpt-4-turbo": {"input_cost_per_token": 2e-05, "output_cost_per_token": 3e-05},
    }
    file = tmp_path / "litellm.json"
    file.write_text(json.dumps(theirs))
    found = document("prices", "diff", str(file), "--at", "2024-03-05", "--store", store)
    assert found["differences"] == [
        {
            "provider": "openai", "model": "gpt-4-turbo", "token_kind": "input", "ours": "10", "theirs": "20",
            "tokens": 3000, "usd_at_stake": "0.03",
        }
    ]  # fmt: skip
    assert found["missing"] == ["vllm/house-7b"]
    file.write_text("{}")
    with pytest.raises(InputError, match="no prices of litellm's kind"):
        run("prices", "diff", str(file), "--store", store)


def test_the_prices_of_another_day(store: str) -> None:
    text = run("cost", "--store", store, "--by", "model", "--prices-of", "2023-01-01", "--components")
    assert "Every call at the prices of 2023-01-01." in text
    assert "output $" in text


def test_reconcile_prints_effects_that_sum_to_the_gap(store: str, tmp_path: Path) -> None:
    line = {"object": "organization.costs.result", "line_item": "gpt-4-turbo, input", "quantity": 4000,
            "amount": {"value": 0.04, "currency": "usd"}}  # fmt: skip
    page = {"object": "page", "data": [{"object": "bucket", "start_time": 1709596800, "results": [line]}]}
    file = tmp_path / "costs.json"
    file.write_text(json.dumps(page))
    found = document("reconcile", str(file), "--store", store)
    assert found["gap_usd"] == "0.014"
    assert {item["effect"]: item["usd"] for item in found["effects"]} == {
        "missing_calls": "0.02", "extra_calls": "-0.006",
    }  # fmt: skip
    assert "the gap, to the pico-dollar" in run("reconcile", str(file), "--store", store)


def test_export_focus_writes_a_file_and_says_what_is_not_in_it(store: str, tmp_path: Path) -> None:
    out = tmp_path / "focus.csv"
    found = document("export", "focus", "-o", str(out), "--store", store)
    assert (found["rows"], found["billed_usd"], found["unpriced_calls"]) == (6, "0.039", 1)
    assert out.read_text().startswith("BilledCost,BillingAccountId")
    with pytest.raises(GateError):
        run("export", "focus", "-o", str(out), "--store", store, "--strict")


def test_a_price_carried_back_to_an_earlier_day_is_said(store: str) -> None:
    at = ["--store", store]
    told = "No price is known before 2023-11-06; the first one is used."
    assert told in run("prices", "explain", "gpt-4-turbo", "--at", "2001-01-01", *at)
    assert told not in run("prices", "explain", "gpt-4-turbo", "--at", "2024-01-01", *at)
    note = "No price is known of gpt-4-turbo before 2023-11-06; the first one is used."
    assert note in run("cost", "--prices-of", "1990-01-01", *at).splitlines()
    assert "No price is known" not in run("cost", "--prices-of", "2024-01-01", *at)
    (extended,) = document("cost", "--prices-of", "1990-01-01", *at)["extended"]
    assert extended == {"model": "gpt-4-turbo", "first_price": "2023-11-06", "calls": 3}


def test_an_unknown_tier_is_named(tmp_path: Path) -> None:
    built = build_store(tmp_path / "s.duckdb", [{"service_tier": "platinum", "input_tokens": 1, "output_tokens": 1}])
    update(built)
    assert "1  unknown tier 'platinum': openai/" in run("cost", "--store", str(built.path))
    assert document("cost", "--store", str(built.path))["unpriced"][0]["tier"] == "platinum"


@pytest.mark.parametrize("last", ["9999-12-31", "2999-12-31"])
def test_a_price_may_hold_until_the_end_of_time(store: str, last: str) -> None:
    assert "cost $0.0165" in run("prices", "set", "gpt-4-turbo", "--input", "2.5", "--until", last, "--store", store)
    with pytest.raises(InputError, match="not a day of any log"):
        run("cost", "--until", "0001-01-01", "--store", store)


def test_a_change_that_rounds_to_nothing_has_no_sign() -> None:
    from analysis.formatting import count, share

    assert [share(-0.0001), share(0.0001, sign=True), share(-0.012, sign=True), share(0.012, sign=True)] == [
        "0.0 %", "0.0 %", "-1.2 %", "+1.2 %",
    ]  # fmt: skip
    assert (count(1, "call"), count(0, "call"), count(2, "entry", "entries")) == ("1 call", "0 calls", "2 entries")
