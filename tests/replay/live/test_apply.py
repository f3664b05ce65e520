"""A strategy on real calls: the openai SDK, a server that speaks its protocol, a real Redis, and the replay."""

from __future__ import annotations

import ast
import asyncio
import os
import random
import re
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import openai
import pytest
from provider import Provider, digest

from analysis.ledger.ledger import update
from cli import public_api
from ingest.capture import context, record
from ingest.errors import InputError, StrategyError
from ingest.pipeline.run import ingest
from ingest.store.database import Store
from replay.engine.call_frame import replay_calls
from replay.live.apply import apply
from replay.strategy.schema import load

ROUTED = """
name: routed and cached
route:
  - {match: {agent: writer, task: "draft*"}, model: gpt-4o-mini}
  - {when: "input_words > 30", model: gpt-4o}
cache:
  max_temperature: 1
  skip: [{match: {agent: clock}}]
  tiers:
    - {name: memory, scope: process, ttl: 1h, max_entries: 8}
"""
TWO_TIERS = ROUTED + "    - {name: redis, scope: shared, ttl: 1d}\n"


def client_of(upstream: Provider, folder: Path, text: str, **options: Any) -> Any:
    path = folder / "strategy.yaml"
    path.write_text(text)
    made = openai.OpenAI(api_key=options.pop("api_key", "sk-test"), base_url=upstream.url, max_retries=0)
    return apply(made, path, log=folder / "calls.jsonl", **options)


def ask(client: Any, question: str, model: str = "gpt-4-turbo", **options: Any) -> str:
    messages = [{"role": "user", "content": question}]
    answer = client.chat.completions.create(model=model, messages=messages, **options)
    assert answer.choices[0].message.content.split()[1] == digest(messages)
    return str(answer.choices[0].message.content.split()[0])


def test_rules_choose_the_model_and_repeats_cost_nothing(upstream: Provider, tmp_path: Path) -> None:
    client = client_of(upstream, tmp_path, ROUTED)
    assert ask(client, "short") == "gpt-4-turbo"
    assert ask(client, "word " * 40) == "gpt-4o"
    with context(agent="writer", task="draft one"):
        assert [ask(client, "short") for _ in range(3)] == ["gpt-4o-mini"] * 3
    with context(agent="clock"):
        assert [ask(client, "what time is it") for _ in range(2)] == ["gpt-4-turbo"] * 2
    assert upstream.asked == {"gpt-4-turbo": 3, "gpt-4o": 1, "gpt-4o-mini": 1}
    assert client.hindcast.counts["hit: memory"] == 2


def test_the_replay_of_the_log_decides_as_the_program_did(upstream: Provider, tmp_path: Path, redis_url: str) -> None:
    client = client_of(upstream, tmp_path, TWO_TIERS, redis=redis_url)
    rng = random.Random(4)
    live = []
    for _ in range(160):
        agent, task = rng.choice([("writer", "draft one"), ("writer", "check"), ("clock", "tick"), ("reader", "sum")])
        question = f"question {min(int(rng.expovariate(0.3)), 9)} " + "more " * rng.choice([0, 35])
        before = dict(client.hindcast.counts)
        with context(agent=agent, task=task, conversation_id=f"s{rng.randrange(9)}"):
            model = ask(client, question, temperature=rng.choice([0, 0, 0, 0, 1.5]))
        after = client.hindcast.counts
        hits = [name for name in ("memory", "redis") if after[f"hit: {name}"] > before.get(f"hit: {name}", 0)]
        tier = hits[0] if hits else None
        live.append((model, tier))
        time.sleep(0.002)  # the log's times are milliseconds: two calls in one have no order
    client.hindcast.log.flush()
    store = Store(tmp_path / "s.duckdb")
    ingest(store, [tmp_path / "calls.jsonl"])
    update(store)
    frame = replay_calls(store, load(tmp_path / "strategy.yaml"))
    replayed = [(row["model"], row["cache_tier"]) for row in frame.iter_rows(named=True)]
    assert replayed == live
    assert sum(tier is not None for _, tier in live) > 40
    assert {"memory", "redis"} <= {tier for _, tier in live}
    assert upstream.asked.total() == sum(tier is None for _, tier in live)
    assert frame["cost_usd"].sum() == frame["logged_cost_usd"].sum() > 0  # what was simulated is what ran


