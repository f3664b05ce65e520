"""What models cost the calls of a log: in each call's region, under the prices agreed for its agent or account."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import polars as pl
from numpy.typing import NDArray

from analysis.ledger.ledger import price_scope
from analysis.pricing.load_rates import load_rates
from analysis.pricing.rate_table import Priced, RateTable, Usage
from replay.traffic.traffic import Traffic

Rows = slice | NDArray[np.int64]
EVERY = slice(None)


@dataclass(frozen=True)
class CallRates:
    """Prices of `models` models, once for each scope (region, agent, account) in which the log's calls are billed.

    `scope` holds a position per call; None where no price of the log depends on it.
    """

    table: RateTable  # the models without a scope, then in the first scope, and so on
    models: int
    scope: NDArray[np.int32] | None

    def price(self, usage: Usage, rows: Rows | None = None) -> Priced:
        """What the usage costs, in pico-dollars. `rows`: the calls of the log that it stands for; None for none."""
        if rows is None or self.scope is None:
            return self.table.price(usage)
        model = np.where(usage.model < 0, usage.model, usage.model + self.models * self.scope[rows])
        return self.table.price(replace(usage, model=model.astype(np.int32)))


def call_rates(traffic: Traffic, models: Sequence[tuple[str | None, str | None]]) -> CallRates:
    """The prices of these models for the calls of the traffic."""
    with traffic.store.read() as con:
        scope = price_scope(con, traffic.where)[2:]
        if not scope:
            return CallRates(load_rates(con, models), len(models), None)
        columns = traffic.rule_frame(scope).select(pl.all().cast(pl.String))
        found = columns.unique().sort(scope, nulls_last=False).with_row_index("place", offset=1)
        place = columns.join(found, on=scope, how="left", nulls_equal=True, maintain_order="left")["place"]
        scopes = [(None,) * len(scope), *found.select(scope).rows()]
        names = [(*model, *one) for one in scopes for model in models]
        return CallRates(load_rates(con, names), len(models), place.cast(pl.Int32).to_numpy())
