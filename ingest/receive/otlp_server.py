"""The server of `hindcast watch --listen`: OTLP over HTTP, answered once what was sent is on the disk.

Statuses as the specification of OTLP/HTTP has them (opentelemetry.io/docs/specs/otlp, 1.9, read 2026-11): 200 for what
is kept, 400 for what never can be, 429 and 503 with Retry-After for what should be sent again.
"""

from __future__ import annotations

import asyncio
import hmac
import ipaddress
import os
import socket
import threading
import time
from collections import Counter
from collections.abc import Awaitable, Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any, Final

import msgspec

from ingest.errors import InputError, StoreError
from ingest.format_contract import READER_ERRORS
from ingest.receive.export_body import MOST_BYTES, Export, RefusedError, inflated, read_export, take_document
from ingest.receive.journal import Journal
from ingest.receive.open_traces import OpenTraces

DEFAULT_PORT: Final = 4318
TOKEN: Final = "HINDCAST_LISTEN_TOKEN"  # noqa: S105  the name of an environment variable
IN_MEMORY_BYTES: Final = 128 << 20  # of all bodies that are being read or wait to be written
JOURNAL_BYTES: Final = 1 << 30  # that the store has not taken over yet
BODY_SECONDS: Final = 30.0
CONNECTIONS: Final = 256
_PATHS: Final = {"/v1/logs": "logs", "/v1/traces": "traces", "/v1/metrics": "metrics"}
_LOCAL_NAMES: Final = ("localhost", "127.0.0.1", "::1")
_NO_METRICS: Final = "metrics are not kept: calls are read from logs and traces"
_encode = msgspec.json.Encoder().encode
Receive = Callable[[], Awaitable[dict[str, Any]]]
Send = Callable[[dict[str, Any]], Awaitable[None]]


@dataclass
class Counts:
    """What was asked for since the start: requests by signal and status, records by signal kept and left out."""

    requests: Counter[tuple[str, int]] = field(default_factory=Counter)
    kept: Counter[str] = field(default_factory=Counter)
    left_out: Counter[str] = field(default_factory=Counter)


def address_of(text: str) -> tuple[str, int]:
    """`HOST:PORT`, `:PORT`, `PORT` or `HOST` as host and port. Raises InputError."""
    host, mark, port = text.strip().rpartition(":")
    if host.count("[") != host.count("]") or (not mark and not port.isdecimal()):
        host, port = text.strip(), ""  # a colon of IPv6, or none
    if (port and not port.isdecimal()) or int(port or 0) > 65_535 or not text.strip():
        raise InputError(f"'{text}' is no address to listen at", remedy="Write it as 127.0.0.1:4318")
    return host.strip("[]") or "127.0.0.1", int(port or DEFAULT_PORT)


def is_local(host: str) -> bool:
    """Whether only this machine reaches what listens at this address."""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host.lower() == "localhost"


