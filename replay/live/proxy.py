"""An OpenAI-compatible endpoint that carries out a strategy: for programs in other languages.

What is asked is sent on to the provider with the caller's own credential, which is never kept; answers are handed back
as they come. Context travels in headers: `x-hindcast-agent`, `x-hindcast-task`, `x-hindcast-conversation-id`, ...
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import re
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any, Final

from ingest.capture.call_context import context
from ingest.errors import InputError
from replay.live import provider_connections, sockets
from replay.live.apply import Applied, apply
from replay.live.http_messages import HEADER, names_in_headers

MOST_BYTES: Final = 50 << 20  # of a request's body
MOST_HELD: Final = 1 << 30  # bytes of bodies that are held at the same time; more are asked to come again
MOST_STREAMS: Final = 10_000  # at the same time, or as many as there are descriptors for
BODY_SECONDS: Final = 300.0  # that a caller may take to send a body
UPSTREAM_SECONDS: Final = 600.0  # between two bytes of an answer
_LOCAL: Final = ("localhost", "127.0.0.1", "[::1]", "::1")
# of one connection alone (RFC 9110, section 7.6.1), or set anew
_NOT_SENT_ON: Final = frozenset({
    "connection", "keep-alive", "proxy-authenticate", "proxy-authorization", "te", "trailer", "transfer-encoding",
    "upgrade", "host", "content-length", "accept-encoding", "content-encoding",
})  # fmt: skip
Receive = Callable[[], Awaitable[dict[str, Any]]]
Send = Callable[[dict[str, Any]], Awaitable[None]]


class _RefusedError(Exception):
    """A call that the proxy answers itself."""

    def __init__(self, status: int, text: str) -> None:
        super().__init__(text)
        self.status = status


class Proxy:
    """The ASGI application. `upstream` is the provider's address up to its `/v1`."""

    def __init__(
        self, strategy: str | Path, *, upstream: str, log: str | Path, redis: str | None = None, local: bool = True
    ) -> None:
        """Raises StrategyError and InputError as `apply` does."""
        import httpx2

        self._http = provider_connections.client(UPSTREAM_SECONDS)
        self._errors = httpx2.HTTPError, httpx2.InvalidURL
        self._upstream = upstream.rstrip("/")
        self._local = local
        self._open = 0
        self._held = 0  # bytes
        self._most = sockets.most_streams(MOST_STREAMS)
        self.statuses: Counter[int] = Counter()
        client = apply(SimpleNamespace(_client=self._http, base_url=self._upstream), strategy, log=log, redis=redis)
        self.applied: Applied = client.hindcast

    async def __call__(self, scope: dict[str, Any], receive: Receive, send: Send) -> None:
        """One HTTP request."""
        if scope["type"] == "lifespan":
            await self._lifespan(receive, send)
            return
        if scope["type"] != "http":
            return
        headers = {name.decode("latin-1").lower(): value.decode("latin-1") for name, value in scope["headers"]}
        if self._local and re.sub(r":\d+$", "", headers.get("host", "")).lower() not in _LOCAL:
            await self._say(send, 403, "this proxy answers to the names of this machine alone")
            return
        path = scope["path"]
        if path == "/healthz":
            await self._say(send, 200, "ok", key="status")
        elif path == "/metrics":
            await self._respond(send, 200, self._metrics().encode(), "text/plain; version=0.0.4")
        elif self._open >= self._most:
            await self._say(send, 503, "too many calls at the same time; try again", {"retry-after": "1"})
        else:
            self._open += 1
            try:
                await self._forward(scope, headers, receive, send)
            except _RefusedError as refused:
                again = {"retry-after": "1"} if refused.status == 503 else None
                await self._say(send, refused.status, str(refused), again)
            finally:
                self._open -= 1

    async def _forward(self, scope: dict[str, Any], headers: dict[str, str], receive: Receive, send: Send) -> None:
        body = await self._body(headers, receive)
        if body is None:
            self.applied.count("the caller left before it had asked")
            return
        raw: bytes = scope.get("raw_path") or scope["path"].encode()
        path = raw.decode("latin-1").removeprefix("/v1")
        query = scope["query_string"].decode("latin-1")
        sent = {name: value for name, value in headers.items() if not _own(name)}
        try:
            async with self._while_there(receive):
                try:
                    request = self._http.build_request(
                        scope["method"], f"{self._upstream}{path}{'?' + query if query else ''}", content=body,
                        headers={**sent, "accept-encoding": "identity"},
                    )  # fmt: skip
                    with context(**names_in_headers(headers)):
                        response = await self._http.send(request, stream=True)
                except self._errors as error:
                    raise _RefusedError(502, f"the provider did not answer: {type(error).__name__}") from error
                await self._hand_back(response, send)
        finally:
            self._held -= len(body)

    async def _hand_back(self, response: Any, send: Send) -> None:
        """The answer as it comes."""
        try:
            self.statuses[response.status_code] += 1
            passed = [(name, value) for name, value in response.headers.multi_items() if not _own(name.lower())]
            await send({
                "type": "http.response.start", "status": response.status_code,
                "headers": [(name.encode("latin-1"), value.encode("latin-1")) for name, value in passed],
            })  # fmt: skip
            async for data in response.aiter_bytes():
                await send({"type": "http.response.body", "body": data, "more_body": True})
            await send({"type": "http.response.body", "body": b""})
        except self._errors:  # an answer that broke off ends the connection, so that nobody takes it for whole
            self.applied.count("an answer broke off")
            raise
        finally:
            await response.aclose()

    @contextlib.asynccontextmanager
    async def _while_there(self, receive: Receive) -> AsyncIterator[None]:
        """The block, which ends early where the caller goes away: nobody pays for the rest of an answer."""
        caller = asyncio.current_task()
        assert caller is not None
        gone = False

        async def watch() -> None:
            nonlocal gone
            while (await receive())["type"] != "http.disconnect":
                pass
            gone = True
            caller.cancel()

        watching = asyncio.ensure_future(watch())
        try:
            yield
        except asyncio.CancelledError:
            if not gone:
                raise
            caller.uncancel()
            self.applied.count("the caller left")
        finally:
            watching.cancel()

    async def _body(self, headers: dict[str, str], receive: Receive) -> bytes | None:
        """The request's body, counted as held; None where the caller left.

        Raises _RefusedError for one that is too large, too slow, or one too many.
        """
        told = headers.get("content-length", "")
        parts: list[bytes] = []
        size = int(told) if told.isdecimal() else 0
        if size > MOST_BYTES:
            raise _RefusedError(413, f"a body of more than {MOST_BYTES >> 20} MB")
        size = 0
        try:
            async with asyncio.timeout(BODY_SECONDS):
                while True:
                    message = await receive()
                    part = message.get("body", b"")
                    size += len(part)
                    self._held += len(part)
                    if size > MOST_BYTES:
                        raise _RefusedError(413, f"a body of more than {MOST_BYTES >> 20} MB")
                    if self._held > MOST_HELD:
                        raise _RefusedError(503, "too many large bodies at the same time; try again")
                    parts.append(part)
                    if message["type"] == "http.disconnect":
                        self._held -= size
                        return None
                    if not message.get("more_body"):
                        return b"".join(parts)
        except BaseException as error:
            self._held -= size
            if isinstance(error, TimeoutError):
                raise _RefusedError(408, f"a body that took more than {BODY_SECONDS:.0f} s") from None
            raise

    async def _say(
        self, send: Send, status: int, text: str, headers: dict[str, str] | None = None, key: str = "error"
    ) -> None:
        """An answer of the proxy itself, in the shape of the provider's errors."""
        told: Any = text if key != "error" else {"message": f"hindcast: {text}", "type": "hindcast_proxy"}
        await self._respond(send, status, json.dumps({key: told}).encode(), "application/json", headers)

    async def _respond(
        self, send: Send, status: int, body: bytes, kind: str, headers: dict[str, str] | None = None
    ) -> None:
        self.statuses[status] += 1
        listed = {"content-type": kind, "content-length": str(len(body)), **(headers or {})}
        pairs = [(name.encode(), value.encode()) for name, value in listed.items()]
        await send({"type": "http.response.start", "status": status, "headers": pairs})
        await send({"type": "http.response.body", "body": body})

    def _metrics(self) -> str:
        """Counts in the text format of Prometheus (prometheus.io/docs/instrumenting/exposition_formats, 0.0.4)."""
        lines = ["# HELP hindcast_decisions_total What became of calls.", "# TYPE hindcast_decisions_total counter"]
        lines += [
            f'hindcast_decisions_total{{what="{_escaped(what)}"}} {count}'
            for what, count in sorted(self.applied.counts.items())
        ]
        lines += ["# HELP hindcast_responses_total Answers by status.", "# TYPE hindcast_responses_total counter"]
        lines += [f'hindcast_responses_total{{status="{status}"}} {n}' for status, n in sorted(self.statuses.items())]
        lines += ["# HELP hindcast_open_calls Calls in progress.", "# TYPE hindcast_open_calls gauge",
                  f"hindcast_open_calls {self._open}",
                  "# HELP hindcast_held_bytes Bytes of bodies of calls in progress.",
                  "# TYPE hindcast_held_bytes gauge", f"hindcast_held_bytes {self._held}"]  # fmt: skip
        return "\n".join(lines) + "\n"

    async def _lifespan(self, receive: Receive, send: Send) -> None:
        while True:
            message = await receive()
            if message["type"] == "lifespan.startup":
                await send({"type": "lifespan.startup.complete"})
            else:
                await self._http.aclose()
                await asyncio.to_thread(self.applied.log.close)
                await send({"type": "lifespan.shutdown.complete"})
                return


def run(proxy: Proxy, host: str, port: int, started: Callable[[str], None]) -> None:
    """Serve until the process is told to end. Raises InputError where the address is taken."""
    try:
        import uvicorn
    except ImportError as error:
        raise InputError("the proxy needs the package uvicorn", remedy="pip install 'llm-hindcast[live]'") from error
    try:
        listening = sockets.listening(host, port)
    except (OSError, OverflowError) as error:
        raise InputError(
            f"cannot listen at {host}:{port}: {getattr(error, 'strerror', None) or error}",
            remedy=f"Choose another port: --port {port + 1 if port < 65_535 else 4000}",
        ) from error
    started(f"http://{host}:{listening.getsockname()[1]}/v1")
    config = uvicorn.Config(
        proxy, interface="asgi3", proxy_headers=False, lifespan="on", log_level="critical", access_log=False,
        server_header=False, timeout_graceful_shutdown=10,
    )  # fmt: skip
    uvicorn.Server(config).run(sockets=[listening])


def _own(name: str) -> bool:
    return name in _NOT_SENT_ON or (name.startswith(HEADER) and name != "x-hindcast-cache")


def _escaped(text: str) -> str:
    return text.replace("\\", r"\\").replace('"', r"\"").replace("\n", r"\n")
