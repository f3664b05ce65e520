"""Drafted strategies: every file loads, matches calls of its log, names priced models, and says why."""

from __future__ import annotations

import json
from collections.abc import Iterator
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
import yaml
from builder import build_store
from hypothesis import given
from hypothesis import strategies as st
from typer.testing import CliRunner

from analysis.ledger import ledger
from cli.app import app
from ingest.errors import InputError
from ingest.store.database import Store
from replay.drafting.commented_file import Draft, Line
from replay.drafting.drafts import MOST, drafts
from replay.engine.run import run
from replay.engine.unmatched import unmatched_in
from replay.strategy.schema import parse

START = datetime(2026, 6, 1, 9)
HOSTILE = 'a*b: "x" # {y}\n- z'


def calls() -> Iterator[dict[str, Any]]:
    """Two agents on a dear and a cheap model; the second one's requests repeat word for word within two hours."""
    for number in range(40):
        at = START + timedelta(minutes=3 * number)
        yield {"start_time": at, "provider_name": "anthropic", "model": "claude-opus-4-1", "agent": "writer",
               "task": "draft", "input_tokens": 4000, "output_tokens": 900}  # fmt: skip
        yield {"start_time": at + timedelta(seconds=9), "end_time": at + timedelta(seconds=10), "agent": HOSTILE,
               "task": "label", "model": "gpt-4o", "input_tokens": 9000, "output_tokens": 20, "finish_reason": "stop",
               "key_canonical": number % 4}  # fmt: skip


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Store:
    built = build_store(tmp_path_factory.mktemp("drafts") / "s.duckdb", calls())
    ledger.update(built)
    return built


@pytest.fixture(scope="module")
def found(store: Store) -> tuple[Draft, ...]:
    return drafts(store)


def test_every_draft_loads_matches_calls_and_names_priced_models(store: Store, found: tuple[Draft, ...]) -> None:
    assert 3 <= len(found) <= MOST
    strategies = [one.strategy() for one in found]
    assert unmatched_in(store, strategies) == [()] * len(found)
    replayed = run(store, strategies)
    assert all(result.newly_unpriced == 0 for result in replayed.strategies)
    assert all(result.cost_pico < result.baseline_pico for result in replayed.strategies)


def test_models_go_to_their_maker_s_siblings(found: tuple[Draft, ...]) -> None:
    (siblings,) = (one for one in found if one.slug == "siblings")
    moves = {line.value["match"]["model"]: line.value["model"] for line in siblings.route}
    assert moves == {"claude-opus-4-1": "anthropic/claude-opus-5-5", "gpt-4o": "openai/gpt-6.1-sol"}
    assert "40 calls" in siblings.route[0].why


def test_a_cache_is_drafted_only_where_requests_repeat(store: Store, found: tuple[Draft, ...], tmp_path: Path) -> None:
    (cache,) = (one for one in found if one.slug == "cache")
    assert "36 calls ask again within 24h" in cache.tiers[-1].why
    apart = [{**call, "key_canonical": number} for number, call in enumerate(calls())]
    other = build_store(tmp_path / "o.duckdb", apart)
    ledger.update(other)
    assert all(not one.tiers for one in drafts(other))


def test_every_line_has_its_evidence_as_a_comment(found: tuple[Draft, ...]) -> None:
    for one in found:
        lines = one.text().splitlines()
        for place, line in enumerate(lines):
            if line.lstrip().startswith("- "):
                assert lines[place - 1].lstrip().startswith("# ")
        assert lines[0].startswith("# Drafted from 80 calls of 2026-06-01 to 2026-06-01")


@given(st.text(min_size=1), st.text(min_size=1), st.text())
def test_names_of_a_log_read_back_as_they_are(agent: str, task: str, why: str) -> None:
    rule = {"match": {"agent": agent, "task": task}, "model": "m"}
    text = Draft("x", agent, task, 0.9, route=(Line(rule, why),), heading=(why,)).text()
    document = yaml.safe_load(text)
    assert (document["name"], document["route"], document["quality"]) == (agent, [rule], {"floor": 0.9})
    assert parse(text).route[0].match == rule["match"]


def test_a_log_without_a_price_is_refused(tmp_path: Path) -> None:
    built = build_store(tmp_path / "s.duckdb", [{"start_time": START, "model": "nobodys", "input_tokens": 1}])
    ledger.update(built)
    with pytest.raises(InputError, match="nothing to draft from"):
        drafts(built)


@pytest.mark.slow
def test_the_commands_draft_check_list_and_replay_them(
    store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HINDCAST_STORE", str(store.path))

    def run_command(*words: str) -> Any:
        done = CliRunner().invoke(app, [*words, "--json"], catch_exceptions=False)
        assert done.exit_code == 0, done.output
        return json.loads(done.stdout)

    names = [one["name"] for one in run_command("replay")["strategies"]]
    assert not Path("strategies").exists()
    written = run_command("strategy", "init")["drafts"]
    assert [one["name"] for one in written] == names
    assert [one["unmatched"] for one in run_command("strategy", "check", "strategies")] == [[]] * len(written)
    assert {one["name"] for one in run_command("replay")["strategies"]} == set(names)
    yours = [one["path"] for one in run_command("strategy", "list")["strategies"] if one["whose"] == "yours"]
    assert sorted(yours) == sorted(one["path"] for one in written)
    refused = CliRunner().invoke(app, ["strategy", "init"])
    assert "--force" in str(refused.exception)