def test_a_stream_is_kept_when_it_was_whole_and_comes_again_as_a_stream(upstream: Provider, tmp_path: Path) -> None:
    client = client_of(upstream, tmp_path, ROUTED)

    def streamed() -> str:
        chunks = client.chat.completions.create(
            model="gpt-4o", messages=[{"role": "user", "content": "tell"}], stream=True
        )
        return "".join(chunk.choices[0].delta.content or "" for chunk in chunks if chunk.choices)

    upstream.cut = True
    assert streamed().startswith("gpt-4o ")
    upstream.cut = False
    assert streamed() == streamed() == streamed()
    assert upstream.asked.total() == 2  # the one that was cut was not kept
    assert ask(client, "tell", "gpt-4o") == "gpt-4o"  # asked without a stream: another body
    assert upstream.asked.total() == 3


def test_async_calls_go_the_same_way(upstream: Provider, tmp_path: Path, redis_url: str) -> None:
    (tmp_path / "s.yaml").write_text(TWO_TIERS)
    client = openai.AsyncOpenAI(api_key="sk-test", base_url=upstream.url, max_retries=0)
    apply(client, tmp_path / "s.yaml", log=tmp_path / "calls.jsonl", redis=redis_url)

    async def both() -> list[str]:
        found = []
        with context(agent="writer", task="draft"):
            for _ in range(3):
                answer = await client.chat.completions.create(
                    model="gpt-4o", messages=[{"role": "user", "content": "tell"}]
                )
                found.append(str(answer.choices[0].message.content).split()[0])
        return found

    with ThreadPoolExecutor(1) as pool:  # a browser of another test has a loop in this thread
        assert pool.submit(asyncio.run, both()).result() == ["gpt-4o-mini"] * 3
    assert upstream.asked.total() == 1


def test_answers_are_not_shared_between_keys_nor_kept_with_tool_calls_or_failures(
    upstream: Provider, tmp_path: Path, redis_url: str
) -> None:
    one = client_of(upstream, tmp_path, TWO_TIERS, redis=redis_url, api_key="sk-one")
    two = client_of(upstream, tmp_path, TWO_TIERS, redis=redis_url, api_key="sk-two")
    for client in (one, two, one, two):
        ask(client, "whose")
    assert upstream.asked.total() == 2
    tool = {"type": "function", "function": {"name": "f", "parameters": {"type": "object"}}}
    for _ in range(2):
        one.chat.completions.create(model="gpt-4o", messages=[{"role": "user", "content": "use"}], tools=[tool])
    assert upstream.asked.total() == 4
    upstream.fails = 500
    for _ in range(2):
        with pytest.raises(openai.InternalServerError):
            ask(one, "fails")
    upstream.fails = None
    ask(one, "fails")
    assert upstream.asked.total() == 7


def test_redis_that_is_gone_or_holds_other_things_is_never_believed(
    upstream: Provider, tmp_path: Path, redis_url: str
) -> None:
    from redis import Redis

    text = TWO_TIERS.replace("    - {name: memory, scope: process, ttl: 1h, max_entries: 8}\n", "")
    client = client_of(upstream, tmp_path, text, redis=redis_url)
    ask(client, "stored")
    server = Redis.from_url(redis_url)
    (name,) = server.keys("hindcast:*")
    ask(client, "stored")
    assert upstream.asked.total() == 1
    for value in (b"rubbish", b"hc1" + b"\0" * 40, server.get(name)[:-1] + b"!"):
        server.set(name, value)
        ask(client, "stored")
    assert upstream.asked.total() == 4
    assert client.hindcast.counts["redis: a foreign or broken entry"] == 3
    server.shutdown(nosave=True)
    for number in range(3):
        ask(client, f"without {number}")
    assert upstream.asked.total() == 7
    assert sum(n for what, n in client.hindcast.counts.items() if what.startswith("redis: ")) >= 4


