"""What changed calls cost: the ledger's own cost where a call comes out as logged, else its price, in pieces."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, fields, replace
from typing import Any, Final

import numpy as np

from analysis.price_book import vocabulary
from analysis.pricing import rate_table
from ingest.threads import at_most
from replay.traffic.call_rates import CallRates
from replay.traffic.traffic import Bool, Int64, Traffic, take

CHUNK: Final = 500_000  # calls priced at once
THREADS: Final = 2


@dataclass
class Repricing:
    """Prices changed usages of one traffic. `rates` is asked for only where a call differs from its log."""

    traffic: Traffic
    rates: Callable[[], CallRates]
    _newest: tuple[tuple[Any, ...], tuple[Int64, Bool]] | None = field(default=None, repr=False)

    def price(self, usage: rate_table.Usage, *, gateway_paid: bool) -> tuple[Int64, Bool]:
        """(cost of each call if it reaches the provider, whether it is as logged).

        What the log's own gateway answered stays as logged, unless `gateway_paid`: then it reaches the provider too.

        The newest is kept: with and without our caches the provider's price is mostly one and the same.
        """
        asked = (gateway_paid, *(getattr(usage, column.name) for column in fields(usage)))
        if self._newest is not None:
            before, answer = self._newest
            if all(one is other for one, other in zip(asked, before, strict=True)):
                return answer
        traffic = self.traffic
        same = np.ones(len(traffic), np.bool_)
        for name in ("model", "tier", "input", "output", "cache_read", "cache_write"):
            now, logged = getattr(usage, name), getattr(traffic.usage, name)
            if name == "tier":
                logged = traffic.tier
            if now is not logged:
                same &= now == (traffic.tokens(name) if logged is None else logged)
        if traffic.gateway_hit.any():
            same = same & ~traffic.gateway_hit if gateway_paid else same | traffic.gateway_hit
        answer = self._rest(usage, same), same
        self._newest = asked, answer
        return answer

    def _rest(self, usage: rate_table.Usage, same: Bool) -> Int64:
        """The ledger's cost where a call is as logged, else its price: in pieces, which bounds the memory."""
        logged = self.traffic.cost
        if same.all():
            return logged
        moved = usage.model != self.traffic.model
        usage = replace(
            usage,
            cache_write_1h=self._hour_writes(usage.cache_write),
            reasoning=self._reasoning(moved, usage.output),
        )
        cost = np.empty(len(same), np.int64)
        rates = self.rates()

        def price(first: int) -> None:
            here = slice(first, first + CHUNK)
            keep = same[here]
            rows = np.flatnonzero(~keep)
            cost[here] = logged[here]
            if len(rows) == len(keep):
                cost[here] = rates.price(take(usage, here), here).total
            elif len(rows):
                cost[first + rows] = rates.price(take(usage, first + rows), first + rows).total

        pieces = range(0, len(same), CHUNK)
        if len(pieces) == 1:
            price(0)
        else:
            with ThreadPoolExecutor(at_most(THREADS)) as pool:
                list(pool.map(price, pieces))
        return cost

    def _hour_writes(self, written: Int64 | None) -> Int64 | None:
        """The one-hour part of cache writes: in the logged proportion."""
        hour, before = self.traffic.usage.cache_write_1h, self.traffic.usage.cache_write
        if hour is None or written is None or before is None:
            return hour
        return np.where((before > 0) & (hour > 0), hour * np.maximum(written, 0) // np.maximum(before, 1), hour)

    def _reasoning(self, moved: Bool, output_tokens: Int64) -> Int64 | None:
        """Another model's reasoning is not known apart from its output, of which it is a part."""
        logged = self.traffic.usage.reasoning
        return None if logged is None else np.where(moved, vocabulary.UNKNOWN, np.minimum(logged, output_tokens))
