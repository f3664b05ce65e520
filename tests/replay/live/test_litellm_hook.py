"""The hook inside LiteLLM: the decisions of `apply`, in a request as LiteLLM hands it on, and in its real proxy."""

from __future__ import annotations

import json
import os
import shutil
import socket
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import openai
import pytest
from provider import Provider, digest

from ingest.errors import StrategyError
from ingest.pipeline.run import ingest
from ingest.store.database import Store
from replay.live.litellm_hook import Decisions
from replay.rollout.assignment import arm

ROOT = Path(__file__).resolve().parents[3]
STRATEGY = """
name: hooked
route:
  - {match: {agent: writer}, model: gpt-4o-mini}
  - {when: "input_words > 30", model: gpt-nowhere}
rollout: {share: 0.5, unit: conversation, seed: 3}
"""
GROUPS = frozenset({"gpt-4o", "gpt-4o-mini"})


def request(agent: str, conversation: str, said: str = "Draft.") -> dict[str, Any]:
    """As `async_pre_call_hook` of litellm 1.108 gets it, in the parts that are read."""
    body: dict[str, Any] = {"model": "gpt-4o", "messages": [{"role": "user", "content": said}]}
    headers = {"x-hindcast-agent": agent, "x-hindcast-conversation-id": conversation, "authorization": "Bearer sk-1"}
    body["metadata"] = {"user_api_key_auth": object()}  # what the proxy itself has added
    return {
        **body, "metadata": {"requester_metadata": {}, "spend_logs_metadata": {"own": "kept", "hindcast_scores": "1"}},
        "proxy_server_request": {"url": "http://127.0.0.1:4000/v1/chat/completions", "method": "POST",
                                 "headers": headers, "body": body},
    }  # fmt: skip


def conversation(wanted: str) -> str:
    return next(name for name in map(str, range(99)) if arm(name, share=0.5, seed=3) == wanted)


def test_the_hook_decides_as_the_file_says_and_tells_the_log(tmp_path: Path) -> None:
    (tmp_path / "s.yaml").write_text(STRATEGY)
    decisions = Decisions(tmp_path / "s.yaml")
    treated, control = conversation("treated"), conversation("control")
    for unit, model in ((treated, "gpt-4o-mini"), (control, "gpt-4o")):
        data = request("writer", unit)
        decisions.decide(data, GROUPS)
        assert data["model"] == model
        assert data["metadata"]["spend_logs_metadata"] == {
            "own": "kept", "hindcast_rollout": "hooked", "hindcast_propensity": 0.5, "hindcast_assignment": "random",
            "hindcast_arm": "treated" if unit == treated else "control",
        }  # fmt: skip
    data = request("reader", treated, "word " * 40)
    decisions.decide(data, GROUPS)
    assert data["model"] == "gpt-4o"  # the proxy has no model of the file's name
    assert data["metadata"]["spend_logs_metadata"]["hindcast_propensity"] == 1.0
    for odd in ({}, {"model": "gpt-4o"}, {"model": "x", "proxy_server_request": {"body": [], "url": 7}}):
        before = dict(odd)
        decisions.decide(odd, GROUPS)
        assert odd == before
    decisions.decide(
        {"model": "x", "proxy_server_request": {"url": "/v1/chat/completions", "body": {"messages": 3}}}, None
    )
    assert decisions.applied.counts["moved"] == 1
    assert decisions.applied.counts["stays: the proxy has no such model"] == 1


def test_what_changes_calls_is_refused_and_a_shared_cache_needs_no_redis(tmp_path: Path) -> None:
    path = tmp_path / "s.yaml"
    path.write_text("name: x\ncompress: [whitespace]\non_error: gpt-4o\n")
    with pytest.raises(StrategyError, match="compress, on_error"):
        Decisions(path)
    path.write_text("name: x\nroute: [{default: gpt-4o-mini}]\ncache: {tiers: [{name: r, scope: shared, ttl: 1h}]}\n")
    data = request("writer", "1")
    Decisions(path).decide(data, GROUPS)
    assert data["model"] == "gpt-4o-mini"


