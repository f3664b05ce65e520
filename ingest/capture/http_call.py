"""One call of a model over HTTP: when it began, in which context, and the bytes of its answer as they come."""

from __future__ import annotations

import re
import time
from collections.abc import AsyncIterator, Iterator
from typing import Any

from ingest.capture import log_line
from ingest.capture.call_context import current
from ingest.capture.log_file import Log

_CALLS = re.compile(
    r"(/(chat/completions|completions|responses|embeddings|messages|images/generations|invoke)"
    r"|:(generateContent|streamGenerateContent|embedContent|batchEmbedContents|rawPredict|streamRawPredict))$"
)
_EVENT_END = re.compile(rb"\r?\n\r?\n")


def is_call(method: str, path: str) -> bool:
    """Whether a request runs a model."""
    return method == "POST" and _CALLS.search(path) is not None


class HttpCall:
    """A request that was sent. Logged once: when its answer is whole, is left, or fails."""

    def __init__(self, log: Log, provider: str, request: Any, *, hide_usage: bool) -> None:
        self._log = log
        self._provider = provider
        self._context = current()
        self._path = request.url.path
        self._sent = request.content
        self._retries = request.headers.get("x-stainless-retry-count")
        self._hide_usage = hide_usage
        self._first: float | None = None
        self._status: int | None = None
        self._got: list[bytes] = []
        self._done = False
        self._started = time.time()
        self._clock = time.perf_counter()

    def failed(self, error: BaseException) -> None:
        """No answer came."""
        self._finish(error)

    def answered(self, response: Any) -> None:
        """An answer came: its bytes are there, or are watched as the caller reads them."""
        self._status = response.status_code
        if response.is_stream_consumed or response.is_closed:
            self._got.append(response.content)
            self._finish(None)
            return
        self._log.opened(id(self), self._left)
        if hasattr(response, "aclose") and hasattr(response.stream, "__aiter__"):
            self._watch_async(response)
        else:
            self._watch(response)

    def _watch(self, response: Any) -> None:
        read, close = response.iter_bytes, response.close

        def iter_bytes(chunk_size: int | None = None) -> Iterator[bytes]:
            error: BaseException | None = None
            shown = Shown(self._hide_usage)
            try:
                for data in read(chunk_size):
                    self._take(data)
                    if data := shown.add(data):
                        yield data
                if data := shown.rest():
                    yield data
            except BaseException as caught:
                error = caught
                raise
            finally:
                self._finish(error)

        def close_watched() -> None:
            self._finish(GeneratorExit())
            close()

        response.iter_bytes, response.close = iter_bytes, close_watched

    def _watch_async(self, response: Any) -> None:
        read, close = response.aiter_bytes, response.aclose

        async def aiter_bytes(chunk_size: int | None = None) -> AsyncIterator[bytes]:
            error: BaseException | None = None
            shown = Shown(self._hide_usage)
            try:
                async for data in read(chunk_size):
                    self._take(data)
                    if data := shown.add(data):
                        yield data
                if data := shown.rest():
                    yield data
            except BaseException as caught:
                error = caught
                raise
            finally:
                self._finish(error)

        async def close_watched() -> None:
            self._finish(GeneratorExit())
            await close()

        response.aiter_bytes, response.aclose = aiter_bytes, close_watched

    def _take(self, data: bytes) -> None:
        if self._first is None:
            self._first = time.perf_counter()
        self._got.append(data)

    def _left(self) -> None:
        self._finish(GeneratorExit())

    def _finish(self, error: BaseException | None) -> None:
        if self._done:
            return
        self._done = True
        ended = time.perf_counter()
        self._log.ended(id(self))
        self._log.put(
            log_line.make,
            log_line.Captured(
                self._provider, self._context, self._path, self._sent, self._started, (ended - self._clock) * 1000,
                None if self._first is None else (self._first - self._clock) * 1000, self._status, self._got, error,
                self._retries,
            ),
            self._log.text,
        )  # fmt: skip


class Shown:
    """What the caller sees of a stream: all of it, or all but the chunk of a usage that it did not ask for."""

    def __init__(self, hide: bool) -> None:
        self._hide = hide
        self._held = b""

    def add(self, data: bytes) -> bytes:
        """The bytes to hand on now."""
        if not self._hide:
            return data
        self._held += data
        shown = b""
        while found := _EVENT_END.search(self._held):
            event, self._held = self._held[: found.end()], self._held[found.end() :]
            if not log_line.is_usage_chunk(event):
                shown += event
        return shown

    def rest(self) -> bytes:
        """The bytes after the last whole event."""
        held, self._held = self._held, b""
        return held
