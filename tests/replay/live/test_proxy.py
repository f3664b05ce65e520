"""`hindcast serve` as a process: an SDK of any language sees the provider, and the strategy decides."""

from __future__ import annotations

import http.client
import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import openai
import pytest
from provider import Provider, digest

from ingest.pipeline.run import ingest
from ingest.store.database import Store

ROOT = Path(__file__).resolve().parents[3]
STRATEGY = """
name: served
route: [{match: {agent: writer}, model: gpt-4o-mini}]
cache: {tiers: [{name: memory, scope: process, ttl: 1h}]}
"""


@pytest.fixture
def proxy(upstream: Provider, tmp_path: Path) -> Iterator[str]:
    (tmp_path / "s.yaml").write_text(STRATEGY)
    process = subprocess.Popen(
        [sys.executable, "-m", "cli.entry", "serve", "s.yaml", "--port", "0", "--upstream", upstream.url],
        cwd=tmp_path, env={**os.environ, "PYTHONPATH": str(ROOT)}, stderr=subprocess.PIPE, text=True,
    )  # fmt: skip
    assert process.stderr is not None
    line = process.stderr.readline()
    assert " at http://127.0.0.1:" in line, line
    yield line.split(" at ")[1].split()[0]
    process.terminate()
    process.wait(20)


def asked(url: str, path: str, headers: dict[str, str] | None = None, body: bytes | None = None) -> tuple[int, bytes]:
    connection = http.client.HTTPConnection(url.split("/")[2], timeout=30)
    connection.request("POST" if body is not None else "GET", path, body=body, headers=headers or {})
    answer = connection.getresponse()
    return answer.status, answer.read()


def test_a_program_behind_the_proxy_is_routed_cached_and_logged(proxy: str, upstream: Provider, tmp_path: Path) -> None:
    client = openai.OpenAI(api_key="sk-caller", base_url=proxy, max_retries=0)
    messages: list[Any] = [{"role": "user", "content": "Draft."}]
    names = {"x-hindcast-agent": "writer", "x-hindcast-conversation-id": "c1", "x-hindcast-tags": "team:a, b"}
    for _ in range(2):
        answer = client.chat.completions.create(model="gpt-4-turbo", messages=messages, extra_headers=names)
        assert answer.choices[0].message.content == f"gpt-4o-mini {digest(messages)}"
    stream = client.chat.completions.create(model="gpt-4-turbo", messages=messages, stream=True)
    assert "".join(part.choices[0].delta.content or "" for part in stream if part.choices).startswith("gpt-4-turbo")
    assert upstream.asked == {"gpt-4o-mini": 1, "gpt-4-turbo": 1}
    upstream.fails = 429
    with pytest.raises(openai.RateLimitError):
        client.chat.completions.create(model="gpt-4o", messages=messages)
    assert asked(proxy, "/healthz") == (200, b'{"status": "ok"}')
    metrics = asked(proxy, "/metrics")[1].decode()
    assert 'hindcast_decisions_total{what="hit: memory"} 1' in metrics
    assert asked(proxy, "/v1/chat/completions", {"host": "evil.example"}, b"{}")[0] == 403
    upstream.fails = None
    assert asked(proxy, "/v1/chat/completions", body=b"x" * (51 << 20))[0] == 413


FORGED = {
    "x-hindcast-arm": "treated", "x-hindcast-rollout": "other", "X-Hindcast-Assignment": "random",
    "x-hindcast-propensity": "0.5", "x-hindcast-score": "1", "x-hindcast-scores": "1", "x-hindcast-attempt": "2",
    "x-hindcast-retry-of": "x", "x-hindcast-tags": "team:a, hindcast:classifier, HINDCAST:batch",
}  # fmt: skip


def test_what_the_proxy_logs_holds_no_key_and_nothing_forged(proxy: str, upstream: Provider, tmp_path: Path) -> None:
    client = openai.OpenAI(api_key="sk-caller-secret", base_url=proxy, max_retries=0)
    client.chat.completions.create(
        model="gpt-4o",
        messages=[{"role": "user", "content": "Hi."}],
        extra_headers={"x-hindcast-agent": "writer", **FORGED},
    )
    log = tmp_path / "calls.jsonl"
    for _ in range(100):
        if log.exists() and log.read_text().endswith("\n"):
            break
        asked(proxy, "/healthz")
    text = log.read_text()
    assert "secret" not in text
    line = json.loads(text)
    assert line["rollout"] == "served"
    assert line["tags"] == ["team:a"]
    assert not {"arm", "assignment", "propensity", "score", "scores", "attempt", "retry_of"} & set(line)
    store = Store(tmp_path / "s.duckdb")
    ingest(store, [log])
    with store.read() as con:
        assert con.execute("SELECT agent, model, rollout FROM calls").fetchall() == [
            ("writer", "gpt-4o-mini", "served")
        ]


def test_a_provider_that_is_gone_is_told(tmp_path: Path, proxy: str, upstream: Provider) -> None:
    upstream.shutdown()
    upstream.server_close()
    status, body = asked(proxy, "/v1/chat/completions", body=b'{"model": "gpt-4o", "messages": []}')
    assert status == 502
    assert "did not answer" in json.loads(body)["error"]["message"]
