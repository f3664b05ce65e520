"""Results of `hindcast` on the origin story: the command's document, exact frames, pictures, and how they show."""

from __future__ import annotations

import json
import re
import shutil
from datetime import date
from decimal import Decimal
from pathlib import Path
from types import ModuleType
from typing import Any

import polars as pl
import pytest
from builder import build_store
from typer.testing import CliRunner

from ingest.capture.log_file import Log

ROOT = Path(__file__).resolve().parents[2]
STRATEGIES = ROOT / "sample_logs" / "strategies"
USD = pl.Decimal(38, 12)
SINCE = "2024-03-09"


@pytest.fixture(scope="module")
def path(tmp_path_factory: pytest.TempPathFactory, origin_story: Path) -> Path:
    copied = tmp_path_factory.mktemp("api") / "calls.duckdb"
    shutil.copy(origin_story, copied)
    return copied


class Results(dict[str, Any]):
    """(result, command) by name, from (function, command)."""

    def __init__(self, ways: dict[str, Any]) -> None:
        super().__init__()
        self.ways = ways

    def __missing__(self, name: str) -> Any:
        make, command = self.ways[name]
        self[name] = make(), command
        return self[name]


@pytest.fixture(scope="module")
def results(hc: ModuleType, path: Path) -> Results:
    """Each function's result, with the command that gives the same document; made when it is first asked for."""
    store = hc.Store(path)
    report = path.with_name("report.md")
    cached, routed = STRATEGIES / "routed_cached.yaml", STRATEGIES / "routed.yaml"
    return Results({
        "cost": (lambda: hc.cost(store, by=["day", "agent"], components=True, where={"agent": "drafting_agent"}),
                 ["cost", "--by", "day,agent", "--components", "--where", "agent=drafting_agent"]),
        "calls": (lambda: hc.calls(store, where=["task=critique"], order="time", limit=7),
                  ["calls", "--where", "task=critique", "--order", "time", "--limit", "7"]),
        "ledger": (lambda: hc.ledger(store), ["reprice"]),
        "diagnose": (lambda: hc.diagnose(store, day=date(2024, 3, 5), by="agent,model"),
                     ["diagnose", "--day", "2024-03-05", "--by", "agent,model"]),
        "replay": (lambda: hc.replay(store, [hc.Strategy.load(cached), {"name": "as-logged"}], since=SINCE),
                   ["replay", str(cached), str(written(path.with_name("as-logged.yaml"))), "--since", SINCE]),
        "cache_curve": (lambda: hc.cache_curve(store, since=SINCE), ["cache", "curve", "--since", SINCE]),
        "backtest": (lambda: hc.backtest(store, routed, split="2024-03-08", since="2024-03-05"),
                     ["backtest", str(routed), "--split", "2024-03-08", "--since", "2024-03-05"]),
        "verify": (lambda: hc.verify(store, routed, rollout="2024-03-08", since="2024-03-05"),
                   ["verify", str(routed), "--from", "2024-03-08", "--since", "2024-03-05"]),
        "optimize": (lambda: hc.optimize(store, models="gpt-3.5-turbo", since=SINCE),
                     ["optimize", "--models", "gpt-3.5-turbo", "--since", SINCE]),
        "forecast": (lambda: hc.forecast(store, growth="5%/month"), ["forecast", "--growth", "5%/month"]),
        "report": (lambda: hc.report(store, report, strategies=routed, audience="engineers"),
                   ["report", str(routed), "-o", str(report), "--md", "--for", "engineers"]),
    })  # fmt: skip


def written(target: Path) -> Path:
    target.write_text("name: as-logged\n")
    return target


ALL = ["cost", "calls", "ledger", "diagnose", "replay", "cache_curve", "backtest", "verify", "report", "forecast",
       pytest.param("optimize", marks=pytest.mark.slow)]  # fmt: skip


@pytest.mark.parametrize("name", ALL)
def test_the_document_is_that_of_the_command(name: str, results: dict[str, Any], path: Path) -> None:
    from cli.app import app

    result, command = results[name]
    done = CliRunner().invoke(app, [*command, "--store", str(path), "--json"], catch_exceptions=False)
    assert done.exit_code == 0
    printed = json.loads(done.stdout)
    document = result.to_dict()
    assert list(document) == list(printed)
    for key in printed:
        assert document[key] == printed[key], key


