"""`apply(client, "strategy.yaml")`: the strategy that was replayed decides about the real calls of an SDK's client.

Works where the SDK sends its HTTP requests, so sync and async clients, streams, raw responses and every endpoint go
the same way. Whatever fails inside is counted and the plain call goes out: nothing is raised into the caller.
"""

from __future__ import annotations

import asyncio
import functools
import hashlib
import inspect
import logging
import os
import sys
import threading
import time
import uuid
from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import msgspec

from ingest.capture import context, record
from ingest.capture.call_context import current
from ingest.capture.clients import hides_usage, http_clients, provider_of
from ingest.capture.http_call import Shown, is_call
from ingest.capture.log_file import Log
from ingest.capture.log_line import Captured, answer_of, is_whole, make
from ingest.contents.messages import asks_for_tools
from ingest.errors import HindcastError, InputError
from ingest.records.call import INCOMPLETE, PENDING, Call
from ingest.wire.request_response import apply_bodies, dialect_of
from replay.live import supported
from replay.live.answer_tiers import MOST_BYTES, Answer, AnswerTier, MemoryTier, RedisTier, look_up
from replay.live.decision import Decider, Decision
from replay.live.live_request import LiveRequest, read
from replay.strategy.schema import Strategy, load

SWITCH: Final = "HINDCAST_APPLY"
RELOAD_S: Final = 1.0  # how often the file is looked at
_logger = logging.getLogger("hindcast.apply")


@dataclass
class Plan:
    """What was decided about one request, until its answer is there."""

    request: Any  # as it is sent
    seen: LiveRequest
    decision: Decision
    key: bytes | None  # under which the answer is kept; None: it is not
    fields: dict[str, Any]  # for the log
    served: Answer | None = None
    tier: str | None = None


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
    for http in http_clients(client):
        http.send = _sending(http.send, applied, azure)
    client.hindcast = applied
    return client


class Applied:
    """A strategy in force. `counts` says what became of the calls; it is safe to read from any thread."""

    def __init__(
        self, strategy: str | Path | Strategy, *, log: str | Path, redis: Any, prefix: str, text: bool
    ) -> None:
        self.counts: Counter[str] = Counter()
        self.log = _Log(log, text=text, keep=self._keep)
        self._redis, self._prefix = redis, prefix
        self._lock = threading.Lock()
        self._path = None if isinstance(strategy, Strategy) else Path(strategy)
        self._seen = self._stamp()
        self._looked = time.monotonic()
        self._use(strategy if isinstance(strategy, Strategy) else load(strategy))

    def forget(self, key: bytes | None = None) -> None:
        """Delete an answer, or all of them, from every tier."""
        for tier in self.tiers:
            tier.forget(key)

    def _use(self, strategy: Strategy) -> None:
        supported.check(strategy)
        tiers: list[AnswerTier] = []
        for spec in strategy.cache.tiers if strategy.cache else ():
            if spec.scope == "process":
                tiers.append(MemoryTier(spec))
            else:
                tiers.append(RedisTier(spec, self._connected(spec.name), self._prefix, self._redis_failed))
        self.strategy, self.decider, self.tiers = strategy, Decider(strategy), tiers

    @property
    def waits(self) -> bool:
        """Whether a decision may wait for the network."""
        return any(isinstance(tier, RedisTier) for tier in self.tiers)

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
            self._use(load(self._path))
            self.count("strategy reloaded")
        except HindcastError as error:
            self.count("strategy not reloaded")
            _logger.warning("%s: the strategy in force stays: %s", self._path, error)

    # -- one call ------------------------------------------------------------------------------------------------------

    def plan(self, request: Any, azure: str | None) -> Plan | None:
        """What becomes of a request; None where it is sent as it is."""
        if os.environ.get(SWITCH, "").lower() in ("off", "0", "false"):
            return None
        if not is_call(request.method, request.url.path):
            return None
        try:
            self._reload()
            return self._planned(request, azure)
        except Exception as error:  # never into the caller's program
            self.count(f"fell open: {type(error).__name__}")
            return None

    def _planned(self, request: Any, azure: str | None) -> Plan | None:
        started, clock = time.time(), time.perf_counter()
        body = msgspec.json.decode(request.content)
        if not isinstance(body, dict) or not isinstance(body.get("model"), str):
            self.count("not decided: the body names no model")
            return None
        host = request.url.netloc.decode("ascii", "replace")
        provider = azure or provider_of(request.url.host, host)
        retries = request.headers.get("x-stainless-retry-count")
        names = dict(current())
        if retries and retries.isdecimal() and int(retries):
            names["attempt"] = int(retries) + 1
        seen = read(body, request.url.path, provider, names)
        decider, tiers = self.decider, self.tiers
        decision = decider.decide(seen)
        if decision.stays:
            self.count(f"stays: {decision.stays}")
        fields: dict[str, Any] = {"rollout": self.strategy.name}
        if decision.arm:
            fields |= {"arm": decision.arm, "propensity": decision.propensity, "assignment": "random"}
        key = None
        if tiers and decision.arm != "control" and decider.cacheable(seen):
            key = _key(seen, self.strategy, decision.model, request, host)
        plan = Plan(request, seen, decision, key, fields)
        found = look_up(tiers, key, int(started * 1000)) if key is not None else None
        if found is not None:
            plan.tier, plan.served = tiers[found[0]].spec.name, found[1]
            self.count(f"hit: {plan.tier}")
            self._log_hit(plan, provider, started, clock)
            return plan
        if key is not None:
            self.count("miss")
        self.count("moved" if decision.model != seen.model else "as asked")
        if decision.model != seen.model:
            plan.request = _with_model(request, body, decision.model)
        self.log.plans[id(plan.request.content)] = plan
        return plan

    def answer(self, plan: Plan, request: Any) -> Any:
        """The HTTP response of a cached answer, of the library that sends the requests."""
        assert plan.served is not None
        library = sys.modules[type(request).__module__.partition(".")[0]]
        body = plan.served.body
        if hides_usage():
            shown = Shown(True)
            body = shown.add(body) + shown.rest()
        headers = {"content-type": plan.served.content_type, "x-hindcast-cache": "hit"}
        return library.Response(200, headers=headers, content=body, request=request)

    def _log_hit(self, plan: Plan, provider: str, started: float, clock: float) -> None:
        assert plan.served is not None
        request = plan.request
        captured = Captured(
            provider, {**current(), **plan.fields}, request.url.path, request.content, started,
            (time.perf_counter() - clock) * 1000, None, 200, [plan.served.body], None, None,
        )  # fmt: skip
        self.log.put(_hit_line, captured, self.log.text, plan.tier)

    def _keep(self, plan: Plan, captured: Captured) -> None:
        """Keep an answer that may be served again: whole, not cut off, and asking for no tool."""
        if plan.key is None or captured.status != 200:
            return
        raw = b"".join(captured.got)
        stopped = captured.error is not None and not (isinstance(captured.error, GeneratorExit) and is_whole(raw))
        if stopped or len(raw) > MOST_BYTES or not _storable(plan.seen.body, raw):
            self.count("not kept")
            return
        kind = "text/event-stream" if plan.seen.body.get("stream") is True else "application/json"
        answer = Answer(raw, kind, plan.decision.model)
        ended_ms = int(captured.started * 1000) + round(captured.duration_ms)
        for tier in self.tiers:
            tier.put(plan.key, answer, tier.spec.ttl_ms, ended_ms)