# -- the real proxy ----------------------------------------------------------------------------------------------------


@pytest.fixture
def litellm(upstream: Provider, tmp_path: Path) -> Iterator[str]:
    """The address of LiteLLM's proxy with the hook; its command is HINDCAST_LITELLM, else on the path."""
    command = os.environ.get("HINDCAST_LITELLM") or shutil.which("litellm")
    if command is None:
        pytest.skip("LiteLLM's proxy is not installed (pip install 'litellm[proxy]', HINDCAST_LITELLM=its command)")
    known = {**os.environ, "PYTHONPATH": str(ROOT), "LITELLM_LOCAL_MODEL_COST_MAP": "True",
             "LITELLM_DANGEROUSLY_PERMIT_WEAK_OR_UNSET_MASTER_KEY": "true"}  # fmt: skip
    python = Path(command).parent / "python"
    if subprocess.run([python, "-c", "import replay.live.litellm_hook"], env=known, capture_output=True).returncode:
        pytest.skip(f"hindcast cannot be imported beside {command}")
    (tmp_path / "s.yaml").write_text(STRATEGY)
    (tmp_path / "hindcast_hook.py").write_text(
        "from replay.live.litellm_hook import hook\nhandler = hook('s.yaml', log='calls.jsonl')\n"
    )
    models = [
        {"model_name": name, "litellm_params": {"model": f"openai/{name}", "api_base": upstream.url, "api_key": "k"}}
        for name in sorted(GROUPS)
    ]
    config = {"model_list": models, "litellm_settings": {"callbacks": "hindcast_hook.handler"}}
    (tmp_path / "config.yaml").write_text(json.dumps(config))
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = int(free.getsockname()[1])
    with (tmp_path / "litellm.log").open("wb") as log:
        process = subprocess.Popen(
            [command, "--config", "config.yaml", "--port", str(port), "--host", "127.0.0.1"],
            cwd=tmp_path, env=known, stdout=log, stderr=subprocess.STDOUT,
        )  # fmt: skip
    try:
        for _ in range(600):
            with socket.socket() as probe:
                if not probe.connect_ex(("127.0.0.1", port)):
                    break
            assert process.poll() is None, (tmp_path / "litellm.log").read_text()[-2000:]
            time.sleep(0.2)
        yield f"http://127.0.0.1:{port}/v1"
    finally:
        process.terminate()
        process.wait(30)


@pytest.mark.slow
def test_inside_the_real_proxy_calls_go_where_the_file_says_and_are_logged(
    litellm: str, upstream: Provider, tmp_path: Path
) -> None:
    client = openai.OpenAI(api_key="sk-any", base_url=litellm, max_retries=0)
    messages: list[Any] = [{"role": "user", "content": "Draft."}]
    expected = []
    for number in range(12):
        names = {"x-hindcast-agent": "writer" if number % 3 else "reader", "x-hindcast-conversation-id": f"c{number}"}
        side = arm(f"c{number}", share=0.5, seed=3)
        model = "gpt-4o-mini" if number % 3 and side == "treated" else "gpt-4o"
        answer = client.chat.completions.create(model="gpt-4o", messages=messages, extra_headers=names)
        assert answer.choices[0].message.content == f"{model} {digest(messages)}"
        expected.append((model, side))
    stream = client.chat.completions.create(model="gpt-4o", messages=messages, stream=True)
    assert digest(messages) in "".join(part.choices[0].delta.content or "" for part in stream if part.choices)
    log = tmp_path / "calls.jsonl"
    for _ in range(200):
        if log.exists() and log.read_text().count("\n") >= 13:
            break
        time.sleep(0.1)
    store = Store(tmp_path / "s.duckdb")
    ingest(store, [log])
    with store.read() as con:
        rows = con.execute(
            "SELECT response_model, arm, rollout, assignment FROM calls "
            "WHERE NOT coalesce(stream, false) ORDER BY start_time"
        ).fetchall()
    assert [(model.removeprefix("openai/"), side) for model, side, _, _ in rows] == expected
    assert {row[2:] for row in rows} == {("hooked", "random")}