def test_what_fails_inside_sends_the_plain_call(
    upstream: Provider, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    client = client_of(upstream, tmp_path, ROUTED)
    monkeypatch.setattr("replay.live.conduct.read", None)  # anything that breaks
    with context(agent="writer", task="draft"):
        assert ask(client, "short") == "gpt-4-turbo"
    assert client.hindcast.counts["fell open: TypeError"] == 1
    monkeypatch.undo()
    monkeypatch.setenv("HINDCAST_APPLY", "off")
    with context(agent="writer", task="draft"):
        assert ask(client, "short") == "gpt-4-turbo"


def test_a_prompt_whose_bytes_leave_open_whether_it_fits_is_counted_without_a_network(
    upstream: Provider, tmp_path: Path
) -> None:
    client = client_of(upstream, tmp_path, "name: w\nroute: [{default: gpt-4}]\n")  # 8,192 tokens
    assert ask(client, "word " * 4_000) == "gpt-4"
    assert ask(client, "word " * 9_000) == "gpt-4-turbo"
    assert client.hindcast.counts == {"moved": 1, "stays: window": 1, "as asked": 1}


def test_a_changed_file_is_taken_over_and_a_broken_one_is_not(
    upstream: Provider, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("replay.live.apply.RELOAD_S", 0.0)
    client = client_of(upstream, tmp_path, "name: a\nroute: [{default: gpt-4o}]\n")
    path = tmp_path / "strategy.yaml"
    assert ask(client, "one") == "gpt-4o"
    path.write_text("name: a\nroute: [{default: gpt-4o-mini}]\n# longer\n")
    assert ask(client, "two") == "gpt-4o-mini"
    path.write_text("name: a\nrout: broken\n")
    assert ask(client, "three") == "gpt-4o-mini"
    assert client.hindcast.counts["strategy not reloaded"] == 1


def test_a_holdback_is_drawn_by_the_unit_and_logged(upstream: Provider, tmp_path: Path) -> None:
    text = "name: half\nroute: [{default: gpt-4o-mini}]\nrollout: {share: 0.5, unit: conversation, seed: 3}\n"
    client = client_of(upstream, tmp_path, text)
    models: dict[str, set[str]] = {}
    for number in range(60):
        session = f"s{number % 20}"
        with context(conversation_id=session):
            models.setdefault(session, set()).add(ask(client, f"q {number}"))
    assert all(len(found) == 1 for found in models.values())
    assert 3 <= sum("gpt-4o-mini" in found for found in models.values()) <= 17
    client.hindcast.log.flush()
    store = Store(tmp_path / "s.duckdb")
    ingest(store, [tmp_path / "calls.jsonl"])
    with store.read() as con:
        rows = con.execute(
            "SELECT DISTINCT arm, model, propensity, assignment, rollout FROM calls ORDER BY arm"
        ).fetchall()
    assert rows == [
        ("control", "gpt-4-turbo", 0.5, "random", "half"), ("treated", "gpt-4o-mini", 0.5, "random", "half"),
    ]  # fmt: skip


def test_a_model_that_the_client_cannot_ask_for_is_not_asked_for(upstream: Provider, tmp_path: Path) -> None:
    gateway = client_of(upstream, tmp_path, "name: g\nroute: [{default: openai/gpt-4o-mini}]\n")
    assert ask(gateway, "through a gateway, by the gateway's own name") == "openai/gpt-4o-mini"
    (tmp_path / "s.yaml").write_text("name: a\nroute: [{default: gpt-4o-mini}]\n")
    azure = openai.AzureOpenAI(
        api_key="k", api_version="2024-10-21", base_url=f"{upstream.url}/deployments/big", max_retries=0
    )
    apply(azure, tmp_path / "s.yaml", log=tmp_path / "azure.jsonl")
    assert ask(azure, "the address names the deployment", "gpt-4-turbo") == "gpt-4-turbo"
    assert azure.hindcast.counts["stays: the address names the model"] == 1


def test_threads_get_their_own_answers(upstream: Provider, tmp_path: Path) -> None:
    client = client_of(upstream, tmp_path, ROUTED)
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(lambda number: ask(client, f"q {number % 30}"), range(240)))  # `ask` checks each answer
    counts = client.hindcast.counts
    assert counts["hit: memory"] + upstream.asked.total() == 240
    assert not any(what.startswith("fell open") for what in counts)


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("name: x\ncompress: [whitespace, structured_output]\n", "line 2: compress structured_output"),
        ("name: x\nroute: [{when: 'output_tokens > 3', model: gpt-4o}]\n", "the answer is not there yet"),
        ("name: x\nclassifier: {model: m}\n", "line 2: classifier: say what it asks"),
    ],
)
def test_what_cannot_run_live_is_refused_at_once(upstream: Provider, tmp_path: Path, text: str, says: str) -> None:
    with pytest.raises(StrategyError, match=says):
        client_of(upstream, tmp_path, text)


