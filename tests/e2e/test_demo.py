"""The origin story: a bill that jumps, the day it did, why, and what each way out would have cost."""

from __future__ import annotations

import json
import shutil
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from terminal import hindcast

import sample_logs
from cli.share import demo
from ingest.store.database import Store
from replay.advice.spike_story import tell
from replay.strategy.schema import load


def check_story(story: dict[str, Any]) -> None:
    """The ranges of the story, and that every split sums to its whole."""
    assert 100 <= Decimal(story["before_usd_per_day"]) <= 150
    assert story["spike_day"] == "2024-03-05"
    after = Decimal(story["spike_usd_per_day"])
    assert 800 <= after <= 850
    diagnosis = story["diagnosis"]
    assert diagnosis["flagged"]
    parts = sum(Decimal(driver["delta"]) for driver in diagnosis["drivers"]) + Decimal(diagnosis["residual"])
    assert parts == Decimal(diagnosis["delta"]) == Decimal(diagnosis["actual"]) - Decimal(diagnosis["expected"])
    logged, naive, combined = story["strategies"][:3]
    assert Decimal(logged["usd_per_day"]) == after
    assert logged["quality"]["verdict"] == "passes"
    assert 110 <= Decimal(naive["usd_per_day"]) <= 130
    assert naive["quality"]["verdict"] == "fails"
    assert 150 <= Decimal(combined["usd_per_day"]) <= 200
    assert combined["quality"]["verdict"] == "passes"
    assert combined["saved_share"] > 0.75
    assert set(combined["savings"]) == {"compress", "route", "cache"}
    for strategy in story["strategies"]:
        saved = sum(Decimal(amount) for amount in strategy["savings"].values())
        assert abs(saved - (after - Decimal(strategy["usd_per_day"]))) < Decimal("0.000001")


def calls(store: Path) -> Any:
    with Store(store).read() as con:
        return con.execute("SELECT count(*), bit_xor(hash(calls)) FROM calls").fetchall()


def told(store: Path) -> dict[str, Any]:
    """The story of a store, as JSON gives it back."""
    found: dict[str, Any] = json.loads(json.dumps(demo.tell(store).to_json(), default=str))
    return found


def test_the_demo_tells_the_story(origin_story: Path) -> None:
    check_story(told(origin_story))


@pytest.mark.slow
def test_the_demo_command_tells_the_story_and_made_again_it_is_the_same(tmp_path: Path, origin_story: Path) -> None:
    shown = hindcast(tmp_path, "demo", "--no-serve", "--json", "--dir", str(tmp_path))
    assert shown.returncode == 0, shown.stderr
    assert json.loads(shown.stdout) == told(origin_story)


@pytest.mark.slow
def test_logs_that_are_there_already_add_nothing(tmp_path: Path, origin_story: Path) -> None:
    shutil.copy(origin_story, tmp_path)
    shutil.copytree(origin_story.parent / "logs-7", tmp_path / "logs-7")
    assert calls(demo.build(tmp_path, 7)) == calls(origin_story)


@pytest.mark.slow
@pytest.mark.spread
@pytest.mark.parametrize("seed", [8, 9])
def test_other_seeds_tell_the_same_story(tmp_path: Path, seed: int) -> None:
    chosen = [load(path) for path in sample_logs.strategies()[:3]]  # the ways out stage by stage add nothing here
    check_story(tell(Store(demo.build(tmp_path, seed)), chosen).to_json())


def test_the_terminal_shows_the_story_within_its_width(origin_story: Path, tmp_path: Path) -> None:
    strategies = [str(path) for path in sample_logs.strategies() if path.stem in ("naive_downgrade", "routed_cached")]
    for command in (["diagnose"], ["cost", "--by", "agent"], ["replay", *strategies, "--since", "2024-03-09"]):
        shown = hindcast(tmp_path, *command, HINDCAST_STORE=str(origin_story))
        assert shown.returncode == 0, shown.stderr
        lines = [line for line in shown.stdout.splitlines() if not line.startswith("Evidence:")]  # to be copied whole
        table = [line for line in lines if "  " in line.strip()]
        assert table
        assert max(map(len, table)) <= 120
        assert "\x1b" not in shown.stdout