class _Log(Log):
    """The log of captured calls, which hands each finished call to its plan first."""

    def __init__(self, path: str | Path, *, text: bool, keep: Any) -> None:
        super().__init__(path, text=text)
        self.plans: dict[int, Plan] = {}  # by the identity of the bytes that were sent
        self._keep = keep

    def put(self, make: Any, *arguments: Any) -> None:
        captured = arguments[0]
        plan = self.plans.pop(id(captured.sent), None)
        if plan is not None:
            try:
                self._keep(plan, captured)
            except Exception as error:
                _logger.warning("an answer was not kept: %s", type(error).__name__)
        super().put(make, *arguments)


def _sending(send: Any, applied: Applied, azure: str | None) -> Any:
    """`send` of an HTTP client, under a strategy."""
    if inspect.iscoroutinefunction(inspect.unwrap(send)):

        @functools.wraps(send)
        async def send_async(request: Any, *args: Any, **kwargs: Any) -> Any:
            if applied.waits:
                plan = await asyncio.to_thread(applied.plan, request, azure)
            else:
                plan = applied.plan(request, azure)
            if plan is None:
                return await send(request, *args, **kwargs)
            if plan.served is not None:
                return applied.answer(plan, request)
            with context(**plan.fields):
                return await send(plan.request, *args, **kwargs)

        send_async._hindcast = True  # type: ignore[attr-defined]
        return send_async

    @functools.wraps(send)
    def send_sync(request: Any, *args: Any, **kwargs: Any) -> Any:
        plan = applied.plan(request, azure)
        if plan is None:
            return send(request, *args, **kwargs)
        if plan.served is not None:
            return applied.answer(plan, request)
        with context(**plan.fields):
            return send(plan.request, *args, **kwargs)

    send_sync._hindcast = True  # type: ignore[attr-defined]
    return send_sync


def _with_model(request: Any, body: dict[str, Any], model: str) -> Any:
    """The request with another model, all else as it was."""
    headers = [(name, value) for name, value in request.headers.raw if name.lower() != b"content-length"]
    content = msgspec.json.encode({**body, "model": model})
    return type(request)(
        request.method, request.url, headers=headers, content=content, extensions=dict(request.extensions)
    )


def _key(seen: LiveRequest, strategy: Strategy, model: str, request: Any, host: str) -> bytes:
    """The cache's key: the request under the file's policy, the model, how it is sent, and whose key pays for it."""
    assert strategy.cache is not None
    headers = request.headers
    credential = headers.get("authorization") or headers.get("x-api-key") or headers.get("api-key") or ""
    parts = (
        seen.key(strategy.cache.key) or b"", model.encode(), b"stream" if seen.body.get("stream") is True else b"",
        request.url.path.encode(), host.encode(), hashlib.sha256(credential.encode()).digest(),
    )  # fmt: skip
    return hashlib.sha256(b"\0".join(hashlib.sha256(part).digest() for part in parts)).digest()


def _storable(sent: dict[str, Any], raw: bytes) -> bool:
    """Whether an answer may be served again: as the replay has it, and never one of an unknown shape."""
    body = answer_of(raw)
    if dialect_of(body) is None:
        return False
    call = Call()
    apply_bodies(call, sent, body)
    if call.status not in (None, "ok") or (call.finish_reason or "stop") in INCOMPLETE:
        return False
    asks = call.pending_tool_calls or call.finish_reason in PENDING
    return not asks and not any(asks_for_tools(one) for one in call.output or () if isinstance(one, dict))


def _hit_line(captured: Captured, text: bool, tier: str | None) -> dict[str, Any]:
    """The line of a call that a cache answered: what it would have used, and that it was not sent."""
    line = make(captured, text)
    line.pop("response_id", None)  # is that of the call whose answer it is
    return line | {"call_id": f"hit-{uuid.uuid4()}", "status": "gateway_cache_hit", "cache_tier": tier}
