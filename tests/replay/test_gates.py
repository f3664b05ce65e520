"""Gates that need a replay: the strategy in force held against its forecast, and what a changed prompt does."""

from __future__ import annotations

import json
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from builder import build_in_memory

from analysis.gates.settings import Rollout, Settings
from analysis.ledger.ledger import update
from ingest.pipeline.run import ingest
from ingest.store.database import Store
from replay.gates.evaluate import evaluate
from replay.gates.proposal import propose
from replay.strategy.schema import Strategy

FIRST = datetime(2024, 9, 2)
RULES = "You write about the sea.\n" + "Say where what you tell is from, and be brief. " * 130
TEMPLATE = RULES + "\nThe reader is {reader}.\n"


def rolled_out(path: Path, after: str) -> Store:
    """Twelve days of gpt-4-turbo, then five of the model `after`."""
    rows = [
        {"start_time": FIRST + timedelta(days=day, minutes=150 * i), "agent": "writer", "conversation_id": f"{day}-{i}",
         "model": "gpt-4-turbo" if day < 12 else after, "input_tokens": 2_000 + 10 * i, "output_tokens": 300}
        for day in range(17)
        for i in range(10)
    ]  # fmt: skip
    store = build_in_memory(rows)
    update(store)
    return store


def gates(store: Store, folder: Path) -> dict[str, bool | None]:
    (folder / "small.yaml").write_text("{name: small, route: [{default: gpt-4o-mini}]}")
    rollout = Rollout(folder / "small.yaml", date(2024, 9, 14))
    found = evaluate(store, Settings(rollout=rollout, flagged_days=False), datetime(2024, 9, 19, tzinfo=UTC))
    return {one.name: one.passed for one in found if one.name in ("drift", "rebound")}


def test_a_rollout_that_does_what_was_forecast_passes_and_one_that_does_not_fails(tmp_path):
    for name in ("gpt-4o-mini", "gpt-4-turbo"):
        (tmp_path / name).mkdir()
    assert gates(rolled_out(tmp_path / "gpt-4o-mini", "gpt-4o-mini"), tmp_path)["drift"] is True
    assert gates(rolled_out(tmp_path / "gpt-4-turbo", "gpt-4-turbo"), tmp_path)["drift"] is False


def test_before_its_first_day_nothing_can_be_said_of_a_rollout(tmp_path):
    rows = [{"start_time": FIRST, "input_tokens": 5, "output_tokens": 5}]
    store = build_in_memory(rows)
    update(store)
    assert gates(store, tmp_path) == {"drift": None, "rebound": None}


# -- changed prompts ---------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def sea(tmp_path_factory: pytest.TempPathFactory) -> Store:
    """Forty calls with a cached prompt, of which ten with another one."""
    folder = tmp_path_factory.mktemp("sea")
    lines = []
    for number in range(40):
        own = number % 4 == 3
        text = "You add numbers." if own else TEMPLATE.format(reader=f"child {number}")
        lines.append(
            {
                "hindcast": 1, "call_id": f"c{number}", "provider_name": "openai", "request_model": "gpt-4.1",
                "start_time": (datetime(2025, 3, 5, 9, tzinfo=UTC) + timedelta(seconds=50 * number)).isoformat(),
                "agent": "sums" if own else "sea", "task": "add" if own else "tell",
                "input_tokens": 90 if own else 1500, "cache_read_input_tokens": 0 if own or not number else 1408,
                "output_tokens": 40,
                "input_messages": [{"role": "system", "content": text}, {"role": "user", "content": f"q{number}"}],
            }
        )  # fmt: skip
    (folder / "log.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    store = Store(folder / "s.duckdb")
    ingest(store, [folder / "log.jsonl"])
    update(store)
    return store


def effect(store: Store, old: str, new: str) -> Any:
    changes = [{"old": {"file": "old.txt", "text": old}, "new": {"file": "new.txt", "text": new}}]
    return propose(store, Settings(), Strategy.from_dict({"name": "x", "prompts": changes}))


def test_a_change_behind_the_cached_prefix_keeps_it_and_one_before_breaks_it(sea):
    behind = effect(sea, TEMPLATE, TEMPLATE + "Thank you.").prompts[0]
    assert (behind.calls, behind.breaks) == (30, False)
    assert behind.prefix_tokens > 1280
    before = effect(sea, TEMPLATE, "For {reader}.\n" + TEMPLATE).prompts[0]
    assert (before.difference, before.breaks) == ((0, 1), True)
    assert before.cached_tokens[1] < before.cached_tokens[0]
    assert before.after_per_day > before.before_per_day
    assert "The cached prefix breaks: the texts differ from byte 0 (line 1) on" in before.sentences[2]


def test_the_dollars_of_a_prompt_are_those_of_the_replay(sea):
    found = effect(sea, TEMPLATE, RULES + "\n{reader}\n")
    one, result = found.prompts[0], found.replay.strategies[0]
    assert one.after_pico - one.before_pico == result.cost_pico - result.baseline_pico
    assert result.savings_pico == {"prompts": one.before_pico - one.after_pico}


def test_a_text_that_no_call_uses_is_told_with_the_nearest(sea):
    found = effect(sea, TEMPLATE.replace("sea", "see"), "Short.")
    told = {gate.name: gate for gate in found.gates}
    assert told["dollars a day"].passed is None
    assert told["prompt old.txt=new.txt"].passed is None
    assert "Nearest is the system text of sea / tell" in told["prompt old.txt=new.txt"].sentence
    assert "differs from byte 22 (line 1) on" in told["prompt old.txt=new.txt"].sentence
