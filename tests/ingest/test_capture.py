"""Capture: the real SDK against a server that speaks OpenAI's protocol, and what ingest makes of the log."""

from __future__ import annotations

import asyncio
import json
import subprocess
import sys
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import openai
import pytest
from sdk_providers import MESSAGES, OpenAi, served

from ingest.capture import Log, context, record
from ingest.pipeline.run import ingest
from ingest.store.database import Store


@pytest.fixture(scope="module")
def url() -> Iterator[str]:
    with served(OpenAi) as address:
        yield f"{address}/v1"


@pytest.fixture
def log(tmp_path: Path) -> Log:
    return Log(tmp_path / "calls.jsonl")


def client(url: str) -> openai.OpenAI:
    return openai.OpenAI(api_key="none", base_url=url, max_retries=0)


def lines(log: Log) -> list[dict[str, Any]]:
    assert log.flush()
    return [json.loads(line) for line in log.path.read_text().splitlines()]


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
    stream = record(client(url), log).chat.completions.create(model="slow", messages=MESSAGES, stream=True)
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
    assert (line["status"], line["error_type"], line["http_status"]) == ("error", "rate_limit_exceeded", 429)


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


def test_a_program_that_only_captures_loads_no_database_and_no_tables() -> None:
    asked = (
        "import sys; from ingest.capture import record, context; import ingest.wire.request_response;"
        "print({'pyarrow', 'duckdb', 'polars', 'numba', 'numpy'} & {*sys.modules})"
    )
    root = str(Path(__file__).resolve().parents[2])
    shown = subprocess.run([sys.executable, "-c", asked], capture_output=True, text=True, check=True, cwd=root)
    assert shown.stdout.strip() == "set()"


def test_raw_responses_and_copies_of_a_client_are_logged(url: str, log: Log) -> None:
    recorded = record(client(url), log)
    raw = recorded.chat.completions.with_raw_response.create(model="gpt-4o", messages=MESSAGES)
    assert raw.parse().choices[0].message.content == "hello"
    with recorded.chat.completions.with_streaming_response.create(model="gpt-4o", messages=MESSAGES) as response:
        assert json.loads(response.read())["usage"]["completion_tokens"] == 5
    asked: Any = {"stream": True, "stream_options": {"include_usage": True}}
    streamed = recorded.chat.completions.with_raw_response.create(model="gpt-4o", messages=MESSAGES, **asked)
    assert len(list(streamed.parse())) == 3
    recorded.with_options(timeout=5).chat.completions.create(model="gpt-4o", messages=MESSAGES)
    found = lines(log)
    assert [(line["input_tokens"], line["output_tokens"], line["status"]) for line in found] == [(21, 5, "ok")] * 4
    assert all(line["output_messages"][0]["content"] == "hello" for line in found)


@pytest.mark.parametrize("asynchronous", [False, True])
def test_the_usage_of_a_stream_is_asked_for_and_its_chunk_kept_from_a_caller_that_did_not(
    url: str, log: Log, asynchronous: bool
) -> None:
    arguments: dict[str, Any] = {"model": "gpt-4o", "messages": MESSAGES, "stream": True}
    asked = {**arguments, "stream_options": {"include_usage": True}}
    declined = {**arguments, "stream_options": {"include_usage": False}}

    def run() -> list[int]:
        recorded = record(client(url), log, include_usage=True)
        return [len(list(recorded.chat.completions.create(**given))) for given in (arguments, asked, declined)]

    async def run_async() -> list[int]:
        recorded = record(openai.AsyncOpenAI(api_key="none", base_url=url, max_retries=0), log, include_usage=True)
        found = []
        for given in (arguments, asked, declined):
            found.append(len([chunk async for chunk in await recorded.chat.completions.create(**given)]))
        return found

    with ThreadPoolExecutor(1) as pool:
        chunks = pool.submit(asyncio.run, run_async()).result() if asynchronous else run()
    assert chunks == [2, 3, 2]
    assert [line.get("output_tokens") for line in lines(log)] == [5, 5, None]


