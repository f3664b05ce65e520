"""What the calls may have cost of which the log does not tell it: a range beside the exact bill, never part of it.

`ambiguous_usage`: between the two readings of the input; of the sum of several calls, between the price of calls that
are all short and that of one long call. `partial_usage`: the answer's text as it was logged, counted
with the spread of `analysis.ledger.token_estimates`; what came after the log broke off is in neither bound.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import date
from decimal import Decimal
from typing import Any, Final

import numpy as np

from analysis.array_types import Int64Array
from analysis.dimensions import Where, as_filter
from analysis.formatting import usd
from analysis.ledger.costs_view import costs_relation
from analysis.ledger.ledger import distinct_models
from analysis.ledger.token_estimates import partial_outputs
from analysis.ledger.usage_arrays import read_usage
from analysis.price_book.vocabulary import TOKEN_KINDS, UNKNOWN, UNPRICED
from analysis.pricing.load_rates import load_rates
from analysis.pricing.rate_table import RateTable, Usage
from analysis.reports.call_labels import labelled
from analysis.reports.cost import condition
from ingest.records.call import SUM_OF_CALLS
from ingest.store.database import Store

_PICO: Final = Decimal(10**12)
_READINGS: Final = r"input (\d+) or (\d+)"  # of the remark that `ingest.records.token_usage.settle` leaves


@dataclass(frozen=True)
class UnsureCosts:
    """Calls with a range and their bounds in dollars, None where no call has one; `unknown` calls have none."""

    calls: int
    low_usd: Decimal | None
    high_usd: Decimal | None
    unknown: int

    def to_json(self) -> dict[str, Any]:
        """Plain values: dollars as decimal strings."""
        return {
            "calls": self.calls, "low_usd": usd(self.low_usd), "high_usd": usd(self.high_usd), "unknown": self.unknown,
        }  # fmt: skip


def unsure_costs(
    store: Store, since: date | None = None, until: date | None = None, where: Where = None
) -> UnsureCosts:
    """The range for the calls of `ambiguous_usage` and `partial_usage` in inclusive UTC days, as in `cost`."""
    outputs = partial_outputs(store)  # counts texts, and writes the counts down
    chosen = as_filter(where)
    keep, values = condition(chosen, since, until)
    with store.read() as con:
        source = labelled(con, store, f"{costs_relation(con)} AS costs", chosen.dimensions)
        unsure = con.execute(
            f"SELECT call_no FROM {source} WHERE cost_status IN ('ambiguous_usage', 'partial_usage') AND {keep}", values
        ).fetchall()
        if not unsure:
            return UnsureCosts(0, None, None, 0)
        calls = f"call_no IN ({', '.join(str(int(row[0])) for row in unsure)})"
        inputs = con.execute(
            f"""SELECT call_no, regexp_extract(detail, '{_READINGS}', 1)::BIGINT,
                       regexp_extract(detail, '{_READINGS}', 2)::BIGINT
                FROM import_issues
                WHERE code = 'ambiguous_usage' AND regexp_matches(detail, '{_READINGS}') AND {calls}"""
        ).fetchall()
        models = distinct_models(con, calls)
        rates = load_rates(con, models)
        call_no, _, usage = read_usage(con, models, calls)
        sums = {
            row[0]
            for row in con.execute(
                f"SELECT call_no FROM calls WHERE tokens_source = '{SUM_OF_CALLS}' AND {calls}"
            ).fetchall()
        }
    bounds = []
    for side in (0, 1):
        asked = _filled(usage.input, call_no, {row[0]: row[1 + side] for row in inputs})
        made = _filled(usage.output, call_no, {number: pair[side] for number, pair in outputs.items()})
        bounds.append(rates.price(replace(usage, input=asked, output=made), once=True).total)
    if sums:
        bounds[0] = np.where(np.isin(call_no, list(sums)), _in_short_calls(rates, usage), bounds[0])
    known = (bounds[0] != UNPRICED) & (bounds[1] != UNPRICED)
    if not known.any():
        return UnsureCosts(0, None, None, len(call_no))
    low, high = (Decimal(int(bound[known].sum())) / _PICO for bound in bounds)
    return UnsureCosts(int(known.sum()), min(low, high), max(low, high), int((~known).sum()))


def _in_short_calls(rates: RateTable, usage: Usage) -> Int64Array:
    """Pico-dollars of each row as so many equal calls that none is beyond the first step of its model's price: at least
    what the row cost, but for a few tokens that do not divide; shape of `usage`."""
    step = rates.first_steps()[usage.model]
    parts = np.where(step > 0, -(-np.maximum(usage.input, 0) // np.maximum(step, 1)), 1).clip(1)
    counts = {name: count for name in TOKEN_KINDS if (count := getattr(usage, name)) is not None}
    split = {name: np.where(count == UNKNOWN, UNKNOWN, count // parts) for name, count in counts.items()}
    total = rates.price(replace(usage, **split), once=True).total
    return np.where(total == UNPRICED, UNPRICED, total * parts)


def _filled(counts: Int64Array, call_no: Int64Array, found: dict[int, int]) -> Int64Array:
    """The counts, with those that are unknown taken from `found` by their call."""
    return np.array(
        [found.get(number, UNKNOWN) if n == UNKNOWN else n
         for n, number in zip(counts.tolist(), call_no.tolist(), strict=True)],
        np.int64,
    )  # fmt: skip
