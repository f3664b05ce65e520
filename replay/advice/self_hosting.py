"""When a model of your own is cheaper than the calls it would take over: servers by the hour, calls by the token.

The calls are those that a strategy's rules would send to it. Servers are counted for the busiest hour that must be
served, because an idle server costs as much as a busy one.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from datetime import date
from decimal import Decimal
from typing import Any

import numpy as np

from analysis.formatting import usd
from analysis.money import dollars
from analysis.price_book import vocabulary
from ingest.errors import InputError
from ingest.store.database import Store
from replay.stages import rule_evaluation
from replay.strategy.schema import Strategy
from replay.traffic.load_traffic import load

HOUR_MS = 3_600_000


VOLUMES = (0.25, 0.5, 1.0, 2.0, 4.0, 8.0)


@dataclass(frozen=True)
class Volume:
    """The same calls, more or fewer of them a day: dollars a day either way, and the servers that it takes."""

    calls_per_day: float
    api_per_day: Decimal
    servers: int
    hosting_per_day: Decimal

    def to_json(self) -> dict[str, Any]:
        return {
            "calls_per_day": self.calls_per_day,
            "api_usd_per_day": usd(self.api_per_day),
            "servers": self.servers,
            "hosting_usd_per_day": usd(self.hosting_per_day),
        }


@dataclass(frozen=True)
class BreakEven:
    """Dollars a day, over the whole days that the calls span."""

    calls_per_day: float
    api_per_day: Decimal
    servers: int
    hosting_per_day: Decimal
    break_even_calls: float | None  # calls a day at which both cost the same, with these servers
    utilisation: float
    volumes: tuple[Volume, ...] = ()

    @property
    def worth_it(self) -> bool:
        """Whether the servers cost less a day than the calls do."""
        return self.hosting_per_day < self.api_per_day

    def to_json(self) -> dict[str, Any]:
        return {
            "calls_per_day": self.calls_per_day,
            "api_usd_per_day": usd(self.api_per_day),
            "servers": self.servers,
            "hosting_usd_per_day": usd(self.hosting_per_day),
            "break_even_calls_per_day": self.break_even_calls,
            "utilisation": self.utilisation,
            "worth_it": self.worth_it,
            "volumes": [volume.to_json() for volume in self.volumes],
        }


def break_even(
    store: Store,
    strategy: Strategy,
    *,
    usd_per_hour: Decimal,
    tokens_per_second: float,
    fixed_usd_per_day: Decimal = Decimal(0),
    since: date | None = None,
    until: date | None = None,
) -> BreakEven:
    """Compare the logged cost of the calls that any rule moves with servers of `tokens_per_second` (in and out).

    `fixed_usd_per_day` carries what fine-tuning or operating adds. Raises InputError where no call would move.
    """
    traffic = load(store, since=since, until=until)
    target = rule_evaluation.route(strategy, traffic.rule_frame(rule_evaluation.columns(strategy)))
    names = rule_evaluation.targets(strategy)
    own = np.array([names[i] if i >= 0 else None for i in range(-1, len(names))], dtype=object)[target + 1]
    logged = np.array([model for _, model in traffic.models], dtype=object)[traffic.model]
    moved = traffic.window & (target >= 0) & (own != logged) & (traffic.cost != vocabulary.UNPRICED)
    if not moved.any():
        raise InputError(f"no priced call of the window would move by '{strategy.name}'")
    start = traffic.start_ms[moved]
    days = max((int(start.max()) - int(start.min())) / 86_400_000, 1.0)
    tokens = np.maximum(traffic.tokens("input")[moved], 0) + np.maximum(traffic.tokens("output")[moved], 0)
    hour = (start // HOUR_MS - start.min() // HOUR_MS).astype(np.int64)
    busiest = float(np.bincount(hour, weights=tokens.astype(np.float64)).max())
    capacity = tokens_per_second * 3600

    def servers_for(volume: float) -> int:
        return max(math.ceil(volume * busiest / capacity), 1)

    servers = servers_for(1.0)
    calls = int(moved.sum()) / days
    api = dollars(int(traffic.cost[moved].sum())) / Decimal(days)
    hosting = usd_per_hour * 24 * servers + fixed_usd_per_day
    per_call = api / Decimal(calls)
    return BreakEven(
        calls_per_day=calls,
        api_per_day=api,
        servers=servers,
        hosting_per_day=hosting,
        break_even_calls=float(hosting / per_call) if per_call else None,
        utilisation=float(tokens.sum()) / days / (servers * capacity * 24),
        volumes=tuple(
            Volume(
                calls * volume,
                api * Decimal(str(volume)),
                servers_for(volume),
                usd_per_hour * 24 * servers_for(volume) + fixed_usd_per_day,
            )
            for volume in VOLUMES
        ),
    )
