"""Capture: the real SDK against a server that speaks OpenAI's protocol, and what ingest makes of the log."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import statistics
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import openai
import pytest

from ingest.capture import Log, context, record
from ingest.pipeline.run import ingest
from ingest.store.database import Store

USAGE = {
    "prompt_tokens": 21,
    "completion_tokens": 5,
    "total_tokens": 26,
    "prompt_tokens_details": {"cached_tokens": 16},
}
CHUNK = {"id": "chatcmpl-7", "object": "chat.completion.chunk", "created": 1770000000, "model": "gpt-4o-2024-08-06"}


class _Provider(BaseHTTPRequestHandler):
    """Answers as OpenAI does: chat, streams, Responses, embeddings, and an error for the model `broken`."""

    def log_message(self, *args: Any) -> None:
        pass

    def do_POST(self) -> None:
        body = json.loads(self.rfile.read(int(self.headers["content-length"])))
        if body["model"] == "broken":
            self._send(429, json.dumps({"error": {"message": "slow down", "code": "rate_limit_exceeded"}}))
        elif self.path.endswith("/embeddings"):
            self._send(200, json.dumps({"object": "list", "model": body["model"],
                                        "data": [{"object": "embedding", "index": 0, "embedding": [0.1]}],
                                        "usage": {"prompt_tokens": 4, "total_tokens": 4}}))  # fmt: skip
        elif self.path.endswith("/responses"):
            self._send(200, json.dumps({
                "id": "resp_1", "object": "response", "created_at": 1770000000, "model": body["model"],
                "status": "completed", "parallel_tool_calls": True, "tool_choice": "auto", "tools": [],
                "output": [{"type": "message", "id": "m", "role": "assistant", "status": "completed",
                            "content": [{"type": "output_text", "text": "hello", "annotations": []}]}],
                "usage": {"input_tokens": 9, "input_tokens_details": {"cached_tokens": 0}, "output_tokens": 3,
                          "output_tokens_details": {"reasoning_tokens": 0}, "total_tokens": 12}}))  # fmt: skip
        elif body.get("stream"):
            chunks = [
                {**CHUNK, "choices": [{"index": 0, "delta": {"role": "assistant", "content": "hel"}}]},
                {**CHUNK, "choices": [{"index": 0, "delta": {"content": "lo"}, "finish_reason": "stop"}]},
                {**CHUNK, "choices": [], "usage": USAGE},
            ]
            text = "".join(f"data: {json.dumps(chunk)}\n\n" for chunk in chunks) + "data: [DONE]\n\n"
            self._send(200, text, "text/event-stream")
        else:
            self._send(200, json.dumps({
                "id": f"chatcmpl-{time.monotonic_ns()}", "object": "chat.completion", "created": 1770000000,
                "model": "gpt-4o-2024-08-06", "usage": USAGE, "choices": [
                    {"index": 0, "finish_reason": "stop",
                     "message": {"role": "assistant", "content": "hello"}}]}))  # fmt: skip

    def _send(self, status: int, text: str, kind: str = "application/json") -> None:
        data = text.encode()
        self.send_response(status)
        self.send_header("content-type", kind)
        self.send_header("content-length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)


@pytest.fixture(scope="module")
def url() -> Iterator[str]:
    server = ThreadingHTTPServer(("127.0.0.1", 0), _Provider)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}/v1"
    server.shutdown()


@pytest.fixture
def log(tmp_path: Path) -> Log:
    return Log(tmp_path / "calls.jsonl")


def client(url: str) -> openai.OpenAI:
    return openai.OpenAI(api_key="none", base_url=url, max_retries=0)


def lines(log: Log) -> list[dict[str, Any]]:
    assert log.flush()
    return [json.loads(line) for line in log.path.read_text().splitlines()]


MESSAGES: list[Any] = [{"role": "user", "content": "Say hello"}]


def test_a_call_is_logged_with_its_context_and_read_by_ingest(url: str, log: Log, tmp_path: Path) -> None:
    recorded = record(client(url), log)
    with context(agent="drafting_agent", task="draft", tags=["env:test"]), context(conversation_id="c-1", tags=["x:y"]):
        answer = recorded.chat.completions.create(model="gpt-4o", messages=MESSAGES, temperature=0.5)
    assert answer.choices[0].message.content == "hello"
    log.flush()
    store = Store(tmp_path / "s.duckdb")
    assert ingest(store, [log.path], workers=1).calls == 1
    with store.read() as con:
        assert con.execute(
            """SELECT agent, task, conversation_id, tags, request_model, model, input_tokens, cache_read_input_tokens,
                      output_tokens, temperature, status, content_state, len(message_ids), finish_reason FROM calls"""
        ).fetchall() == [
            ("drafting_agent", "draft", "c-1", ["env:test", "x:y"], "gpt-4o", "gpt-4o-2024-08-06", 21, 16, 5, 0.5, "ok",
             "full", 1, "stop")
        ]  # fmt: skip


def test_a_stream_reaches_the_caller_whole_and_is_logged_with_its_first_chunk(url: str, log: Log) -> None:
    stream = record(client(url), log).chat.completions.create(
        model="gpt-4o", messages=MESSAGES, stream=True, stream_options={"include_usage": True}
    )
    text = "".join(chunk.choices[0].delta.content or "" for chunk in stream if chunk.choices)
    assert text == "hello"
    (line,) = lines(log)
    assert (line["input_tokens"], line["output_tokens"], line["stream"], line["call_id"]) == (21, 5, True, "chatcmpl-7")
    assert line["output_messages"][0]["content"] == "hello"
    assert 0 < line["time_to_first_chunk_ms"] <= line["duration_ms"]


def test_a_stream_that_the_caller_leaves_is_logged_as_cancelled(url: str, log: Log) -> None:
    stream = record(client(url), log).chat.completions.create(model="gpt-4o", messages=MESSAGES, stream=True)
    next(iter(stream))
    stream.close()
    del stream
    (line,) = lines(log)
    assert (line["status"], line["tokens_source"]) == ("cancelled", "missing")


def test_responses_and_embeddings_are_logged(url: str, log: Log) -> None:
    recorded = record(client(url), log)
    recorded.responses.create(model="gpt-4.1", instructions="Be brief.", input="Say hello")
    recorded.embeddings.create(model="text-embedding-3-small", input="hello")
    response, embedding = lines(log)
    assert (response["call_id"], response["input_tokens"], response["output_tokens"]) == ("resp_1", 9, 3)
    assert [message["role"] for message in response["input_messages"]] == ["system", "user"]
    assert (embedding["request_model"], embedding["input_tokens"]) == ("text-embedding-3-small", 4)


def test_errors_reach_the_caller_and_the_log(url: str, log: Log) -> None:
    with pytest.raises(openai.RateLimitError):
        record(client(url), log).chat.completions.create(model="broken", messages=MESSAGES)
    (line,) = lines(log)
    assert (line["status"], line["error_type"], line["http_status"]) == ("error", "RateLimitError", 429)


def test_async_calls_and_streams_are_logged_with_the_context_of_their_task(url: str, log: Log) -> None:
    async def run() -> None:
        recorded = record(openai.AsyncOpenAI(api_key="none", base_url=url, max_retries=0), log)

        async def one(name: str) -> None:
            with context(agent=name):
                await recorded.chat.completions.create(model="gpt-4o", messages=MESSAGES)
                stream = await recorded.chat.completions.create(model="gpt-4o", messages=MESSAGES, stream=True)
                assert [chunk async for chunk in stream]

        await asyncio.gather(*(one(f"agent-{number}") for number in range(5)))

    # a thread of its own: another test's browser may keep an event loop on this one
    with ThreadPoolExecutor(1) as pool:
        pool.submit(asyncio.run, run()).result()
    found = sorted((line["agent"], line.get("stream", False)) for line in lines(log))
    assert found == sorted((f"agent-{number}", streamed) for number in range(5) for streamed in (False, True))


def test_without_text_sizes_and_hashes_stay(url: str, tmp_path: Path) -> None:
    log = Log(tmp_path / "calls.jsonl", text=False)
    record(client(url), log).chat.completions.create(model="gpt-4o", messages=MESSAGES)
    (line,) = lines(log)
    assert "Say hello" not in log.path.read_text()
    assert line["input_messages"][0]["words"] == 2
    store = Store(tmp_path / "s.duckdb")
    ingest(store, [log.path], workers=1)
    with store.read() as con:
        assert con.execute("SELECT content_state, input_words FROM calls").fetchall() == [("hashed", 2)]


def test_nothing_that_goes_wrong_in_the_log_reaches_the_caller(url: str, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    log = Log(tmp_path / "file" / "calls.jsonl")
    recorded = record(client(url), log)
    with context(agent=object()):
        answer = recorded.chat.completions.create(model="gpt-4o", messages=MESSAGES)
    assert answer.usage is not None
    log.flush()
    assert log.lost == 1


def test_full_files_are_put_aside_and_no_line_is_torn(url: str, tmp_path: Path) -> None:
    log = Log(tmp_path / "calls.jsonl", rotate_bytes=2_000)
    recorded = record(client(url), log)
    for _ in range(12):
        recorded.chat.completions.create(model="gpt-4o", messages=MESSAGES)
    log.flush()
    files = sorted(tmp_path.glob("calls*.jsonl"))
    assert len(files) > 2
    assert sum(len(path.read_text().splitlines()) for path in files) == 12
    assert all(path.stat().st_size <= 2_000 for path in files)
    assert ingest(Store(tmp_path / "s.duckdb"), files, workers=1).calls == 12


CRASH = """
import os, sys
import openai
from ingest.capture import record
client = record(openai.OpenAI(api_key="none", base_url=sys.argv[1], max_retries=0), sys.argv[2])
for number in range(10_000):
    client.chat.completions.create(model="gpt-4o", messages=[{"role": "user", "content": f"call {number}"}])
    print(number, flush=True)