def test_each_attempt_is_a_call_of_its_own(url: str, log: Log) -> None:
    recorded = record(openai.OpenAI(api_key="none", base_url=url, max_retries=1), log)
    with pytest.raises(openai.RateLimitError):
        recorded.chat.completions.create(model="broken", messages=MESSAGES)
    assert [(line["status"], line.get("attempt")) for line in lines(log)] == [("error", None), ("error", 2)]


def test_a_server_that_is_not_there_is_an_error_in_the_log(log: Log) -> None:
    with pytest.raises(openai.APIConnectionError):
        record(client("http://127.0.0.1:1"), log).chat.completions.create(model="gpt-4o", messages=MESSAGES)
    (line,) = lines(log)
    assert (line["status"], line["error_type"], line["request_model"]) == ("error", "ConnectError", "gpt-4o")


def test_threads_and_pools_take_over_the_context_in_which_they_get_their_work(url: str, log: Log) -> None:
    recorded = record(client(url), log)

    def call(name: str) -> None:
        recorded.chat.completions.create(model=name, messages=MESSAGES)

    with ThreadPoolExecutor(1) as pool:
        with context(agent="first"):
            pool.submit(call, "first").result()
        with context(agent="second"), context(task="draft"):
            list(pool.map(call, ["second"]))
            thread = threading.Thread(target=call, args=("second",))
            thread.start()
            thread.join()
        pool.submit(call, "none").result()
    found = [(line["request_model"], line.get("agent"), line.get("task")) for line in lines(log)]
    assert found == [("first", "first", None), ("second", "second", "draft"), ("second", "second", "draft"),
                     ("none", None, None)]  # fmt: skip


@pytest.mark.parametrize(
    ("name", "near"), [("agnt", "agent"), ("user", "user_id"), ("converstion_id", "conversation_id")]
)
def test_a_context_that_no_log_knows_is_refused(name: str, near: str) -> None:
    with pytest.raises(TypeError, match=f"'{name}'.*'{near}'"):
        context(**{name: "x"})


def test_what_is_no_client_is_refused(tmp_path: Path) -> None:
    with pytest.raises(TypeError, match="openai"):
        record(object(), tmp_path / "calls.jsonl")


@pytest.mark.parametrize("text", [True, False])
def test_credentials_never_reach_the_log(url: str, tmp_path: Path, text: bool) -> None:
    log = Log(tmp_path / "calls.jsonl", text=text)
    recorded = record(client(url), log)
    given: dict[str, Any] = {
        "model": "gpt-4o", "messages": [{"role": "user", "content": "PERSONAL hello"}], "temperature": 0.5,
        "metadata": {"note": "PERSONAL"}, "stop": ["PERSONAL"], "extra_query": {"token": "SECRET"},
        "extra_headers": {"Helicone-Auth": "Bearer SECRET", "x-portkey-api-key": "SECRET"},
        "extra_body": {"api_key": "SECRET", "top_k": 5, "provider": {"key": "SECRET"}, "cache": {"auth": "SECRET"}},
    }  # fmt: skip
    recorded.chat.completions.create(**given)
    recorded.responses.create(model="gpt-4o", input="PERSONAL", instructions="PERSONAL", tools=[
        {"type": "mcp", "server_label": "docs", "server_url": "https://SECRET@host", "headers": {"a": "SECRET"},
         "authorization": "SECRET"}])  # fmt: skip
    recorded.embeddings.create(model="text-embedding-3-small", input=["PERSONAL", "PERSONAL"])
    recorded.embeddings.create(model="text-embedding-3-small", input=[[1, 2], [3, 4]])
    recorded.completions.create(model="gpt-3.5-turbo-instruct", prompt="PERSONAL")
    found = lines(log)
    assert len(found) == 5
    written = log.path.read_text()
    assert "SECRET" not in written
    assert ("PERSONAL" in written) is text
    assert {name: found[0]["params"].get(name) for name in ("temperature", "top_k")} == {"temperature": 0.5, "top_k": 5}
