"""A watch over a growing log: one notice for a jump, with drivers that sum; nothing again after a restart."""

from __future__ import annotations

import json
import os
import random
import shlex
import subprocess
import sys
import urllib.request
from collections.abc import Callable
from datetime import datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from notice_servers import hook_server, mail_server

from analysis.alerting import watch as module
from analysis.alerting.alert_causes import causes_of
from analysis.alerting.channels import open_channel
from analysis.alerting.notices import Notice
from analysis.alerting.settings import ChannelSettings, WatchSettings
from analysis.alerting.watch import Watch
from analysis.early_warning.alert import Alert
from analysis.gates.result import GateResult
from ingest.store.database import Store

BEGIN = datetime(2026, 5, 20, 12)
BIN = timedelta(minutes=10)


def lines(first: datetime, last: datetime, *, drafts: int = 4, seed: int = 0) -> str:
    """Calls of two agents, `drafts` and 2 every ten minutes, as lines of the native format."""
    rng = random.Random(f"{seed}{first}")
    found = []
    while first < last:
        for agent, number in (("draft", drafts), ("plan", 2)):
            for n in range(number):
                at = first + timedelta(seconds=rng.random() * 599)
                found.append({
                    "hindcast": 1, "call_id": f"{agent}-{first}-{n}-{seed}", "start_time": at.isoformat() + "Z",
                    "request_model": "gpt-4o", "provider_name": "openai", "agent": agent, "task": agent,
                    "input_tokens": 1000, "output_tokens": 200 + rng.randrange(20),
                })  # fmt: skip
        first += BIN
    return "".join(json.dumps(one) + "\n" for one in found)


class World:
    """A folder with a log, a store."""

    def __init__(self, folder: Path, monkeypatch: pytest.MonkeyPatch, history: timedelta) -> None:
        self.store = Store(folder / "s.duckdb")
        self.logs = folder / "logs"
        self.logs.mkdir()
        self.log = self.logs / "a.jsonl"
        self.log.write_text(lines(BEGIN - history, BEGIN))
        self.now = BEGIN + timedelta(seconds=25)
        self.told: list[Notice] = []
        self.said: list[str] = []
        self.gates: list[GateResult] = []
        monkeypatch.setattr(module, "JUDGE_S", 0.0)
        monkeypatch.setattr(module, "GATES_S", 0.0)
        monkeypatch.setattr(module, "BUSY", 1e9)
        monkeypatch.setattr(module, "JUMP_S", 1e9)

    def watch(self, **options: Any) -> Watch:
        given: dict[str, Any] = {
            "paths": [self.logs], "tell": self.told.append, "complain": self.said.append, "clock": lambda: self.now,
            "gates": lambda _: self.gates, **options,
        }  # fmt: skip
        return Watch(self.store, WatchSettings(dashboard="http://x"), given.pop("channels", {}), **given)

    def grow(self, bins: int, watch: Callable[[], Watch], **options: Any) -> None:
        for _ in range(bins):
            with self.log.open("a") as handle:
                handle.write(lines(self.now - timedelta(seconds=25), self.now + BIN - timedelta(seconds=25), **options))
            self.now += BIN
            watched = watch()
            watched.look()
            watched.close(20)


