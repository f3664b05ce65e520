"""Which calls could wait for a batch, and what that would save at the book's dated batch prices.

A call is gone on with where it streams, or where the next call of its conversation starts within a minute of its end:
something, a user or a chain of agents, used the answer at once. What nobody went on with could have waited, unless a
user waits for it (`replay.traffic.user_waiting`). A chain that no user waits for could wait too, at a batch for each
of its steps. The log cannot prove it: the list is of candidates for `batch:` rules, not of facts.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date
from typing import Any

import numpy as np

from analysis.formatting import usd
from analysis.money import dollars
from analysis.price_book import vocabulary
from ingest.store.database import Store
from replay.engine.engine import Engine
from replay.evaluation.backtest import segments
from replay.strategy.schema import BatchRule, Strategy
from replay.traffic.load_traffic import load
from replay.traffic.user_waiting import UNKNOWN, inferred, waited_for


@dataclass(frozen=True)
class BatchCandidate:
    """One (agent, task). Money in pico-dollars.

    `waited`: share of its calls that something went on with at once; `users`: share that a user waits for, and
    `unsure`: share of which that is not known.
    """

    segment: str
    calls: int
    waited: float
    users: float
    unsure: float
    cost_pico: int
    saving_pico: int  # if all of them went to the batch tier
    idle_pico: int  # the part of it from calls that nobody waits for and nothing went on with
    chains_pico: int  # the part of it from calls that something, but no user, went on with
    sold: float  # share of the cost whose model has a batch price

    def to_json(self) -> dict[str, Any]:
        return {
            "segment": self.segment,
            "calls": self.calls,
            "waited_share": self.waited,
            "user_waits_share": self.users,
            "user_unknown_share": self.unsure,
            "cost_usd": usd(dollars(self.cost_pico)),
            "batch_saving_usd": usd(dollars(self.saving_pico)),
            "idle_saving_usd": usd(dollars(self.idle_pico)),
            "chain_saving_usd": usd(dollars(self.chains_pico)),
            "batch_price_share": self.sold,
        }


def candidates(store: Store, *, since: date | None = None, until: date | None = None) -> list[BatchCandidate]:
    """Segments by what batching all of their calls would save, the largest saving first."""
    traffic = load(store, since=since, until=until)
    strategy = Strategy(name="batched", batch=(BatchRule(),))
    engine = Engine(traffic, strategy)
    outcome = engine.evaluate(engine.everything)
    priced = traffic.window & (traffic.cost != vocabulary.UNPRICED) & (outcome.cost_pico != vocabulary.UNPRICED)
    moved = priced & (outcome.tier != traffic.tier)
    waited = waited_for(traffic)
    user = inferred(traffic)
    idle, chain = ~waited & (user != 1), waited & (user == 0)
    saved = np.where(moved, traffic.cost - np.where(moved, outcome.cost_pico, 0), 0)
    code, names = segments(traffic)
    rows = []
    for number, name in enumerate(names):
        mine = priced & (code == number)
        if not mine.any():
            continue
        cost = int(traffic.cost[mine].sum())
        sold = int(traffic.cost[mine & moved].sum())
        rows.append(
            BatchCandidate(
                segment=name,
                calls=int(mine.sum()),
                waited=float(waited[mine].mean()),
                users=float((user[mine] == 1).mean()),
                unsure=float((user[mine] == UNKNOWN).mean()),
                cost_pico=cost,
                saving_pico=cost - int(outcome.cost_pico[mine].sum()),
                idle_pico=int(saved[mine & idle].sum()),
                chains_pico=int(saved[mine & chain].sum()),
                sold=sold / cost if cost else 0.0,
            )
        )
    return sorted(rows, key=lambda row: (-row.saving_pico, row.segment))
