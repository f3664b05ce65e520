"""Caches of whole answers for live calls: a process's own memory, and Redis.

The rules are those of `replay.response_cache.simulate`: an answer is there up to and including the very millisecond at
which its life ends, a hit in a lower tier fills the tiers above it for what remains, and a sliding life is renewed.
"""

from __future__ import annotations

import hashlib
import threading
import time
import zlib
from collections import OrderedDict
from collections.abc import Callable
from typing import Any, NamedTuple, Protocol

import msgspec

from replay.strategy.cache_schema import CacheTier

MOST_BYTES = 8 << 20  # a larger answer is not kept
REDIS_TIMEOUT_S = 0.05
REDIS_REST_S = 1.0  # after a failure Redis is not asked for so long
_MAGIC = b"hc1"


class Answer(NamedTuple):
    """What a provider sent: bytes and headers' content type, and the model that wrote it."""

    body: bytes
    content_type: str
    model: str


class Found(NamedTuple):
    answer: Answer
    left_ms: int | None  # of its life; None: no end


class AnswerTier(Protocol):
    """A cache. No method raises for the state of the cache.

    `now_ms` is the time that the log gives the call: its start for a look-up, its end for an answer.
    """

    spec: CacheTier

    def get(self, key: bytes, now_ms: int) -> Found | None: ...

    def put(self, key: bytes, answer: Answer, ttl_ms: int | None, now_ms: int) -> None: ...

    def forget(self, key: bytes | None) -> None: ...


class MemoryTier:
    """The memory of this process: LRU or FIFO, with `max_entries`."""

    def __init__(self, spec: CacheTier) -> None:
        self.spec = spec
        self._held: OrderedDict[bytes, tuple[Answer, int | None]] = OrderedDict()
        self._lock = threading.Lock()

    def __len__(self) -> int:
        return len(self._held)

    def get(self, key: bytes, now_ms: int) -> Found | None:
        with self._lock:
            held = self._held.get(key)
            if held is None:
                return None
            answer, until = held
            if until is not None and now_ms > until:
                del self._held[key]
                return None
            if self.spec.sliding and self.spec.ttl_ms is not None:
                until = now_ms + self.spec.ttl_ms
                self._held[key] = answer, until
            if self.spec.policy == "lru":
                self._held.move_to_end(key)
        return Found(answer, None if until is None else until - now_ms)

    def put(self, key: bytes, answer: Answer, ttl_ms: int | None, now_ms: int) -> None:
        with self._lock:
            known = key in self._held
            self._held[key] = answer, None if ttl_ms is None else now_ms + ttl_ms
            if known and self.spec.policy == "lru":
                self._held.move_to_end(key)
            while self.spec.max_entries is not None and len(self._held) > self.spec.max_entries:
                self._held.popitem(last=False)

    def forget(self, key: bytes | None) -> None:
        with self._lock:
            if key is None:
                self._held.clear()
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

    def get(self, key: bytes, now_ms: int) -> Found | None:
        name = self._prefix + key.hex().encode()
        renewed = self.spec.ttl_ms if self.spec.sliding else None

        def ask() -> tuple[Any, Any]:
            with self._redis.pipeline(transaction=False) as pipe:
                pipe.getex(name, px=renewed) if renewed else pipe.get(name)
                pipe.pttl(name)
                value, left = pipe.execute()
            return value, left

        found = self._asked(ask)
        if not found or found[0] is None:
            return None
        answer = _opened(key, found[0])
        if answer is None:
            self._failed("a foreign or broken entry")
            return None
        left = int(found[1]) if found[1] is not None and found[1] >= 0 else None
        return Found(answer, None if left is None else left + max(_now_ms() - now_ms, 0))

    def put(self, key: bytes, answer: Answer, ttl_ms: int | None, now_ms: int) -> None:
        value = _closed(key, answer)
        left = None if ttl_ms is None else ttl_ms - max(_now_ms() - now_ms, 0)
        if left is None or left > 0:
            self._asked(lambda: self._redis.set(self._prefix + key.hex().encode(), value, px=left))

    def forget(self, key: bytes | None) -> None:
        if key is not None:
            self._asked(lambda: self._redis.delete(self._prefix + key.hex().encode()))
            return

        def every() -> None:
            names = list(self._redis.scan_iter(match=self._prefix + b"*", count=1000))
            for start in range(0, len(names), 1000):
                self._redis.delete(*names[start : start + 1000])

        self._asked(every)

    def _asked(self, question: Callable[[], Any]) -> Any:
        if time.monotonic() < self._rests_until:
            return None
        try:
            return question()
        except Exception as error:  # of the network, of the server, of its memory: never of the caller
            self._rests_until = time.monotonic() + REDIS_REST_S
            self._failed(type(error).__name__)
            return None


def look_up(tiers: list[AnswerTier], key: bytes, now_ms: int) -> tuple[int, Answer] | None:
    """(the first tier that has the answer, it), after the tiers above have been filled."""
    for place, tier in enumerate(tiers):
        found = tier.get(key, now_ms)
        if found is None:
            continue
        for upper in tiers[:place]:
            if upper.spec.fill_on_lower_hit:
                lives = [life for life in (upper.spec.ttl_ms, found.left_ms) if life is not None]
                if not lives or min(lives) > 0:
                    upper.put(key, found.answer, min(lives, default=None), now_ms)
        return place, found.answer
    return None


def _now_ms() -> int:
    return int(time.time() * 1000)


def _closed(key: bytes, answer: Answer) -> bytes:
    packed = zlib.compress(msgspec.msgpack.encode((key, answer.body, answer.content_type, answer.model)), 1)
    return _MAGIC + hashlib.sha256(packed).digest()[:16] + packed


def _opened(key: bytes, value: Any) -> Answer | None:
    """The answer of an entry; None where it is not one that this program wrote for this key."""
    if not isinstance(value, bytes) or value[:3] != _MAGIC or len(value) > MOST_BYTES:
        return None
    packed = value[19:]
    if hashlib.sha256(packed).digest()[:16] != value[3:19]:
        return None
    try:
        unpacked = zlib.decompressobj().decompress(packed, 2 * MOST_BYTES)
        held, body, kind, model = msgspec.msgpack.decode(unpacked, type=tuple[bytes, bytes, str, str])
    except (zlib.error, msgspec.MsgspecError):
        return None
    return Answer(body, kind, model) if held == key else None
