"""Log the calls of a running program: `record(client)` wraps an `openai` client and appends to a log that ingest reads.

    from openai import OpenAI
    from ingest.capture import record, context

    client = record(OpenAI(), "calls.jsonl")
    with context(agent="drafting_agent", task="draft", conversation_id="article-17"):
        client.chat.completions.create(model="gpt-4o", messages=[...])

Sync and async clients, streams, chat completions, Responses and embeddings. The line is made and written by a thread
of its own, so that a call is held up by microseconds; each line is one `write`, so that a crash loses at most the
calls of the last moments and never leaves a torn line among whole ones. Nothing here ever raises into the caller.
"""

from __future__ import annotations

import atexit
import contextlib
import contextvars
import functools
import hashlib
import os
import queue
import threading
import time
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import msgspec

ROTATE_BYTES = 256 << 20
_FLUSH_SECONDS = 5.0
_METHODS = (("chat", "completions"), ("responses",), ("embeddings",), ("completions",))
_context: contextvars.ContextVar[dict[str, Any] | None] = contextvars.ContextVar("hindcast_context", default=None)
_Work = tuple[Callable[..., Any], tuple[Any, ...]]
_encode = msgspec.json.Encoder(enc_hook=str).encode
_FIELDS = (
    "request_model", "response_model", "response_id", "input_tokens", "cache_read_input_tokens",
    "cache_creation_input_tokens", "output_tokens", "reasoning_output_tokens", "audio_input_tokens",
    "audio_output_tokens", "image_input_tokens", "image_output_tokens", "finish_reason", "service_tier", "temperature",
    "max_tokens", "reasoning_effort", "response_format", "stream", "status", "error_type", "user_id", "tokens_source",
    "cache_creation_1h_input_tokens", "cache_read_audio_input_tokens", "cache_read_image_input_tokens",
    "server_tool_calls", "web_search_calls", "web_search_results", "file_search_calls", "code_interpreter_calls",
    "maps_calls", "image_generation_calls", "search_context_size",
)  # fmt: skip
_ABSENT = frozenset({"NotGiven", "Omit"})  # classes of the SDK that stand for an argument that was not given
_encode_sorted = msgspec.json.Encoder(order="sorted").encode


@contextlib.contextmanager
def context(**fields: Any) -> Iterator[None]:
    """Name what the calls inside are for: `agent`, `task`, `conversation_id`, `request_id`, `user_id`, `tags`, ...

    Contexts nest; tags add up. Threads and tasks inherit them as contextvars do.
    """
    outer = _context.get() or {}
    merged = {**outer, **fields}
    if outer.get("tags") and fields.get("tags"):
        merged["tags"] = [*outer["tags"], *fields["tags"]]
    token = _context.set(merged)
    try:
        yield
    finally:
        _context.reset(token)


class Log:
    """Appends lines to a file from a thread of its own. Full files are put aside as NAME.1.jsonl, NAME.2.jsonl, ..."""

    def __init__(self, path: str | Path, *, rotate_bytes: int = ROTATE_BYTES, text: bool = True) -> None:
        self.path = Path(path)
        self.text = text
        self.lost = 0  # calls that could not be written
        self._rotate = rotate_bytes
        self._queue: queue.SimpleQueue[_Work | threading.Event] = queue.SimpleQueue()
        self._handle: int | None = None
        self._size = 0
        self._thread: threading.Thread | None = None
        self._owner = 0
        self._starting = threading.Lock()
        atexit.register(self.flush)

    def put(self, make: Callable[..., Any], *arguments: Any) -> None:
        """Queue `make(*arguments)`, whose result is the record to write."""
        if self._owner != os.getpid():
            self.start()
        self._queue.put((make, arguments))

    def flush(self, timeout: float = _FLUSH_SECONDS) -> bool:
        """Wait until what was queued is written."""
        if self._thread is None or not self._thread.is_alive() or self._owner != os.getpid():
            return True
        done = threading.Event()
        self._queue.put(done)
        return done.wait(timeout)

    def start(self) -> None:
        """Have the thread ready, in this process."""
        with self._starting:
            if self._owner == os.getpid():
                return
            self._queue = queue.SimpleQueue()  # after a fork the parent's thread is not here
            self._handle = None
            self._thread = threading.Thread(target=self._write_all, name="hindcast-capture", daemon=True)
            self._thread.start()
            self._owner = os.getpid()

    def _write_all(self) -> None:
        with contextlib.suppress(Exception):
            import ingest.wire.request_response  # noqa: F401  while the caller waits for its first answer
        while True:
            item = self._queue.get()
            if isinstance(item, threading.Event):
                item.set()
                continue
            try:
                self._write(_encode(item[0](*item[1])) + b"\n")
            except Exception:
                self.lost += 1  # never into the caller's program; the count tells

    def _write(self, line: bytes) -> None:
        if self._handle is None:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            self._handle = os.open(self.path, os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC, 0o600)
            self._size = os.fstat(self._handle).st_size
            if self._size and not self._ends_whole():
                os.write(self._handle, b"\n")  # a torn line of a crash stays alone
        if self._size and self._size + len(line) > self._rotate:
            self._put_aside()
        assert self._handle is not None
        os.write(self._handle, line)
        self._size += len(line)

    def _ends_whole(self) -> bool:
        with self.path.open("rb") as handle:
            handle.seek(-1, os.SEEK_END)
            return handle.read(1) == b"\n"

    def _put_aside(self) -> None:
        assert self._handle is not None
        os.close(self._handle)
        number = 1
        while (aside := self.path.with_name(f"{self.path.stem}.{number}{self.path.suffix}")).exists():
            number += 1
        with contextlib.suppress(OSError):  # another process may have put it aside already
            self.path.rename(aside)
        self._handle = os.open(self.path, os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC, 0o600)
        self._size = os.fstat(self._handle).st_size