def test_an_ingest_gives_the_document_of_the_command(hc: ModuleType, tmp_path: Path) -> None:
    from cli.app import app

    log = ROOT / "sample_logs" / "formats" / "openai_chat.jsonl"
    done = CliRunner().invoke(app, ["ingest", str(log), "--store", str(tmp_path / "a.duckdb"), "--json"])
    report = hc.ingest(tmp_path / "b.duckdb", [str(log.with_name("openai_cha[t].jsonl"))])
    assert report.to_dict() == json.loads(done.stdout)
    assert report.calls == report.to_frame()["calls"].sum() > 0
    assert hc.Store(tmp_path / "b.duckdb").calls().height == report.calls
    with pytest.raises(hc.errors.InputError):
        hc.ingest(tmp_path / "b.duckdb", tmp_path / "nothing.jsonl")


@pytest.mark.parametrize("name", ALL)
def test_a_result_fits_a_screen_and_says_the_commands_sentence(name: str, results: dict[str, Any], path: Path) -> None:
    from cli.app import app

    result, command = results[name]
    shown = repr(result).splitlines()
    assert len(shown) <= 25
    assert max(map(len, shown)) <= 110
    assert result.summary
    assert "<p>" in result._repr_html_()
    if name in ("cost", "calls", "diagnose", "replay", "cache_curve"):  # the others have the one sentence of a result
        printed = CliRunner().invoke(app, [*command, "--store", str(path)]).stdout
        assert " ".join(result.summary.split()) in " ".join(printed.split())


@pytest.mark.parametrize("name", ALL)
def test_every_column_of_a_frame_is_documented_and_dollars_are_decimal(name: str, results: dict[str, Any]) -> None:
    result, _ = results[name]
    frame = result.to_frame()
    assert frame.height > 0
    about = type(result).to_frame.__doc__ + (result.store.__class__.__doc__ or "" if name == "ledger" else "")
    for column, dtype in frame.schema.items():
        if column.endswith("_usd"):
            assert dtype == USD, column
        if name not in ("ledger", "cost", "diagnose", "replay") or column in ("run_id", "verdict", "factor", "delta"):
            assert name == "ledger" or f"`{column}`" in about, column


def test_store_frames_document_their_money_and_join(hc: ModuleType, path: Path) -> None:
    with hc.Store(path) as store:
        calls, ledger = store.calls(), store.ledger()
        assert calls["call_no"].equals(ledger["call_no"])
        assert ledger["cost_usd"].sum() == hc.cost(store, by=[]).cost
        for column, dtype in {**calls.schema, **ledger.schema}.items():
            assert not column.endswith("_usd") or dtype == USD, column
        for column in ledger.columns:
            assert f"`{column}`" in hc.Store.ledger.__doc__, column
        some = store.calls(where={"agent": "drafting_agent"}, since=date(2024, 3, 5), until="2024-03-05")
        assert set(some["agent"]) == {"drafting_agent"}
        assert set(some["start_time"].dt.date()) == {date(2024, 3, 5)}
        assert store.calls(where={"agent": None}).height == 0


def test_the_rows_sum_to_the_total(results: dict[str, Any]) -> None:
    cost, _ = results["cost"]
    frame = cost.to_frame()
    assert frame["cost_usd"].sum() == cost.cost == Decimal(cost.to_dict()["total"]["cost_usd"])
    assert frame["calls"].sum() == cost.total["calls"]
    assert frame.schema["day"] == pl.Date


def test_drivers_and_causes_sum_to_the_change(results: dict[str, Any]) -> None:
    found, _ = results["diagnose"]
    for part in (found.drivers, found.causes):
        assert part.to_frame()["delta"].sum() + found.residual == found.delta
        assert part.to_dict() == found.to_dict()["drivers" if part.to_frame().columns[0] == "agent" else "causes"]
        assert len(part) == len(part.to_dict())


def test_the_calls_of_a_strategy_sum_to_its_cost(results: dict[str, Any], hc: ModuleType) -> None:
    replay, _ = results["replay"]
    strategy = replay["routed + cached"]
    calls = strategy.calls()
    assert calls["cost_usd"].sum() == strategy.cost
    assert calls["logged_cost_usd"].sum() == strategy.baseline
    assert calls["saved_usd"].sum() == strategy.baseline - strategy.cost == sum(strategy.savings.values())
    assert (calls["outcome"] == "hit").sum() == strategy.result.hits
    moved = calls.filter("moved")
    assert 0 < moved.height < calls.height
    assert (moved["model"] != moved["logged_model"]).any()
    for column in calls.columns:
        assert f"`{column}`" in type(strategy).calls.__doc__, column
    daily = strategy.daily()
    assert daily["cost_usd"].sum() == strategy.cost
    assert daily["logged_cost_usd"].sum() == strategy.baseline
    assert [entry.name for entry in replay] == ["routed + cached", "as-logged"]
    with pytest.raises(hc.errors.InputError, match="no strategy 'routed'"):
        replay["routed"]


