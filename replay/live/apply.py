"""`apply(client, "strategy.yaml")`: the strategy that was replayed decides about the real calls of an SDK's client.

Works where the SDK sends its HTTP requests, so sync and async clients, streams, raw responses and every endpoint go
the same way. Whatever fails inside is counted and the plain call goes out: nothing is raised into the caller.
"""

from __future__ import annotations

import asyncio
import functools
import inspect
import logging
import os
import threading
import time
from collections import Counter
from pathlib import Path
from typing import Any, Final

from ingest.capture import record
from ingest.capture.clients import http_clients
from ingest.capture.http_call import is_call
from ingest.errors import HindcastError, InputError
from replay.live import supported
from replay.live.answer_tiers import AnswerTier, MemoryTier, RedisTier
from replay.live.conduct import Conductor, Force
from replay.live.decision import Decider
from replay.live.lookup import Lookups
from replay.live.sent_calls import CallLog
from replay.live.steps import run, run_async
from replay.strategy.schema import Strategy, load

SWITCH: Final = "HINDCAST_APPLY"
RELOAD_S: Final = 1.0  # how often the file is looked at
_logger = logging.getLogger("hindcast.apply")


def apply(
    client: Any,
    strategy: str | Path | Strategy,
    *,
    log: str | Path = "calls.jsonl",
    redis: Any = None,
    prefix: str = "hindcast:",
    text: bool = True,
    include_usage: bool | None = None,
) -> Any:
    """Carry out a strategy on the calls of an SDK's client, log them to `log`, and return the client.

    `redis` is the address or a client of the shared tier (extra `live`), `prefix` begins its keys. `text` and
    `include_usage` are those of `record`. `client.hindcast` counts what happened and can `forget` answers. The
    environment variable HINDCAST_APPLY=off sends every call as it is.

    Raises StrategyError for a file with parts that cannot be carried out live, InputError for a shared tier without
    Redis, TypeError for what is no client of a known SDK or is recorded already.
    """
    if any(getattr(http.send, "_hindcast", False) for http in http_clients(client)):
        raise TypeError("apply() logs the calls itself: give it a client without record()")
    applied = Applied(strategy, log=log, redis=redis, prefix=prefix, text=text)
    record(client, applied.log, include_usage=include_usage)
    azure = "azure.ai.openai" if "Azure" in type(client).__name__ else None
    conductor = Conductor(applied.log, applied.count, azure)
    for http in http_clients(client):
        http.send = _sending(http.send, applied, conductor)
    client.hindcast = applied
    return client


class Applied:
    """A strategy in force. `counts` says what became of the calls; it is safe to read from any thread."""

    def __init__(
        self, strategy: str | Path | Strategy, *, log: str | Path, redis: Any, prefix: str, text: bool
    ) -> None:
        self.counts: Counter[str] = Counter()
        self.log = CallLog(log, text=text, count=self.count)
        self._redis, self._prefix = redis, prefix
        self._lock = threading.Lock()
        self._path = None if isinstance(strategy, Strategy) else Path(strategy)
        self._seen = self._stamp()
        self._looked = time.monotonic()
        self._force: Force | None = None
        self._force = self._forced(strategy if isinstance(strategy, Strategy) else load(strategy))

    @property
    def strategy(self) -> Strategy:
        """The strategy in force."""
        return self.in_force.strategy

    @property
    def in_force(self) -> Force:
        """The strategy with what was made of it when it was last loaded."""
        assert self._force is not None
        return self._force

    def forget(self, key: bytes | None = None) -> None:
        """Delete an answer, or all of them, from every tier."""
        self.in_force.lookups.forget(key)

    def force(self) -> Force:
        """The strategy to carry out now; a file that changed is taken over first."""
        self._reload()
        return self.in_force

    def _forced(self, strategy: Strategy) -> Force:
        held = self._force
        if held is not None and _without_share(strategy) == _without_share(held.strategy):  # a step of a ramp
            return Force(strategy, held.decider.under(strategy), held.lookups)
        supported.check(strategy, *(() if self._path is None else (self._path.read_text("utf-8"), str(self._path))))
        tiers: list[AnswerTier] = []
        for spec in strategy.cache.tiers if strategy.cache else ():
            if spec.scope == "process":
                tiers.append(MemoryTier(spec))
            else:
                tiers.append(RedisTier(spec, self._connected(spec.name), self._prefix, self._redis_failed))
        coalesce = strategy.cache is not None and strategy.cache.in_flight == "coalesced"
        return Force(strategy, Decider(strategy), Lookups(tiers, coalesce=coalesce))

    def _connected(self, name: str) -> Any:
        if self._redis is None:
            raise InputError(
                f"cache tier {name} is shared by processes and needs Redis",
                remedy='Name it: apply(client, strategy, redis="redis://localhost:6379/0")',
            )
        if isinstance(self._redis, str):
            from replay.live.redis_client import connect

            self._redis = connect(self._redis)
        return self._redis

    def _redis_failed(self, why: str) -> None:
        self.count(f"redis: {why}")

    def count(self, what: str) -> None:
        """Add one to a counter of `/metrics`, safe between threads."""
        with self._lock:
            self.counts[what] += 1

    def _stamp(self) -> tuple[int, int] | None:
        try:
            stat = self._path.stat() if self._path else None
        except OSError:
            return None
        return None if stat is None else (stat.st_mtime_ns, stat.st_size)

    def _reload(self) -> None:
        """Take over a file that changed; one that cannot be used changes nothing and is counted."""
        now = time.monotonic()
        if self._path is None or now - self._looked < RELOAD_S:
            return
        with self._lock:
            if now - self._looked < RELOAD_S:
                return
            self._looked = now
        stamp = self._stamp()
        if stamp is None or stamp == self._seen:
            return
        self._seen = stamp
        try:
            self._force = self._forced(load(self._path))
            self.count("strategy reloaded")
        except (HindcastError, OSError, ValueError) as error:
            self.count("strategy not reloaded")
            _logger.warning("%s: the strategy in force stays: %s", self._path, error)


def _without_share(strategy: Strategy) -> Strategy:
    return strategy.model_copy(update={"rollout": None})


def _sending(send: Any, applied: Applied, conductor: Conductor) -> Any:
    """`send` of an HTTP client, under a strategy."""

    def force(request: Any) -> Force | None:
        """The strategy to carry out; None for what is sent as it is."""
        if os.environ.get(SWITCH, "").lower() in ("off", "0", "false"):
            return None
        if not is_call(request.method, request.url.path):
            return None
        try:
            return applied.force()
        except Exception as error:  # never into the caller's program
            applied.count(f"fell open: {type(error).__name__}")
            return None

    if inspect.iscoroutinefunction(inspect.unwrap(send)):

        @functools.wraps(send)
        async def send_async(request: Any, *args: Any, **kwargs: Any) -> Any:
            strategy = force(request)
            if strategy is None:
                return await send(request, *args, **kwargs)
            steps = conductor.conduct(strategy, request, asyncio.current_task())
            return await run_async(steps, send, args, kwargs)

        send_async._hindcast = True  # type: ignore[attr-defined]
        return send_async

    @functools.wraps(send)
    def send_sync(request: Any, *args: Any, **kwargs: Any) -> Any:
        strategy = force(request)
        if strategy is None:
            return send(request, *args, **kwargs)
        return run(conductor.conduct(strategy, request, threading.get_ident()), send, args, kwargs)

    send_sync._hindcast = True  # type: ignore[attr-defined]
    return send_sync
