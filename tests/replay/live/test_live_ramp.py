"""A ramp from end to end: a program under `apply`, its log, the step, the file, and the program again."""

from __future__ import annotations

from datetime import datetime
from pathlib import Path

import openai
import pytest
from clock import leaping_clock
from provider import Provider

from analysis.ledger import ledger
from ingest.capture import context
from ingest.pipeline.run import ingest
from ingest.store.database import Store
from replay.evaluation.ramp_progress import Progress, advance, history
from replay.live.apply import apply
from replay.rollout.assignment import draw

MONDAY = 1_772_409_600.0  # 2026-03-02, 00:00 UTC
STRATEGY = """
name: small
route: [{default: gpt-4o-mini}]
rollout: {share: 0.095, unit: conversation, seed: 4, ramp: [0.095, 0.1, 1]}
"""
LATER = datetime(2026, 4, 1)


@pytest.mark.slow
@pytest.mark.parametrize("loss", [True, False])
def test_what_the_treated_lose_sets_the_share_of_the_running_program(
    upstream: Provider, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, loss: bool
) -> None:
    monkeypatch.setattr("replay.live.apply.RELOAD_S", 0.0)
    clock = leaping_clock(monkeypatch, MONDAY)
    path, log = tmp_path / "s.yaml", tmp_path / "calls.jsonl"
    path.write_text(STRATEGY)
    client = openai.OpenAI(api_key="k", base_url=upstream.url, max_retries=0)
    apply(client, path, log=log, include_usage=False)
    store = Store(tmp_path / "s.duckdb")
    share = 0.095

    def a_day(number: int) -> Progress:
        nonlocal share
        before = upstream.asked["gpt-4o-mini"]
        treated = 0
        for one in range(300):
            unit = f"d{number}-{one}"
            bad = loss and draw(unit, 4) < share
            treated += draw(unit, 4) < share
            with context(conversation_id=unit, agent="a", score=0.0 if bad else 1.0):
                client.chat.completions.create(model="gpt-4-turbo", messages=[{"role": "user", "content": unit}])
            clock.sleep(60)
        assert upstream.asked["gpt-4o-mini"] - before == treated  # the share in force is the file's
        clock.sleep(86_400 - 300 * 60)
        client.hindcast.log.flush()
        ingest(store, [log])
        ledger.update(store)
        found = advance(store, path, now=LATER)
        share = found.share
        return found

    assert a_day(0).action == "hold"  # its first day is not over
    second = a_day(1)
    assert (second.action, second.share) == (("roll back", 0.0) if loss else ("advance", 0.1)), second.summary
    if loss:
        assert "quality is 0 treated, 1 in control" in second.summary
    a_day(2)  # the program has taken the new share over: `a_day` counts its calls
    assert all(one.same_decision for one in history(store, path))