def test_as_logged_nothing_moves(results: dict[str, Any]) -> None:
    logged = results["replay"][0]["as-logged"]
    calls = logged.calls()
    assert not calls["moved"].any()
    assert calls["cost_usd"].equals(calls["logged_cost_usd"].alias("cost_usd"))
    assert logged.cost == logged.baseline == results["replay"][0].baseline


def test_pictures_are_figures_with_the_results_own_amounts(results: dict[str, Any], hc: ModuleType, path: Path) -> None:
    import plotly.graph_objects as go

    cost = results["cost"][0].plot()
    assert sum(sum(bar.y) for bar in cost.data) == pytest.approx(float(results["cost"][0].cost))
    whole = hc.cost(path, by="day")
    assert sum(whole.plot().data[0].y) == pytest.approx(float(whole.cost))
    replay = results["replay"][0]
    assert [trace.name for trace in replay.plot().data if trace.mode != "none"] == ["logged", "routed + cached"]
    for figure in (results["diagnose"][0].plot(), results["diagnose"][0].plot("place"),
                   replay["routed + cached"].plot(), results["cache_curve"][0].plot(),
                   results["cache_curve"][0].plot("capacity")):  # fmt: skip
        assert isinstance(figure, go.Figure)
        assert figure.data
    for refused in (hc.cost(path, by="agent").plot, replay["as-logged"].plot):
        with pytest.raises(hc.errors.InputError):
            refused()


@pytest.mark.slow
def test_the_optimum_is_a_strategy_to_replay_and_to_keep(results: dict[str, Any], hc: ModuleType, path: Path) -> None:
    found, _ = results["optimize"]
    assert len(found.plot().data) == 3
    again = hc.Strategy.from_dict(found.strategy.document())
    assert again == found.strategy
    target = path.with_name("kept.yaml")
    target.write_text(found.to_yaml())
    assert hc.Strategy.load(target).document() == found.strategy.document()
    assert len(repr(found.strategy)) < 110


def test_arguments_are_refused_by_name(hc: ModuleType, path: Path) -> None:
    errors = hc.errors
    with pytest.raises(errors.InputError, match="since 2024-03-05 is after until 2024-03-01"):
        hc.cost(path, since="2024-03-05", until=date(2024, 3, 1))
    with pytest.raises(errors.InputError, match="agnet"):
        hc.cost(path, by="agnet")
    with pytest.raises(errors.StrategyError, match="mini"):
        hc.replay(path, {"name": "mini", "rout": []})
    with pytest.raises(errors.StoreError, match="no store"):
        hc.cost(path.with_name("none.duckdb"))
    with pytest.raises(errors.InputError, match="quality_floor"):
        hc.optimize(path, quality_floor=95)
    with pytest.raises(errors.InputError, match=r"\.rtf"):
        hc.report(path, path.with_name("a.rtf"))


def test_text_of_a_log_is_data_in_every_repr(hc: ModuleType, tmp_path: Path) -> None:
    hostile = "<script>alert(1)</script>\x1b[31m\u202e\nred"
    store = build_store(tmp_path / "hostile.duckdb", [
        {"start_time": "2024-03-05 10:00:00", "agent": hostile, "task": hostile, "model": "gpt-4-turbo",
         "input_tokens": 10, "output_tokens": 10}
    ])  # fmt: skip
    hc.ledger(store)
    for result in (hc.cost(store, by=["agent", "task"]), hc.calls(store)):
        assert not re.search("[\x00-\x09\x0b-\x1f\u202e]", repr(result))
        page = result._repr_html_()
        assert "<script" not in page
        assert "&lt;script" in page
        assert not re.search("[\x00-\x09\x0b-\x1f\u202e]", page)


def test_what_this_process_captured_is_read_to_its_last_call(hc: ModuleType, tmp_path: Path) -> None:
    log = Log(tmp_path / "calls.jsonl")

    def line(number: int) -> dict[str, Any]:
        return {"hindcast": 1, "call_id": f"c{number}", "start_time": "2026-03-02T10:00:00Z",
                "request_model": "gpt-4o", "input_tokens": number, "output_tokens": 1}  # fmt: skip

    for number in range(3000):
        log.put(line, number)
    assert hc.ingest(tmp_path / "s.duckdb", [tmp_path / "calls.jsonl"]).calls == 3000
