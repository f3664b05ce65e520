"""What the price book's dated prices make of the bill to come: prices in use that end, and what follows them."""

from __future__ import annotations

from collections.abc import Callable
from datetime import date

from analysis import time_zone
from analysis.ledger.ledger import revalue
from ingest.store.database import Store


def price_factor(store: Store, first: date, last: date, end: date) -> Callable[[date], float] | None:
    """What a day's prices are to those of the calls from `first` to `last`, for days up to `end`, by the book.

    None where no price in use changes by then. A model without a price on a day keeps the one it has.
    """
    with store.read() as con:
        rows = con.execute(
            """SELECT DISTINCT effective_to FROM prices
               WHERE effective_to > $last AND effective_to <= $end AND price_id IN
                   (SELECT price_id FROM ledger JOIN calls USING (call_no) WHERE start_time >= $since)
               ORDER BY 1""",
            {"last": last, "end": end, "since": time_zone.day_start(first)},
        ).fetchall()
        factors: list[tuple[date, float]] = []
        for (day,) in rows:
            fresh = revalue(con, day)
            then, now = con.execute(
                f"""SELECT coalesce(sum(coalesce(fresh.cost_usd, ledger.cost_usd)), 0),
                           coalesce(sum(ledger.cost_usd), 0)
                    FROM ledger JOIN calls USING (call_no) LEFT JOIN {fresh} AS fresh USING (call_no)
                    WHERE ledger.cost_usd IS NOT NULL AND start_time >= $since""",
                {"since": time_zone.day_start(first)},
            ).fetchall()[0]
            factors.append((day, float(then / now) if now else 1.0))
    if not factors:
        return None

    def of(day: date) -> float:
        return next((factor for since, factor in reversed(factors) if day >= since), 1.0)

    return of
