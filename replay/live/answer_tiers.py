"""Caches of whole answers for live calls: a process's own memory, and Redis.

The rules are those of `replay.response_cache.simulate`: an answer is there up to and including the very millisecond at
which its life ends, a hit in a lower tier fills the tiers above it for what remains, and a sliding life is renewed.
"""

from __future__ import annotations

import hashlib
import heapq
import threading
import time
import uuid
import zlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple, Protocol

import msgspec

from replay.strategy.cache_schema import CacheTier

MOST_BYTES = 8 << 20  # a larger answer is not kept
REDIS_TIMEOUT_S = 0.05
REDIS_REST_S = 1.0  # after a failure Redis is not asked for so long
FLIGHT_S = 60.0  # a call in flight is waited for so long, and then its equals are sent too
_SWEEP = 10_000
_GRACE_MS = 1000  # Redis deletes an entry so long after its life, which the entry itself tells to the millisecond
_MAGIC = b"hc2"
_FLIGHT = b":flight"


class Answer(NamedTuple):
    """What a provider sent, of which type and by which model; when its call started (microseconds since 1970 UTC)
    and ended (milliseconds)."""

    body: bytes
    content_type: str
    model: str
    started_us: int = 0
    ended_ms: int = 0


class Found(NamedTuple):
    answer: Answer
    left_ms: int | None  # of its life; None: no end


class AnswerTier(Protocol):
    """A cache. No method raises for the state of the cache.

    `now_us` is the time that the log gives the call, in microseconds: its start for a look-up, its end for an answer.
    Lives are counted in whole milliseconds of it.
    """

    spec: CacheTier

    def get(self, key: bytes, now_us: int) -> Found | None: ...

    def put(self, key: bytes, answer: Answer, ttl_ms: int | None, now_us: int) -> None: ...

    def forget(self, key: bytes | None) -> None: ...


@dataclass(slots=True)
class _Held:
    answer: Answer
    until_ms: int | None
    used_us: int  # when it was last used, or put in where the policy is FIFO