def test_a_shared_tier_without_redis_and_a_recorded_client_are_refused(upstream: Provider, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="needs Redis"):
        client_of(upstream, tmp_path, TWO_TIERS)
    client = record(openai.OpenAI(api_key="k", base_url=upstream.url), tmp_path / os.devnull.strip("/"))
    with pytest.raises(TypeError, match="without record"):
        apply(client, tmp_path / "strategy.yaml")


def test_the_program_of_the_page_runs(
    upstream: Provider, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    page = (Path(__file__).resolve().parents[3] / "docs" / "apply.md").read_text("utf-8")
    (code,) = re.findall(r"^```python\n(.*?)^```", page, re.MULTILINE | re.DOTALL)
    monkeypatch.setenv("OPENAI_API_KEY", "sk-test")
    monkeypatch.setenv("OPENAI_BASE_URL", upstream.url)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setitem(sys.modules, "hindcast", public_api)
    exec(compile(code, "apply.md", "exec"), {})
    counts = ast.literal_eval(capsys.readouterr().out)
    assert counts.get("hit: memory", 0) + upstream.asked.total() == 3


def test_a_share_that_grows_keeps_the_treated_and_their_answers(
    upstream: Provider, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("replay.live.apply.RELOAD_S", 0.0)
    text = (
        "name: ramp\nroute: [{default: gpt-4o-mini}]\ncache: {tiers: [{name: memory, scope: process, ttl: 1h}]}\n"
        "rollout: {share: SHARE, unit: conversation, seed: 3, ramp: [0.05, 0.25, 1]}\n"
    )
    client = client_of(upstream, tmp_path, text.replace("SHARE", "0.05"))
    path = tmp_path / "strategy.yaml"
    treated: list[set[str]] = []
    for share in ("0.05", "0.25", "1.0", "0"):
        path.write_text(text.replace("SHARE", share) + "#" * len(treated))
        found = set()
        for number in range(80):
            with context(conversation_id=f"c{number}"):
                if ask(client, f"q {number}") == "gpt-4o-mini":
                    found.add(f"c{number}")
        treated.append(found)
    assert 0 < len(treated[0]) < len(treated[1]) < len(treated[2]) == 80
    assert treated[0] < treated[1] < treated[2]
    assert treated[3] == set()  # rolled back: everyone as before
    assert client.hindcast.counts["hit: memory"] == len(treated[0]) + len(treated[1])
    assert client.hindcast.counts["strategy reloaded"] >= 3
