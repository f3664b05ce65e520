"""What each team, tag or agent cost: parts that sum to the bill, in pico-dollars and in printed cents."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date
from decimal import ROUND_FLOOR, Decimal
from typing import Any, Final

from analysis.dimensions import TAG
from analysis.formatting import named, share, usd
from analysis.ledger.costs_view import costs_relation
from analysis.reports.cost import cost
from dashboard.render.tables import Column, Table
from ingest.store.database import Store

CENT: Final = Decimal("0.01")
MOST: Final = 40  # rows of a table; the others are one


@dataclass(frozen=True)
class Showback:
    """`rows`: name, month of each, dollars, calls, calls without a price; `bill` their sum, exact."""

    by: str
    months: tuple[date | None, ...]  # None: calls without a time
    rows: tuple[tuple[str, tuple[Decimal, ...], int, int], ...]
    bill: Decimal

    def table(self) -> Table:
        """By name and month; printed cents sum to the bill in cents, by row and by month."""
        shown = [*self.rows[:MOST]]
        rest = self.rows[MOST:]
        if rest:
            sums = tuple(sum((row[1][i] for row in rest), Decimal(0)) for i in range(len(self.months)))
            shown.append((f"{len(rest)} more", sums, sum(r[2] for r in rest), sum(r[3] for r in rest)))
        exact = [[row[1][i] for row in shown] for i in range(len(self.months))]
        wholes = cents_that_sum([sum(column, Decimal(0)) for column in exact])
        months = [cents_that_sum(column, whole) for column, whole in zip(exact, wholes, strict=True)]
        columns = (
            Column(self.by),
            *(
                Column(f"{month:%b %Y}" if month else "no time", _cents, figure=True, minor=True)
                for month in self.months
            ),
            Column("USD", _cents, figure=True),
            Column("share", share, figure=True),
            Column("calls", lambda value: f"{value:,}", figure=True),
            Column("without a price", lambda value: f"{value:,}" if value else "-", figure=True),
        )
        rows = []
        for at, row in enumerate(shown):
            by_month = [column[at] for column in months]
            total = sum(by_month, Decimal(0))
            part = float(sum(row[1], Decimal(0)) / self.bill) if self.bill else None
            rows.append((row[0], *by_month, total, part, row[2], row[3]))
        whole = [sum(column, Decimal(0)) for column in months]
        last = (
            "the bill",
            *whole,
            sum(whole, Decimal(0)),
            1.0 if self.bill else None,
            sum(row[2] for row in shown),
            sum(row[3] for row in shown),
        )
        return Table(f"Cost by {self.by}", columns, tuple(rows), last)

    def to_json(self) -> dict[str, Any]:
        """Plain values: dollars as exact decimal strings."""
        return {
            "by": self.by,
            "bill_usd": usd(self.bill),
            "rows": [
                {
                    "name": name, "usd": usd(sum(amounts, Decimal(0))), "calls": calls, "unpriced_calls": unpriced,
                    "months": {f"{month:%Y-%m}" if month else "none": usd(amount)
                               for month, amount in zip(self.months, amounts, strict=True)},
                }
                for name, amounts, calls, unpriced in self.rows
            ],
        }  # fmt: skip


def showback(store: Store, by: str | None, since: date | None = None, until: date | None = None) -> Showback:
    """The bill by a dimension of calls and by month, the dearest first. Without `by`: by team, else by the first tag
    key that calls have, else by agent."""
    chosen = by or default_dimension(store)
    found = cost(store, by=("month", chosen), since=since, until=until)
    dimension = found.by[1]
    months = sorted({row["month"] for row in found.rows}, key=lambda month: (month is None, month or ""))
    sums: dict[str, list[Decimal]] = {}
    counts: dict[str, list[int]] = {}
    for row in found.rows:
        name = named(row[dimension])
        amounts = sums.setdefault(name, [Decimal(0)] * len(months))
        amounts[months.index(row["month"])] += row["cost_usd"] or Decimal(0)
        number = counts.setdefault(name, [0, 0])
        number[0] += row["calls"]
        number[1] += row["unpriced_calls"]
    order = sorted(sums, key=lambda name: (-sum(sums[name], Decimal(0)), name))
    rows = tuple((name, tuple(sums[name]), counts[name][0], counts[name][1]) for name in order)
    bill = found.total["cost_usd"] or Decimal(0)
    return Showback(dimension, tuple(_month(month) for month in months), rows, bill)


def default_dimension(store: Store) -> str:
    """team, else a tag that calls have, else agent."""
    with store.read() as con:
        source = costs_relation(con)
        if con.execute(f"SELECT 1 FROM {source} WHERE team IS NOT NULL LIMIT 1").fetchall():
            return "team"
        rows = con.execute(
            f"""SELECT regexp_extract(tag, '^([^:=]+)[:=]', 1) AS key, count(*) AS n
                FROM (SELECT unnest(tags) AS tag FROM {source}) WHERE key <> '' GROUP BY 1 ORDER BY n DESC, 1 LIMIT 1"""
        ).fetchall()
    return f"{TAG}{rows[0][0]}" if rows else "agent"


def cents_that_sum(amounts: Sequence[Decimal], whole: Decimal | None = None) -> list[Decimal]:
    """Amounts in cents that sum to `whole`, the sum rounded up or down (default: to the nearest cent): the largest
    remainders are rounded up."""
    whole = sum(amounts, Decimal(0)).quantize(CENT) if whole is None else whole
    floors = [amount.quantize(CENT, ROUND_FLOOR) for amount in amounts]
    left = int((whole - sum(floors, Decimal(0))) / CENT)
    order = sorted(range(len(amounts)), key=lambda at: (floors[at] - amounts[at], at))
    for at in order[:left]:
        floors[at] += CENT
    return floors


def _cents(value: Decimal) -> str:
    return f"${value:,.2f}" if value >= 0 else f"-${-value:,.2f}"


def _month(name: str | None) -> date | None:
    return None if name is None else date.fromisoformat(f"{name}-01")