class OtlpServer:
    """Receives exports into `journal` from a thread of its own, between `start` and `stop`."""

    def __init__(self, journal: Journal, host: str, port: int, *, most_waiting: int = JOURNAL_BYTES) -> None:
        """Raises InputError where the address is taken or is none of this machine's."""
        import uvicorn

        self.journal = journal
        self.counts = Counts()
        self.traces = OpenTraces()
        journal.replay(self._replay)
        self._most_waiting = most_waiting
        self._waiting = (0.0, 0)  # when the journal's size was looked at, and what it was
        self._in_memory = 0
        self._local = is_local(host)
        self._token = os.environ.get(TOKEN) or None
        self._reader = ThreadPoolExecutor(1, thread_name_prefix="hindcast-otlp")  # one body in memory twice, not many
        try:
            family, *_, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
            self._socket = socket.create_server(address[:2], family=family, backlog=1024)
        except (OSError, OverflowError) as error:
            raise InputError(
                f"cannot listen at {host}:{port}: {getattr(error, 'strerror', None) or error}",
                remedy="Choose another address: --listen 127.0.0.1:4319",
            ) from error
        self.host, self.port = self._socket.getsockname()[:2]
        self._server = uvicorn.Server(
            uvicorn.Config(
                self._application, interface="asgi3", proxy_headers=False, lifespan="off", log_level="critical",
                access_log=False, server_header=False, limit_concurrency=CONNECTIONS, timeout_keep_alive=60,
                timeout_graceful_shutdown=5,
            )
        )  # fmt: skip
        self._thread = threading.Thread(target=self._run, name="hindcast-listen", daemon=True)

    def start(self) -> None:
        """Answer from now on."""
        self._thread.start()

    def stop(self) -> None:
        """Take no more requests, and wait until those begun are answered."""
        self._server.should_exit = True
        self._thread.join()
        self._socket.close()
        self._reader.shutdown()

    def started(self) -> bool:
        """Whether it answers already."""
        return self._server.started

    def alive(self) -> bool:
        """Whether the server's thread still runs."""
        return self._thread.is_alive()

    def _run(self) -> None:
        self._server.run(sockets=[self._socket])

    def _replay(self, line: dict[str, Any]) -> None:
        """Know again the spans of a line that was written before this process started."""
        if "resourceSpans" in line:
            with suppress(*READER_ERRORS):
                take_document("traces", line, Export(), self.traces)

    # -- requests --------------------------------------------------------------------------------------------------

    async def _application(self, scope: dict[str, Any], receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            return
        signal = _PATHS.get(scope["path"].rstrip("/"), "other")
        headers = {name.decode("latin-1").lower(): value.decode("latin-1") for name, value in scope["headers"]}
        plain = not headers.get("content-type", "").startswith("application/x-protobuf")
        try:
            answer = await self._answer(signal, scope, headers, receive)
            status, body, extra = 200, _encode(answer) if plain else _protobuf_answer(answer), []
        except RefusedError as refused:
            status = refused.status
            body = _status_body(refused.message, plain=plain)
            wait = refused.retry_after_s
            extra = [(b"retry-after", str(wait).encode())] if wait is not None else []
            extra += [(b"allow", b"POST")] if status == 405 else []
        self.counts.requests[signal, status] += 1
        kind = b"application/json" if plain else b"application/x-protobuf"
        length = (b"content-length", str(len(body)).encode())
        if status >= 400:
            extra.append((b"connection", b"close"))  # of the body something may be unread
        await send(
            {"type": "http.response.start", "status": status, "headers": [(b"content-type", kind), length, *extra]}
        )
        await send({"type": "http.response.body", "body": body})

    async def _answer(
        self, signal: str, scope: dict[str, Any], headers: dict[str, str], receive: Receive
    ) -> dict[str, Any]:
        self._check_sender(headers)
        if signal == "other":
            raise RefusedError(404, "nothing is received here: send to /v1/logs or /v1/traces")
        if scope["method"] != "POST":
            raise RefusedError(405, "exports are sent with POST")
        encoding = headers.get("content-encoding", "").strip().lower()
        held = 0
        try:
            if self._journal_is_full():
                raise RefusedError(503, "what was received before has not been taken over yet: send again later", 30)
            body = await self._body(headers, receive)
            held = len(body)
            if signal == "metrics":
                return {"partialSuccess": {"errorMessage": _NO_METRICS}}
            export = await asyncio.get_running_loop().run_in_executor(
                self._reader, self._read, signal, headers.get("content-type", ""), encoding, body
            )
            lines = b"".join(line + b"\n" for line in export.lines)
            self._hold(len(lines))
            held += len(lines)
            if lines:
                try:
                    await asyncio.wrap_future(self.journal.append(lines))
                except OSError as error:
                    why = error.strerror or "it cannot be written"
                    raise RefusedError(503, f"not kept, the journal's disk says: {why}", 30) from None
            self.counts.kept[signal] += export.kept
            self.counts.left_out[signal] += export.left_out
            return {}
        finally:
            self._in_memory -= held

    def _read(self, signal: str, content_type: str, encoding: str, body: bytes) -> Export:
        return read_export(signal, content_type, inflated(body, encoding), self.traces)

    def _check_sender(self, headers: dict[str, str]) -> None:
        """Refuse pages of a browser, whose owner does not know that they send, and senders without the token."""
        if "origin" in headers:
            raise RefusedError(403, "not from a page of a browser")
        host = headers.get("host", "").lower()
        name = host.rpartition(":")[0] if ":" in host and not host.endswith("]") else host
        if self._local and name.strip("[]") not in _LOCAL_NAMES:
            raise RefusedError(403, "this server does not go by that name")
        if self._token is not None:
            given = headers.get("authorization", "").encode()
            if not hmac.compare_digest(given, f"Bearer {self._token}".encode()):
                raise RefusedError(401, f"the header Authorization does not bring the token of {TOKEN}")

    def _journal_is_full(self) -> bool:
        now = time.monotonic()
        if now - self._waiting[0] > 1.0:
            self._waiting = now, self.journal.waiting_bytes()
        return self._waiting[1] > self._most_waiting

    def _hold(self, size: int) -> None:
        if self._in_memory + size > IN_MEMORY_BYTES:
            raise RefusedError(429, "too much is being received at once: send again later", 1)
        self._in_memory += size

    async def _body(self, headers: dict[str, str], receive: Receive) -> bytes:
        """The whole body, whose bytes count as held in memory when it returns."""
        told = headers.get("content-length", "")
        if told.isdecimal() and int(told) > MOST_BYTES:
            raise RefusedError(413, f"more than {MOST_BYTES >> 20} MiB: send smaller batches")
        found: list[bytes] = []
        size = 0
        try:
            async with asyncio.timeout(BODY_SECONDS):
                more = True
                while more:
                    message = await receive()
                    if message["type"] == "http.disconnect":
                        raise RefusedError(400, "the sender left before its body had come")
                    block = message.get("body", b"")
                    if size + len(block) > MOST_BYTES:
                        raise RefusedError(413, f"more than {MOST_BYTES >> 20} MiB: send smaller batches")
                    self._hold(len(block))
                    size += len(block)
                    found.append(block)
                    more = message.get("more_body", False)
        except BaseException as error:  # also where the request is cancelled
            self._in_memory -= size
            if isinstance(error, TimeoutError):
                raise RefusedError(503, f"the body did not come within {BODY_SECONDS:.0f} s", 1) from None
            raise
        return b"".join(found)


def _varint(number: int) -> bytes:
    found = bytearray()
    while number > 0x7F:
        found.append(number & 0x7F | 0x80)
        number >>= 7
    found.append(number)
    return bytes(found)


def _text_field(number: int, value: bytes) -> bytes:
    return bytes([number << 3 | 2]) + _varint(len(value)) + value


def _protobuf_answer(answer: dict[str, Any]) -> bytes:
    """An Export*ServiceResponse: its partial success (field 1) with the message (field 2), or nothing."""
    message = answer.get("partialSuccess", {}).get("errorMessage")
    return _text_field(1, _text_field(2, message.encode())) if message else b""


def _status_body(message: str, *, plain: bool) -> bytes:
    """A google.rpc.Status with the message (field 2)."""
    return _encode({"message": message}) if plain else _text_field(2, message.encode())


def receive_into(journal: Journal, address: str) -> OtlpServer:
    """A server at `HOST:PORT` that has started. Raises InputError, StoreError."""
    server = OtlpServer(journal, *address_of(address))
    server.start()
    deadline = time.monotonic() + 10
    while not server.started():
        if not server.alive() or time.monotonic() > deadline:
            raise StoreError("the server of --listen did not start")
        time.sleep(0.01)
    return server