"""


def test_a_killed_program_leaves_whole_lines(url: str, tmp_path: Path) -> None:
    path = tmp_path / "calls.jsonl"
    environment = {**os.environ, "PYTHONPATH": str(Path(__file__).resolve().parents[2])}
    process = subprocess.Popen([sys.executable, "-c", CRASH, url, str(path)], stdout=subprocess.PIPE, env=environment)
    assert process.stdout is not None
    while int(process.stdout.readline()) < 30:
        pass
    process.send_signal(signal.SIGKILL)
    process.communicate()
    report = ingest(Store(tmp_path / "s.duckdb"), [path], workers=1)
    assert report.calls >= 29  # all but the very last
    assert report.quarantined == 0


def test_a_program_that_only_captures_loads_no_database_and_no_tables() -> None:
    asked = (
        "import sys; from ingest.capture import record, context; import ingest.wire.request_response;"
        "print({'pyarrow', 'duckdb', 'polars', 'numba', 'numpy'} & {*sys.modules})"
    )
    root = str(Path(__file__).resolve().parents[2])
    shown = subprocess.run([sys.executable, "-c", asked], capture_output=True, text=True, check=True, cwd=root)
    assert shown.stdout.strip() == "set()"


def test_a_call_is_held_up_by_microseconds(tmp_path: Path) -> None:
    """The time spent in the wrapper, around a `create` that returns at once."""

    class Completions:
        def create(self, **kwargs: Any) -> Any:
            return None

    class Client:
        def __init__(self) -> None:
            self.chat = type("Chat", (), {"completions": Completions()})()

    plain, recorded = Client(), record(Client(), tmp_path / "calls.jsonl")

    def per_call(which: Any) -> float:
        rounds = []
        for _ in range(40):
            begin = time.perf_counter()
            for _ in range(10):
                which.chat.completions.create(model="gpt-4o", messages=MESSAGES)
            rounds.append((time.perf_counter() - begin) / 10)
            recorded._hindcast_log.flush()
        return statistics.median(rounds)

    overhead = per_call(recorded) - per_call(plain)
    assert overhead < 50e-6, f"{overhead * 1e6:.1f} microseconds"
