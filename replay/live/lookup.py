"""The look-up of one call in the tiers, and its meeting with equal calls in flight.

What is decided is what `replay.kernels.response_cache.cache_tiers` decides about the same calls: an answer is there
from the millisecond at which its call ended, a call that starts before waits for it (`in_flight: coalesced`), and only
an answer that may be kept is shared. To have one order that the log shows, each look-up of a process gets a microsecond
of its own; one that has to stand behind another process's call is dated after it.
"""

from __future__ import annotations

import concurrent.futures
import threading
import time
from collections.abc import Generator, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Any

from replay.live.answer_tiers import FLIGHT_S, Answer, AnswerTier, Found, MemoryTier, RedisTier, fill, look_up
from replay.live.steps import Ask, Pause, Step, Wait

_FIRST_PAUSE_S, _LONGEST_PAUSE_S = 0.002, 0.05  # between two looks at another process's flight


@dataclass
class Looked:
    """What a look-up came to. `started_us` is the call's start for the log; without an answer the call is sent."""

    started_us: int = 0
    answer: Answer | None = None
    tier: str | None = None  # its name; None for an answer that was waited for
    flight: Flight | None = None  # of a call that is sent and whose equals may wait for it
    alone: bool = False  # it waited for a call that failed, took too long, or whose answer may not be kept


@dataclass
class Flight:
    """A look-up or call that equal ones may wait for. The result is an answer that was kept, or None."""

    key: bytes
    owner: object  # the thread or task, which must not wait for itself
    began: float = field(default_factory=time.monotonic)
    flying: bool = False  # past the look-up: the call is sent
    shared: bool = False  # other processes know of it
    result: concurrent.futures.Future[Answer | None] = field(default_factory=concurrent.futures.Future)