def record(client: Any, path: str | Path | Log = "calls.jsonl", *, text: bool = True) -> Any:
    """Wrap the client's `create` methods in place and return it. `text=False` logs sizes and hashes, no texts."""
    log = path if isinstance(path, Log) else Log(path, text=text)
    _quiet(log.start)
    provider = _provider(client)
    asynchronous = "Async" in type(client).__name__
    for parts in _METHODS:
        target: Any = client
        with contextlib.suppress(Exception):
            for part in parts:
                target = getattr(target, part)
            for name in ("create", "parse"):
                method = getattr(target, name, None)
                if method is not None and not getattr(method, "_hindcast", False):
                    setattr(target, name, _wrapped(method, log, provider, asynchronous))
    client._hindcast_log = log
    return client


def _provider(client: Any) -> str:
    if "Azure" in type(client).__name__:
        return "azure.ai.openai"
    host = str(getattr(client, "base_url", ""))
    return "openai" if "api.openai.com" in host or not host else host.split("//")[-1].split("/")[0]


def _wrapped(create: Callable[..., Any], log: Log, provider: str, asynchronous: bool) -> Callable[..., Any]:
    def begin(kwargs: dict[str, Any]) -> _Running:
        return _Running(log, provider, kwargs)

    if asynchronous:

        @functools.wraps(create)
        async def call_async(*args: Any, **kwargs: Any) -> Any:
            running = _quiet(begin, kwargs)
            try:
                answer = await create(*args, **kwargs)
            except BaseException as error:
                _quiet(running and running.failed, error)
                raise
            return _quiet(running and running.answered, answer, kwargs, default=answer)

        call_async._hindcast = True  # type: ignore[attr-defined]
        return call_async

    @functools.wraps(create)
    def call(*args: Any, **kwargs: Any) -> Any:
        running = _quiet(begin, kwargs)
        try:
            answer = create(*args, **kwargs)
        except BaseException as error:
            _quiet(running and running.failed, error)
            raise
        return _quiet(running and running.answered, answer, kwargs, default=answer)

    call._hindcast = True  # type: ignore[attr-defined]
    return call


def _quiet(function: Any, *arguments: Any, default: Any = None) -> Any:
    """Call `function` and swallow whatever goes wrong in it: the caller's program must not notice us."""
    if not function:
        return default
    try:
        found = function(*arguments)
    except Exception:
        return default
    return default if found is None else found


class _Running:
    """One call on its way: when it began, in which context, with which request."""

    __slots__ = ("_clock", "_context", "_done", "_first", "_log", "_provider", "_request", "_started")

    def __init__(self, log: Log, provider: str, kwargs: dict[str, Any]) -> None:
        self._log = log
        self._provider = provider
        self._context = _context.get() or {}
        # the caller may go on to append to the same list of messages
        self._request = {key: list(value) if isinstance(value, list) else value for key, value in kwargs.items()}
        self._first: float | None = None
        self._done = False
        self._started = time.time()
        self._clock = time.perf_counter()

    def answered(self, answer: Any, kwargs: dict[str, Any]) -> Any:
        if kwargs.get("stream"):
            return _stream(answer, self)
        self._finish(answer, None)
        return answer

    def failed(self, error: BaseException) -> None:
        self._finish(None, error)

    def chunk(self) -> None:
        if self._first is None:
            self._first = time.perf_counter()

    def streamed(self, chunks: list[Any], error: BaseException | None) -> None:
        self._finish(chunks, error)

    def _finish(self, answer: Any, error: BaseException | None) -> None:
        if self._done:
            return
        self._done = True
        ended = time.perf_counter()
        first = None if self._first is None else (self._first - self._clock) * 1000
        self._log.put(
            _record, self._log.text, self._provider, self._context, self._request, self._started,
            (ended - self._clock) * 1000, first, answer, error,
        )  # fmt: skip