@pytest.fixture
def world(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> World:
    return World(tmp_path, monkeypatch, timedelta(hours=2))


@pytest.fixture
def old_world(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> World:
    return World(tmp_path, monkeypatch, timedelta(days=8))


def test_a_jump_is_told_once_on_every_channel_by_processes_that_end_and_begin(
    old_world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    with hook_server() as (url, handler), mail_server() as (port, mails):
        monkeypatch.setenv("GOOD", f"{url}/200")
        monkeypatch.setenv("DEAD", f"{url}/503")
        mail = ChannelSettings("mail", "mail", host="127.0.0.1", port=port, sender="a@x.example",
                               recipients=("b@x.example",), tls="none")  # fmt: skip
        channels = {"dead": open_channel(ChannelSettings("dead", "slack", url_env="DEAD")), "mail": open_channel(mail),
                    "good": open_channel(ChannelSettings("good", "webhook", url_env="GOOD"))}  # fmt: skip
        old_world.watch(channels=channels).look()
        old_world.grow(5, lambda: old_world.watch(channels=channels), drafts=30)  # a new process at each look
        ids = [one["id"] for path, one, _ in handler.got if path == "/200"]
        assert len(ids) == len(set(ids)) == len(mails)
        assert {mail["message-id"] for _, mail in mails} == {f"<{one}@hindcast.invalid>" for one in ids}
        assert {path for path, _, _ in handler.got} == {"/200", "/503"}
    alerts = [one for one in old_world.told if one.event == "alert"]
    assert [one.title.split(":")[0] for one in alerts] == ["agent draft rose"]
    assert ids == [one.notice_id for one in old_world.told]
    assert alerts[0].command is not None
    listed = subprocess.run(
        [sys.executable, "-m", "cli.app", *shlex.split(alerts[0].command)[1:], "--json"],
        check=True, capture_output=True, env={**os.environ, "PYTHONPATH": str(Path(__file__).resolve().parents[3])},
    )  # fmt: skip
    rows = json.loads(listed.stdout)["calls"]
    assert len(rows) == 20
    assert {(one["agent"], one["start_time"][:10]) for one in rows} == {("draft", "2026-05-20")}
    assert alerts[0].url == "http://x/spike?day=2026-05-20"
    causes = alerts[0].values["causes"]
    parts = [Decimal(one["usd_per_hour"]) for one in causes["drivers"]] + [Decimal(causes["rest_usd_per_hour"])]
    assert sum(parts) == Decimal(causes["change_usd_per_hour"])
    assert causes["drivers"][0]["segment"] == {"agent": "draft", "task": "draft", "model": "gpt-4o"}
    assert causes["drivers"][0]["what"] == "calls"


def test_drivers_sum_to_the_change_of_the_window(old_world: World) -> None:
    old_world.watch().look()
    with old_world.log.open("a") as handle:
        handle.write(lines(BEGIN, BEGIN + 3 * BIN, drafts=9))
    old_world.now += 3 * BIN
    old_world.watch().look()
    alert = Alert("total", None, "step", BEGIN, BEGIN + 3 * BIN, 1.0, 0.5)
    found = causes_of(old_world.store, alert, alert.detected)
    with old_world.store.read() as con:
        query = "SELECT sum(cost_usd) FROM costs WHERE start_time >= ? AND start_time < ?"
        after = con.execute(query, [BEGIN, BEGIN + 3 * BIN]).fetchall()[0][0]
        before = con.execute(
            """SELECT sum(cost_usd) FROM costs
                WHERE start_time >= $a AND start_time < $b AND start_time::TIME >= $t AND start_time::TIME < $u""",
            {"a": BEGIN - timedelta(days=7), "b": BEGIN, "t": BEGIN.time(), "u": (BEGIN + 3 * BIN).time()},
        ).fetchall()[0][0]
    assert found.compared == 7
    assert abs(found.change_pico_per_hour - (after - before / 7) * 2 * 10**12) < 10
    assert sum(one.pico_per_hour for one in found.drivers) + found.rest_pico_per_hour == found.change_pico_per_hour


def gate(passed: bool) -> GateResult:
    return GateResult("budget usd_per_day", passed, Decimal(3), Decimal(2), "usd", "3 of 2 dollars", "hindcast cost")


def test_a_failed_gate_is_told_once_and_once_when_it_passes(world: World) -> None:
    for passed in (True, False, False, True, True):
        world.gates = [gate(passed)]
        world.watch().look()
    assert [one.event for one in world.told] == ["gate", "gate_resolved"]
    assert world.told[0].title == "Gate 'budget usd_per_day' fails: 3 of 2 dollars"


def test_a_folder_that_vanishes_is_said_once_and_read_again_when_it_is_back(world: World) -> None:
    watched = world.watch()
    watched.look()
    calls = watched.counts.calls
    away = world.logs.with_name("away")
    world.logs.rename(away)
    watched.look()
    watched.look()
    assert len([one for one in world.said if "is not there" in one]) == 1
    assert watched.counts.missing == 1
    away.rename(world.logs)
    with world.log.open("a") as handle:
        handle.write(lines(BEGIN, BEGIN + BIN))
    watched.look()
    assert watched.counts.calls == calls + 6


def test_a_clock_that_jumps_is_counted_and_repeats_nothing(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "JUMP_S", 60.0)
    watched = world.watch()
    watched.look()
    for days in (40, -80, 40):
        world.now += timedelta(days=days)
        watched.look()
    assert watched.counts.clock_jumps == 3
    assert [one for one in world.told if one.values.get("kind") == "silence"] == []
    assert len({one.notice_id for one in world.told}) == len(world.told)


def test_a_store_in_use_is_waited_for_and_nothing_is_lost(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    from ingest.store.ingest_lock import IngestLock

    world.watch().look()
    watched = world.watch(options={"wait": 0.0})
    with world.log.open("a") as handle:
        handle.write(lines(BEGIN, BEGIN + BIN))
    with IngestLock(world.store.path):
        watched.look()
    assert watched.counts.problems["ingest"] == 1
    watched.look()
    assert watched.counts.calls == 6


def test_figures_are_read_by_the_parser_of_prometheus(world: World) -> None:
    pytest.importorskip("prometheus_client")
    from prometheus_client.parser import text_string_to_metric_families

    from analysis.alerting.metrics import serve

    world.gates = [gate(False)]
    watched = world.watch()
    watched.look()
    port, stop = serve(watched, "127.0.0.1", 0)
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics", timeout=20) as answer:
            families = list(text_string_to_metric_families(answer.read().decode()))
    finally:
        stop()
    values = {(one.name, *one.labels.values()): one.value for family in families for one in family.samples}
    assert values["hindcast_ingested_calls_total",] == 2 * 6 * 6
    assert values["hindcast_gate_passed", "budget usd_per_day"] == 0
    assert values["hindcast_alerts_firing", "gate", "gate"] == 1
    assert values["hindcast_store_cost_usd",] > 0
    for family in families:
        assert family.name.startswith("hindcast_")
        assert family.documentation
        assert family.type in ("counter", "gauge")