class MemoryTier:
    """The memory of this process: LRU or FIFO, with `max_entries`.

    What goes first is told by the times of the calls, not by the order in which their threads came here: with calls in
    flight together these differ, and the log has the times alone.
    """

    def __init__(self, spec: CacheTier) -> None:
        self.spec = spec
        self._held: dict[bytes, _Held] = {}
        self._oldest: list[tuple[int, bytes]] = []  # heap of (used_us, key); all but the newest pair of a key are stale
        self._lru = spec.policy == "lru"
        self._sweep_at = _SWEEP  # entries at which those that are over are deleted, where no limit does
        self._lock = threading.Lock()

    def __len__(self) -> int:
        return len(self._held)

    def get(self, key: bytes, now_us: int) -> Found | None:
        now_ms = now_us // 1000
        with self._lock:
            held = self._held.get(key)
            if held is None:
                return None
            if held.until_ms is not None and now_ms > held.until_ms:
                del self._held[key]
                return None
            if self.spec.sliding and self.spec.ttl_ms is not None:
                held.until_ms = now_ms + self.spec.ttl_ms
            if self._lru:
                self._use(key, held, now_us)
        return Found(held.answer, None if held.until_ms is None else held.until_ms - now_ms)

    def put(self, key: bytes, answer: Answer, ttl_ms: int | None, now_us: int) -> None:
        until = None if ttl_ms is None else now_us // 1000 + ttl_ms
        with self._lock:
            held = self._held.get(key)
            if held is None:
                if len(self._held) >= self._sweep_at and self.spec.max_entries is None:
                    self._sweep(now_us // 1000)
                held = self._held[key] = _Held(answer, until, 0)
                self._use(key, held, now_us)
            else:
                held.answer, held.until_ms = answer, until
                if self._lru:
                    self._use(key, held, now_us)
            while self.spec.max_entries is not None and len(self._held) > self.spec.max_entries:
                used, oldest = heapq.heappop(self._oldest)
                if oldest in self._held and self._held[oldest].used_us == used:
                    del self._held[oldest]

    def _sweep(self, now_ms: int) -> None:
        kept = {key: held for key, held in self._held.items() if held.until_ms is None or held.until_ms >= now_ms}
        self._held = kept
        self._sweep_at = max(2 * len(kept), _SWEEP)

    def _use(self, key: bytes, held: _Held, now_us: int) -> None:
        if self.spec.max_entries is None or now_us <= held.used_us:
            return
        held.used_us = now_us
        heapq.heappush(self._oldest, (now_us, key))
        if len(self._oldest) > 4 * self.spec.max_entries + 64:
            self._oldest = [(one.used_us, name) for name, one in self._held.items()]
            heapq.heapify(self._oldest)

    def forget(self, key: bytes | None) -> None:
        with self._lock:
            if key is None:
                self._held.clear()
                self._oldest.clear()
            else:
                self._held.pop(key, None)


class RedisTier:
    """A Redis server that processes share. What is slow, gone or not ours counts as a miss, and is counted.

    `redis` is a client of the `redis` package with a short timeout. Keys begin with `prefix`. A value carries the key
    and a digest, so that a foreign or broken entry is never served.
    """

    def __init__(self, spec: CacheTier, redis: Any, prefix: str, failed: Callable[[str], None]) -> None:
        self.spec = spec
        self._redis = redis
        self._prefix = prefix.encode()
        self._failed = failed
        self._rests_until = 0.0
        self._owner = uuid.uuid4().hex  # of the flights that this process leads

    def get(self, key: bytes, now_us: int) -> Found | None:
        name = self._name(key)
        renewed = self.spec.ttl_ms if self.spec.sliding else None

        def ask() -> tuple[Any, Any]:
            if renewed is None:
                return self._redis.get(name), None
            with self._redis.pipeline(transaction=False) as pipe:
                pipe.getex(name, px=renewed)
                pipe.pttl(name)
                value, left = pipe.execute()
            return value, left

        found = self._asked(ask)
        return None if not found or found[0] is None else self._read(key, found[0], found[1], now_us)

    def put(self, key: bytes, answer: Answer, ttl_ms: int | None, now_us: int) -> None:
        now_ms = now_us // 1000
        until = None if ttl_ms is None or self.spec.sliding else now_ms + ttl_ms
        left = None if ttl_ms is None else ttl_ms - max(_now_ms() - now_ms, 0)
        if left is None or left > 0:
            if left is not None and until is not None:
                left += _GRACE_MS
            value = _closed(key, answer, until)
            self._asked(lambda: self._redis.set(self._name(key), value, px=left))

    def lead(self, key: bytes, started_us: int) -> tuple[int | None, Found | None]:
        """Announce a call that will bring the answer, where no other process has.

        Returns (None, None) for the leader, also where Redis does not answer; else when the leader's call started and,
        where it came in the meantime, the answer.
        """
        name = self._name(key)

        def ask() -> Any:
            with self._redis.pipeline(transaction=True) as pipe:
                mark = b"%d:%b" % (started_us, self._owner.encode())
                pipe.set(name + _FLIGHT, mark, nx=True, px=int(FLIGHT_S * 1000))
                pipe.get(name + _FLIGHT)
                pipe.get(name)
                return pipe.execute()

        told = self._asked(ask)
        if told is None:
            return None, None
        led, mark, value = told
        found = None if value is None else self._read(key, value, None, started_us)
        if found is not None:
            if led:
                self.land(key)
            return found.answer.started_us, found
        return (None, None) if led else (_started(mark), None)

    def joined(self, key: bytes, now_us: int) -> tuple[bool, Found | None]:
        """(whether another process's call is still in flight, the answer once it is there)."""
        name = self._name(key)
        told = self._asked(lambda: self._redis.mget(name, name + _FLIGHT))
        if told is None:
            return False, None
        found = None if told[0] is None else self._read(key, told[0], None, now_us)
        return told[1] is not None, found

    def land(self, key: bytes) -> None:
        """The call that `lead` announced has ended."""
        self._asked(lambda: self._redis.delete(self._name(key) + _FLIGHT))

    def forget(self, key: bytes | None) -> None:
        if key is not None:
            self._asked(lambda: self._redis.delete(self._name(key)))
            return

        def every() -> None:
            names = list(self._redis.scan_iter(match=self._prefix + b"*", count=1000))
            for start in range(0, len(names), 1000):
                self._redis.delete(*names[start : start + 1000])

        self._asked(every)

    def _name(self, key: bytes) -> bytes:
        return self._prefix + key.hex().encode()

    def _read(self, key: bytes, value: Any, left: Any, now_us: int) -> Found | None:
        """An entry that this program wrote for this key and that has not outlived its time."""
        opened = _opened(key, value)
        if opened is None:
            self._failed("a foreign or broken entry")
            return None
        answer, until = opened
        now_ms = now_us // 1000
        if until is not None:
            return Found(answer, until - now_ms) if now_ms <= until else None
        remains = int(left) if left is not None and left >= 0 else None
        return Found(answer, None if remains is None else remains + max(_now_ms() - now_ms, 0))

    def _asked(self, question: Callable[[], Any]) -> Any:
        if time.monotonic() < self._rests_until:
            return None
        try:
            return question()
        except Exception as error:  # of the network, of the server, of its memory: never of the caller
            self._rests_until = time.monotonic() + REDIS_REST_S
            self._failed(type(error).__name__)
            return None


def look_up(tiers: Sequence[AnswerTier], key: bytes, now_us: int) -> tuple[int, Found] | None:
    """(the first tier that has the answer, it), after the tiers above have been filled."""
    for place, tier in enumerate(tiers):
        found = tier.get(key, now_us)
        if found is None:
            continue
        fill(tiers[:place], key, found, now_us)
        return place, found
    return None


def fill(tiers: Sequence[AnswerTier], key: bytes, found: Found, now_us: int) -> None:
    """Put what a lower tier had into the tiers above it that take it, for what remains of its life."""
    for upper in tiers:
        if upper.spec.fill_on_lower_hit:
            lives = [life for life in (upper.spec.ttl_ms, found.left_ms) if life is not None]
            if not lives or min(lives) > 0:
                upper.put(key, found.answer, min(lives, default=None), now_us)


def _now_ms() -> int:
    return int(time.time() * 1000)


def _started(mark: Any) -> int:
    """When the call of a flight's mark started; 0 for a mark that says nothing."""
    head = mark.partition(b":")[0] if isinstance(mark, bytes) else b""
    return int(head) if head.isdigit() and len(head) < 20 else 0


def _closed(key: bytes, answer: Answer, until_ms: int | None) -> bytes:
    packed = zlib.compress(msgspec.msgpack.encode((key, until_ms, *answer)), 1)
    return _MAGIC + hashlib.sha256(packed).digest()[:16] + packed


def _opened(key: bytes, value: Any) -> tuple[Answer, int | None] | None:
    """(the answer of an entry, until when it lives); None where it is not one that this program wrote for this key."""
    if not isinstance(value, bytes) or value[:3] != _MAGIC or len(value) > MOST_BYTES:
        return None
    packed = value[19:]
    if hashlib.sha256(packed).digest()[:16] != value[3:19]:
        return None
    try:
        unpacked = zlib.decompressobj().decompress(packed, 2 * MOST_BYTES)
        held, until, body, kind, model, started_us, ended_ms = msgspec.msgpack.decode(
            unpacked, type=tuple[bytes, int | None, bytes, str, str, int, int]
        )
    except (zlib.error, msgspec.MsgspecError):
        return None
    return (Answer(body, kind, model, started_us, ended_ms), until) if held == key else None