def _stream(stream: Any, running: _Running) -> Any:
    """The stream itself, whose iteration is watched; all else about it stays as it is."""
    chunks: list[Any] = []
    iterator = getattr(stream, "_iterator", None)
    if iterator is None:
        return stream
    if hasattr(iterator, "__anext__"):

        async def watch_async() -> Any:
            error: BaseException | None = None
            try:
                async for chunk in iterator:
                    running.chunk()
                    chunks.append(chunk)
                    yield chunk
            except BaseException as caught:
                error = caught
                raise
            finally:
                _quiet(running.streamed, chunks, error)

        leave = stream.close

        async def close_async() -> Any:
            _quiet(running.streamed, chunks, GeneratorExit())
            return await leave()

        stream._iterator, stream.close = watch_async(), close_async
        return stream

    def watch() -> Any:
        error: BaseException | None = None
        try:
            for chunk in iterator:
                running.chunk()
                chunks.append(chunk)
                yield chunk
        except BaseException as caught:
            error = caught
            raise
        finally:
            _quiet(running.streamed, chunks, error)

    leave = stream.close

    def close() -> Any:
        _quiet(running.streamed, chunks, GeneratorExit())
        return leave()

    stream._iterator, stream.close = watch(), close
    return stream


def _record(
    text: bool, provider: str, inside: dict[str, Any], request: dict[str, Any], started: float, duration: float,
    first: float | None, answer: Any, error: BaseException | None,
) -> dict[str, Any]:  # fmt: skip
    """The line of the native format. Runs in the log's thread."""
    line: dict[str, Any] = {
        "hindcast": 1,
        "call_id": f"capture-{uuid.uuid4()}",
        "start_time": _utc(started),
        "duration_ms": round(duration, 3),
        "provider_name": provider,
        "process_id": f"{os.uname().nodename}:{os.getpid()}" if hasattr(os, "uname") else str(os.getpid()),
    }
    if first is not None:
        line["time_to_first_chunk_ms"] = round(first, 3)
    line.update({key: value for key, value in inside.items() if value is not None})
    line.update(_described(request, answer, error, text=text))
    return line


def _utc(seconds: float) -> str:
    whole = int(seconds)
    return time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(whole)) + f".{int((seconds - whole) * 1e6):06d}Z"


def _described(request: dict[str, Any], answer: Any, error: BaseException | None, *, text: bool) -> dict[str, Any]:
    """The log fields of one call. A stream comes as the list of its chunks."""
    from ingest.records.call import Call
    from ingest.wire import openai
    from ingest.wire.request_response import apply_bodies, dialect_of

    call = Call()
    body = _body(answer)
    sent = _plain(request)
    if dialect_of(body) is not None:
        apply_bodies(call, sent, body)
    else:
        openai.apply_request(call, sent)
        call.tokens_source = "missing"
    if error is not None:
        call.status = "cancelled" if isinstance(error, GeneratorExit | KeyboardInterrupt) else "error"
        call.error_type = type(error).__name__
        status = getattr(error, "status_code", None)
    else:
        status = None
    if sent.get("stream"):
        call.stream = True
    line = {name: value for name in _FIELDS if (value := getattr(call, name)) is not None}
    if call.response_id:
        line["call_id"] = call.response_id
    if isinstance(status, int):
        line["http_status"] = status
    if call.params:
        line["params"] = call.params
    for name, messages in (("input_messages", call.messages), ("output_messages", call.output), ("tools", call.tools)):
        if messages:
            line[name] = messages if text else [_hashed(message) for message in messages]
    if not text:
        line.pop("tools", None)
    return line


def _body(answer: Any) -> Any:
    if isinstance(answer, list):
        from ingest.wire import streaming

        chunks = [_plain(chunk) for chunk in answer]
        return streaming.assemble(chunks) if chunks else None
    return _plain(answer)


def _plain(value: Any) -> Any:
    """Plain data from the SDK's models, and from whatever the caller put among the arguments."""
    dump = getattr(value, "model_dump", None)
    if dump is not None:
        return dump(mode="json", exclude_unset=True)
    if isinstance(value, dict):
        return {str(key): _plain(item) for key, item in value.items() if type(item).__name__ not in _ABSENT}
    if isinstance(value, list | tuple):
        return [_plain(item) for item in value]
    return value


def _hashed(message: Any) -> dict[str, Any]:
    canonical = _encode_sorted({key: item for key, item in message.items() if item is not None})
    content = message.get("content")
    words = len(content.split()) if isinstance(content, str) else len(canonical.split())
    return {"role": message.get("role"), "sha256": hashlib.sha256(canonical).hexdigest(), "words": words}