class Lookups:
    """The tiers of a strategy in this process."""

    def __init__(self, tiers: Sequence[AnswerTier], *, coalesce: bool) -> None:
        self.tiers = tuple(tiers)
        self.coalesce = coalesce
        near = next((place for place, tier in enumerate(tiers) if not isinstance(tier, MemoryTier)), len(tiers))
        self._near, self._far = self.tiers[:near], self.tiers[near:]
        self._redis = next((tier for tier in self._far if isinstance(tier, RedisTier)), None) if coalesce else None
        self._flights: dict[bytes, Flight] = {}
        self._lock = threading.Lock()
        self._last_us = 0

    def look_up(self, keys: Sequence[bytes], owner: object) -> Generator[Step, Any, Looked]:
        """Ask the tiers for the first of `keys` that has an answer; the first also names the call to its equals.

        After a call that failed, or whose answer may not be kept, its equals are sent, each for itself.
        """
        looked = Looked()
        while True:
            flight = self._met(looked, keys, owner)
            if looked.answer is not None or flight is None:
                return looked
            if flight.owner == owner:
                return (yield from self._beyond(looked, keys, flight))
            answer = yield Wait(flight.result, max(flight.began + FLIGHT_S - time.monotonic(), 0.0))
            if answer is not None and self.coalesce and looked.started_us // 1000 < answer.ended_ms:
                looked.answer = answer
                return looked
            looked.alone = answer is None and flight.flying

    def _met(self, looked: Looked, keys: Sequence[bytes], owner: object) -> Flight | None:
        """What this process knows of a call: its answer (into `looked`), or a flight: another's to wait for, one of its
        own to go on with; None where it is sent without either."""
        with self._lock:
            if not looked.started_us:  # the clock is read where the look-up is made: its order is the log's
                looked.started_us = self._last_us = max(time.time_ns() // 1000, self._last_us + 1)
            for key in keys:
                found = look_up(self._near, key, looked.started_us)
                if found is not None:
                    self._take(looked, self._near, *found)
                    return None
            known = self._flights.get(keys[0])
            if known is not None and time.monotonic() - known.began < FLIGHT_S:
                # a thread that reads a stream while it asks again would wait for itself
                return known if known.owner != owner and not (known.flying and looked.alone) else None
            if not self._far and not self.coalesce:
                return None
            mine = Flight(keys[0], owner)
            self._flights[keys[0]] = mine
            return mine

    def _take(self, looked: Looked, tiers: Sequence[AnswerTier], place: int, found: Found) -> None:
        """An answer of a tier; one that landed after the call's start has been waited for."""
        looked.answer = found.answer
        early = looked.started_us // 1000 < found.answer.ended_ms
        if not (early and self.coalesce):
            looked.tier = tiers[place].spec.name

    def _beyond(self, looked: Looked, keys: Sequence[bytes], mine: Flight) -> Generator[Step, Any, Looked]:
        """The lower tiers, and the flights of other processes; `mine` ends here unless the call is sent."""
        try:
            yield from self._far_tiers(looked, keys)
            if looked.answer is None and self._redis is not None and not looked.alone:
                yield from self._others(looked, keys, mine, self._redis)
        except BaseException:
            self.land(mine, None)
            raise
        if looked.answer is not None:
            self.land(mine, looked.answer if looked.tier is None else None)
        elif self.coalesce:
            mine.flying = True
            looked.flight = mine
        else:
            self.land(mine, None)
        return looked

    def _far_tiers(self, looked: Looked, keys: Sequence[bytes]) -> Generator[Step, Any, None]:
        if not self._far:
            return
        for key in keys:
            found = yield Ask(partial(look_up, self._far, key, looked.started_us))
            if found is not None:
                self._accept(looked, key, found)
                return

    def _accept(self, looked: Looked, key: bytes, found: tuple[int, Found]) -> None:
        """An answer of a lower tier: it fills the near tiers, unless it came while this call was asking."""
        place, got = found
        looked.started_us = max(looked.started_us, got.answer.started_us + 1)
        self._take(looked, self._far, place, got)
        if looked.tier is not None:
            with self._lock:
                fill(self._near, key, got, looked.started_us)

    def _others(
        self, looked: Looked, keys: Sequence[bytes], mine: Flight, redis: RedisTier
    ) -> Generator[Step, Any, None]:
        """Lead the call among the processes, or wait for the one that does."""
        place = self._far.index(redis)
        started, found = yield Ask(partial(redis.lead, keys[0], looked.started_us))
        if found is not None:
            self._accept(looked, keys[0], (place, found))
            return
        if started is None:
            mine.shared = True
            return
        looked.started_us = max(looked.started_us, started + 1)
        pause, until = _FIRST_PAUSE_S, time.monotonic() + FLIGHT_S
        while time.monotonic() < until:
            yield Pause(pause)
            pause = min(pause * 1.5, _LONGEST_PAUSE_S)
            flying, found = yield Ask(partial(redis.joined, keys[0], looked.started_us))
            if found is not None:
                self._accept(looked, keys[0], (place, found))
                return
            if not flying:
                looked.alone = True
                yield from self._far_tiers(looked, keys[1:])  # a cascade's answer may stand under another model
                return

    def land(self, flight: Flight, answer: Answer | None) -> None:
        """A flight ended, with an answer that its equals may have, or without."""
        with self._lock:
            if self._flights.get(flight.key) is flight:
                del self._flights[flight.key]
        if flight.shared and self._redis is not None:
            self._redis.land(flight.key)
        if not flight.result.done():
            flight.result.set_result(answer)

    def keep(self, key: bytes, answer: Answer) -> None:
        """Put an answer into every tier, at its call's end."""
        for tier in self._near:
            with self._lock:
                tier.put(key, answer, tier.spec.ttl_ms, answer.ended_ms * 1000)
        for tier in self._far:
            tier.put(key, answer, tier.spec.ttl_ms, answer.ended_ms * 1000)

    def forget(self, key: bytes | None) -> None:
        """Delete an answer, or all of them, from every tier."""
        for tier in self.tiers:
            tier.forget(key)
