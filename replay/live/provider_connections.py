"""Connections to the provider for thousands of calls at the same time.

A pool of httpx looks at all of its connections for each call (httpcore 2, `_assign_requests_to_connections`, read
2026-11), so that ten thousand streams in one would take seconds to begin: they are spread over pools of a few each.
"""

from __future__ import annotations

import contextlib
import urllib.request
from collections.abc import AsyncIterator
from typing import Any, Final

IN_A_POOL: Final = 64
CONNECT_SECONDS: Final = 10.0


def client(idle_seconds: float) -> Any:
    """An AsyncClient without a limit of connections; an answer may be silent for `idle_seconds` between two bytes."""
    import httpx2

    options: dict[str, Any] = {
        "timeout": httpx2.Timeout(idle_seconds, connect=CONNECT_SECONDS), "follow_redirects": False,
    }  # fmt: skip
    unlimited = httpx2.Limits(max_connections=None, max_keepalive_connections=IN_A_POOL)
    if urllib.request.getproxies():  # httpx chooses among the environment's proxies by itself
        return httpx2.AsyncClient(limits=unlimited, **options)
    context = httpx2.create_ssl_context()

    class Counted(httpx2.AsyncByteStream):
        """A body that gives its place in the pool back when it is closed."""

        def __init__(self, body: Any, pool: Pool) -> None:
            self._body, self._pool = body, pool

        async def __aiter__(self) -> AsyncIterator[bytes]:
            async for data in self._body:
                yield data

        async def aclose(self) -> None:
            self._pool.leave(self)
            await self._body.aclose()

    class Pool:
        def __init__(self) -> None:
            self.transport = httpx2.AsyncHTTPTransport(verify=context, limits=unlimited)
            self.busy: set[object] = set()

        def leave(self, one: object) -> None:
            self.busy.discard(one)

    class Pools(httpx2.AsyncBaseTransport):
        def __init__(self) -> None:
            self._pools: list[Pool] = []

        async def handle_async_request(self, request: Any) -> Any:
            pool = next((one for one in self._pools if len(one.busy) < IN_A_POOL), None)
            if pool is None:
                pool = Pool()
                self._pools.append(pool)
            pool.busy.add(request)
            try:
                response = await pool.transport.handle_async_request(request)
                response.stream = Counted(response.stream, pool)
                pool.busy.add(response.stream)
                return response
            finally:
                pool.leave(request)

        async def aclose(self) -> None:
            for pool in self._pools:
                with contextlib.suppress(Exception):
                    await pool.transport.aclose()

    return httpx2.AsyncClient(transport=Pools(), **options)
