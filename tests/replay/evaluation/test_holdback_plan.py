"""A planned holdback is as large as its effect needs, is written into the file, and keeps what else stands there."""

from __future__ import annotations

from datetime import datetime, timedelta
from pathlib import Path

import numpy as np
import pytest
from builder import build_store
from typer.testing import CliRunner

from analysis.ledger import ledger
from cli.app import app
from ingest.errors import InputError
from ingest.store.database import Store
from replay.evaluation.holdback_plan import plan
from replay.strategy import schema
from replay.strategy.rollout_schema import Rollout, written

CHEAP = schema.parse("name: cheap\nroute: [{default: gpt-4o-mini}]\noutput_ratio: 1.0")


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Store:
    """Ten days of 60 conversations, two calls each, of 20 users."""
    rng = np.random.default_rng(1)
    rows = []
    for day in range(10):
        for number in range(60):
            size = rng.gamma(10, 100)
            for call in range(2):
                start = datetime(2026, 3, 2) + timedelta(days=day, minutes=24 * number, seconds=call)
                rows.append({
                    "start_time": start, "model": "gpt-4o", "conversation_id": f"{day}-{number}",
                    "user_id": f"u{number % 20}", "agent": "a", "input_tokens": int(size), "output_tokens": 100,
                    "score": float(rng.random() < 0.8),
                })  # fmt: skip
    built = build_store(tmp_path_factory.mktemp("plan") / "p.duckdb", rows)
    ledger.update(built)
    return built


def test_smaller_effects_and_fewer_days_need_a_larger_holdback(store: Store):
    easy, hard = plan(store, CHEAP, effect=0.25), plan(store, CHEAP, effect=0.12)
    assert easy.rollout is not None
    assert hard.rollout is not None
    assert 0.5 <= hard.rollout.share < easy.rollout.share < 1
    for size in hard.sizes:
        if size.holdback is not None:
            assert max(size.detectable.values()) <= 0.12
    found = [size.holdback or 1.0 for size in hard.sizes]
    assert found == sorted(found, reverse=True)
    assert (hard.unit, hard.drawn, hard.per_day) == ("conversation", "conversation", 60.0)
    assert hard.forgone_pico == round((hard.saved_per_day_pico or 0) * 14 * (1 - hard.rollout.share))


def test_what_cannot_be_shown_is_said_with_the_days_it_would_take(store: Store):
    found = plan(store, CHEAP, effect=0.01)
    assert found.rollout is None
    assert "cannot be shown in 14 days" in found.summary
    assert "days would be needed" in found.summary


def test_users_come_again_so_that_more_days_do_not_bring_more_of_them(store: Store):
    found = plan(store, CHEAP, effect=0.01, drawn="user", only=["cost"], days=56)
    assert found.lasting
    assert found.sizes[-1].detectable == found.sizes[-2].detectable
    assert "days would be needed" not in found.summary
    with pytest.raises(InputError):
        plan(store, CHEAP, drawn="trace")


def test_a_block_is_written_and_written_again_and_all_else_stays():
    text = "# mine\nname: x  # short\nroute:\n  - {default: gpt-4o-mini}\n"
    once = written(text, Rollout(share=0.9, unit="tag:article", seed=7))
    assert once.startswith(text)
    assert schema.parse(once).rollout == Rollout(share=0.9, unit="tag:article", seed=7)
    between = once + "quality:\n  floor: 0.9\n"
    again = written(between.replace("rollout: {", "rollout: {\n  "), Rollout(share=0.5))
    assert schema.parse(again).rollout == Rollout(share=0.5)
    assert schema.parse(again).quality.floor == 0.9
    assert again.count("rollout:") == 1
    assert "# mine" in again


@pytest.mark.parametrize(
    "block", ["{share: 0}", "{share: 1.2}", "{share: 0.5, unit: sesion}", "{share: 0.5, extra: 1}"]
)
def test_a_wrong_block_is_refused_with_its_line(block: str):
    with pytest.raises(schema.StrategyError) as error:
        schema.parse(f"name: x\nroute: [{{default: gpt-4o-mini}}]\nrollout: {block}")
    assert error.value.where == "strategy:3"


def test_the_command_writes_the_file_and_refuses_what_is_no_share(store: Store, tmp_path: Path):
    file, target = tmp_path / "s.yaml", tmp_path / "r.yaml"
    file.write_text("name: cheap\nroute: [{default: gpt-4o-mini}]\n")
    run = CliRunner()
    words = ["rollout", "plan", str(file), "--store", str(store.path), "--effect"]
    found = run.invoke(app, [*words, "25%", "-o", str(target)])
    assert found.exit_code == 0
    assert found.stdout.startswith("cheap: hold back")
    assert schema.load(target).rollout is not None
    refused = run.invoke(app, [*words, "0.1%", "-o", str(tmp_path / "none.yaml")])
    assert isinstance(refused.exception, InputError)
    assert not (tmp_path / "none.yaml").exists()
    assert isinstance(run.invoke(app, [*words, "150%"]).exception, InputError)
