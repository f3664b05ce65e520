"""Capture with the SDKs of Anthropic and Google, against a server that speaks their protocols."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable, Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import anthropic
import pytest
from google import genai
from sdk_providers import MESSAGES, Provider, served

from ingest.capture import Log, context, record
from ingest.pipeline.run import ingest
from ingest.store.database import Store

CLAUDE, GEMINI = "claude-sonnet-4-6", "gemini-2.5-flash"


class AnthropicAndGoogle(Provider):
    """Messages and their streams, generateContent and its streams; an error for models named `broken`."""

    def do_POST(self) -> None:  # noqa: N802
        body = json.loads(self.rfile.read(int(self.headers["content-length"])))
        if "broken" in self.path or body.get("model") == "broken":
            error = {"code": 400, "status": "INVALID"} if "broken" in self.path else {"type": "invalid_request_error"}
            self.send(400, json.dumps({"type": "error", "error": {"message": "no", **error}}))
        elif self.path.endswith("/messages"):
            usage = {"input_tokens": 5, "cache_read_input_tokens": 16, "cache_creation_input_tokens": 0,
                     "output_tokens": 7}  # fmt: skip
            message = {
                "id": "msg_1", "type": "message", "role": "assistant", "model": CLAUDE, "stop_reason": "end_turn",
                "stop_sequence": None, "content": [{"type": "text", "text": "hello"}], "usage": usage,
            }  # fmt: skip
            if not body.get("stream"):
                self.send(200, json.dumps(message))
                return
            events = [
                {"type": "message_start", "message": {**message, "content": [], "stop_reason": None,
                                                      "usage": {**usage, "output_tokens": 1}}},
                {"type": "content_block_start", "index": 0, "content_block": {"type": "text", "text": ""}},
                {"type": "content_block_delta", "index": 0, "delta": {"type": "text_delta", "text": "hello"}},
                {"type": "content_block_stop", "index": 0},
                {"type": "message_delta", "delta": {"stop_reason": "end_turn", "stop_sequence": None},
                 "usage": {"output_tokens": 7}},
                {"type": "message_stop"},
            ]  # fmt: skip
            self.send(200, "".join(f"event: {event['type']}\ndata: {json.dumps(event)}\n\n" for event in events),
                       "text/event-stream")  # fmt: skip
        else:
            answer = {
                "candidates": [{"content": {"role": "model", "parts": [{"text": "hello"}]}, "finishReason": "STOP"}],
                "modelVersion": GEMINI, "responseId": "gem-1",
                "usageMetadata": {"promptTokenCount": 21, "cachedContentTokenCount": 16, "candidatesTokenCount": 4,
                                  "thoughtsTokenCount": 3, "totalTokenCount": 28},
            }  # fmt: skip
            if "stream" in self.path:
                first = {"candidates": [{"content": {"role": "model", "parts": [{"text": ""}]}}]}
                text = "".join(f"data: {json.dumps(part)}\r\n\r\n" for part in (first, answer))
                self.send(200, text, "text/event-stream")
            else:
                self.send(200, json.dumps(answer))


@pytest.fixture(scope="module")
def url() -> Iterator[str]:
    with served(AnthropicAndGoogle) as address:
        yield address


def claude(url: str, kind: Any = anthropic.Anthropic) -> Any:
    return kind(api_key="sk-SECRET", base_url=url, max_retries=0)


def gemini(url: str) -> Any:
    return genai.Client(api_key="SECRET", http_options={"base_url": url})


def say(client: Any) -> None:
    answer = client.messages.create(model=CLAUDE, max_tokens=99, system="Be brief.", messages=MESSAGES)
    assert answer.content[0].text == "hello"


def say_raw(client: Any) -> None:
    assert client.messages.with_raw_response.create(model=CLAUDE, max_tokens=99, messages=MESSAGES).parse().usage


def say_beta(client: Any) -> None:
    client.beta.messages.create(model=CLAUDE, max_tokens=99, messages=MESSAGES)


def stream(client: Any) -> None:
    events = list(client.messages.create(model=CLAUDE, max_tokens=99, messages=MESSAGES, stream=True))
    assert events[-1].type == "message_stop"


def stream_helper(client: Any) -> None:
    with client.messages.stream(model=CLAUDE, max_tokens=99, messages=MESSAGES) as running:
        assert "".join(running.text_stream) == "hello"


async def say_async(client: Any) -> None:
    await client.messages.create(model=CLAUDE, max_tokens=99, messages=MESSAGES)


async def stream_async(client: Any) -> None:
    async with client.messages.stream(model=CLAUDE, max_tokens=99, messages=MESSAGES) as running:
        assert (await running.get_final_message()).usage.output_tokens == 7


def generate(client: Any) -> None:
    config = {"temperature": 0.5, "max_output_tokens": 99, "system_instruction": "Be brief."}
    assert client.models.generate_content(model=GEMINI, contents="Say hello", config=config).text == "hello"


def generate_stream(client: Any) -> None:
    assert "".join(part.text for part in client.models.generate_content_stream(model=GEMINI, contents="hi")) == "hello"


def chat(client: Any) -> None:
    assert client.chats.create(model=GEMINI).send_message("Say hello").text == "hello"


async def generate_async(client: Any) -> None:
    await client.aio.models.generate_content(model=GEMINI, contents="Say hello")


async def generate_stream_async(client: Any) -> None:
    async for _ in await client.aio.models.generate_content_stream(model=GEMINI, contents="Say hello"):
        pass


def run(call: Callable[[Any], Awaitable[None] | None], client: Any) -> None:
    async def awaited() -> None:
        result = call(client)
        assert result is not None
        await result

    if asyncio.iscoroutinefunction(call):
        with ThreadPoolExecutor(1) as pool:  # a thread of its own: this one may run a loop for another test's browser
            pool.submit(asyncio.run, awaited()).result()
    else:
        call(client)


@pytest.mark.parametrize("call", [say, say_raw, say_beta, stream, stream_helper, say_async, stream_async])
def test_anthropic(url: str, tmp_path: Path, call: Callable[[Any], Any]) -> None:
    kind = anthropic.AsyncAnthropic if asyncio.iscoroutinefunction(call) else anthropic.Anthropic
    log = Log(tmp_path / "calls.jsonl")
    with context(agent="writer"):
        run(call, record(claude(url, kind), log))
    assert read(log, tmp_path) == [("writer", CLAUDE, 21, 16, 7, "ok", "stream" in call.__name__)]


@pytest.mark.parametrize("call", [generate, generate_stream, chat, generate_async, generate_stream_async])
def test_google(url: str, tmp_path: Path, call: Callable[[Any], Any]) -> None:
    log = Log(tmp_path / "calls.jsonl")
    with context(agent="writer"):
        run(call, record(gemini(url), log))
    assert read(log, tmp_path) == [("writer", GEMINI, 21, 16, 7, "ok", "stream" in call.__name__)]


def read(log: Log, folder: Path) -> list[tuple[Any, ...]]:
    """What ingest makes of the log, which holds no credential."""
    assert log.flush()
    assert "SECRET" not in log.path.read_text()
    store = Store(folder / "s.duckdb")
    ingest(store, [log.path], workers=1)
    with store.read() as con:
        return con.execute(
            """SELECT agent, model, input_tokens, cache_read_input_tokens, output_tokens, status, stream IS true
               FROM calls WHERE message_ids IS NOT NULL AND output_id IS NOT NULL"""
        ).fetchall()


def test_errors_of_both(url: str, tmp_path: Path) -> None:
    log = Log(tmp_path / "calls.jsonl")
    with pytest.raises(anthropic.BadRequestError):
        record(claude(url), log).messages.create(model="broken", max_tokens=9, messages=MESSAGES)
    google = record(gemini(url), log)
    with pytest.raises(genai.errors.ClientError):
        google.models.generate_content(model="broken", contents="hi")
    assert log.flush()
    found = [json.loads(line) for line in log.path.read_text().splitlines()]
    assert [(line["status"], line["http_status"], line["request_model"], line["error_type"]) for line in found] == [
        ("error", 400, "broken", "invalid_request_error"), ("error", 400, "broken", "INVALID")
    ]  # fmt: skip
