"""The page that tells the whole way, run as it stands: a real client and server, on a clock that leaps."""

from __future__ import annotations

import re
import shlex
import sys
from pathlib import Path
from typing import Any

import pytest
from clock import leaping_clock
from provider import Provider
from typer.testing import CliRunner

from cli import public_api
from cli.app import app
from ingest.store.database import Store

PAGE = Path(__file__).resolve().parents[3] / "docs" / "story.md"
MONDAY = 1_772_409_600.0  # 2026-03-02, 00:00 UTC


def test_what_the_page_tells_happens_and_its_dollars_add_up(
    upstream: Provider, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", "sk-test")
    monkeypatch.setenv("OPENAI_BASE_URL", upstream.url)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setitem(sys.modules, "hindcast", public_api)
    leaping_clock(monkeypatch, MONDAY)
    told: dict[str, Any] = {}
    for language, block in re.findall(
        r"^```(python|bash)\n(.*?)^```", PAGE.read_text("utf-8"), re.MULTILINE | re.DOTALL
    ):
        if language == "python":
            exec(compile(block, "story.md", "exec"), told)
            continue
        for line in block.splitlines():
            done = CliRunner().invoke(app, shlex.split(line)[1:])
            assert done.exit_code == 0, done.output
    proof = told["proof"].result
    assert proof.realised_pico - proof.forecast_pico == sum(one.amount_pico for one in proof.drifts)
    assert proof.control_units > 0
    cost = proof.effects.effects["cost"]
    assert cost.claimed
    assert cost.estimate.effect < 0

    store = Store(tmp_path / "calls.duckdb")
    pico = "CAST(sum(cost_usd) * 1000000000000 AS BIGINT)"
    hit = "status = 'gateway_cache_hit'"
    with store.read() as con:
        bills = dict(con.execute(f"SELECT coalesce(arm, 'before'), {pico} FROM costs GROUP BY 1").fetchall())
        total = con.execute(f"SELECT {pico} FROM costs").fetchall()[0][0]
        hits = dict(con.execute(f"SELECT arm, count(*) FILTER ({hit}) FROM calls GROUP BY 1").fetchall())
        sent = con.execute(f"SELECT count(*) FILTER (NOT {hit}) FROM calls").fetchall()[0][0]
    assert bills["treated"] == proof.realised_pico
    assert sum(bills.values()) == total
    assert sent == upstream.asked.total()  # what is paid for is what was asked
    assert hits["treated"] == told["applied"].hindcast.counts["hit: memory"] > 20
    assert hits["control"] == 0
    assert proof.inside
    assert "as forecast" in capsys.readouterr().out
