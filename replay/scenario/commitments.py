"""Commitments of a scenario over the logged calls: provisioned throughput, batch quotas and seat plans."""

from __future__ import annotations

from dataclasses import dataclass
from decimal import Decimal
from typing import Any, Final

import numpy as np
import polars as pl

from analysis.array_types import BoolArray, Float64Array
from analysis.formatting import count, money, share
from analysis.price_book import vocabulary
from replay.engine.engine import Engine
from replay.scenario import seats, throughput
from replay.scenario.schema import BatchQuota, Seats, Throughput
from replay.scenario.window import Window
from replay.strategy.schema import BatchRule, Strategy
from replay.traffic.traffic import EPOCH

MONTH: Final = 30.4375


@dataclass(frozen=True)
class Commitment:
    """One commitment. Dollars a month as in the window: `api_usd` of the calls that it speaks of at API prices, and
    `usd` with it. `amount` is what to buy; `regret` what a choice on the earlier days cost on the last ones beyond the
    best, as a share of the API's dollars (None: nothing is chosen, or the log is too short)."""

    name: str
    kind: str  # throughput, batch, seats
    amount: int
    unit: str
    api_usd: float
    usd: float
    covered: float  # share of the API's dollars that the commitment serves
    regret: float | None
    remark: str

    @property
    def saved_usd(self) -> float:
        """Dollars a month; negative where the commitment costs more."""
        return self.api_usd - self.usd

    @property
    def sentence(self) -> str:
        """What to buy, and what it does."""
        what, api = f"{self.amount:,} {self.unit}", money(Decimal(self.api_usd))
        if self.amount == 0:
            return f"{self.name}: buy none; {api} a month at API prices is the least. {self.remark}"
        saved = money(Decimal(abs(self.saved_usd)))
        does = f"saves {saved} a month" if self.saved_usd >= 0 else f"costs {saved} a month more"
        scored = ""
        if self.regret is not None:
            scored = (
                f" Chosen on the days before, it was {share(self.regret)} of the API bill from the best on the last."
            )
        return (
            f"{self.name}: {what} {does} ({money(Decimal(self.usd))} "
            f"instead of {api} at API prices), serving {share(self.covered)} of it.{scored} {self.remark}"
        )

    def to_json(self) -> dict[str, Any]:
        """Plain values; dollars a month as decimal strings."""
        return {
            "name": self.name, "kind": self.kind, "amount": self.amount, "unit": self.unit,
            "api_usd_per_month": f"{self.api_usd:.2f}", "usd_per_month": f"{self.usd:.2f}",
            "saved_usd_per_month": f"{self.saved_usd:.2f}", "covered_share": round(self.covered, 6),
            "held_out_regret": None if self.regret is None else round(self.regret, 6), "sentence": self.sentence,
        }  # fmt: skip


def provisioned(window: Window, asked: Throughput) -> Commitment:
    """Units of throughput by the logged minutes: sized, or as many as the file says."""
    calls = window.of(asked)
    used = window.tokens("input") / asked.input_tokens_per_minute
    if asked.output_tokens_per_minute is not None:
        used = used + window.tokens("output") / asked.output_tokens_per_minute
    demand, api = window.per_minute(calls, used), window.per_minute(calls, window.usd)
    plan = throughput.Plan(asked.usd_per_unit_hour, asked.least, asked.step)
    units = throughput.choose(demand, api, 1, plan) if asked.units is None else asked.units
    cost = float(throughput.costs(demand, api, 1, np.array([float(units)]), plan.usd_per_unit_hour)[0])
    regret = None
    if window.split is not None and asked.units is None:
        at = window.minute(window.split)
        _, regret = throughput.regret((demand[:at], api[:at]), (demand[at:], api[at:]), 1, plan)
    whole, bought = float(api.sum()), units * plan.usd_per_unit_hour * 24 * window.days
    per_month = MONTH / window.days
    full = float((demand > units).mean()) if units else 0.0
    return Commitment(
        asked.name, "throughput", units, "unit" if units == 1 else "units", whole * per_month, cost * per_month,
        (whole - (cost - bought)) / whole if whole else 0.0, regret,
        f"In {share(full)} of the minutes some of it spills over." if units else "",
    )  # fmt: skip


def batched(window: Window, asked: BatchQuota) -> Commitment:
    """What the batch tier saves on calls that can wait, up to so many tokens a day, in the order of the log."""
    calls = window.of(asked)
    traffic = window.traffic
    engine = Engine(traffic, Strategy(name="batched", batch=(BatchRule(match=asked.match, when=asked.when),)))
    priced = engine.evaluate(engine.everything).cost_pico
    sold = calls & (priced != vocabulary.UNPRICED) & (priced < traffic.cost)
    tokens = window.tokens("input") + window.tokens("output")
    day = traffic.day[sold]
    running = np.cumsum(tokens[sold])
    before = np.concatenate([[0.0], running])[np.searchsorted(day, day, side="left")]
    within = running - before <= asked.tokens_per_day
    saved = float(((traffic.cost[sold] - priced[sold])[within]).sum()) / 1e12
    whole = float(window.usd[calls].sum())
    per_month = MONTH / window.days
    left = f" {count(int((~within).sum()), 'call')} found the quota used up." if (~within).any() else ""
    served = float(window.usd[sold][within].sum())
    return Commitment(
        asked.name, "batch", int(asked.tokens_per_day), "tokens a day", whole * per_month, (whole - saved) * per_month,
        served / whole if whole else 0.0, None, f"Answers come within a day.{left}",
    )  # fmt: skip


def seated(window: Window, asked: Seats) -> Commitment:
    """Seats for the users who gain by one, by the windows of the plan."""
    calls = np.flatnonzero(window.of(asked))
    traffic, plan = window.traffic, seats.Plan(
        asked.usd_per_month, asked.window, asked.usd_per_window, asked.usd_per_week
    )  # fmt: skip
    names = traffic.rule_frame([asked.by]).get_column(asked.by).cast(pl.String)[calls]
    named = names.is_not_null().to_numpy()
    calls, texts = calls[named], names.filter(names.is_not_null())
    codes = texts.rank("dense").cast(pl.Int64).to_numpy() - 1 if len(texts) else np.zeros(0, np.int64)
    users = int(codes.max(initial=-1)) + 1
    usd, start = window.usd[calls], traffic.start_ms[calls]
    within = seats.covered(start, codes, usd, plan)
    held = seats.by_user(codes, usd, within, users)
    chosen = seats.choose(held, window.days, plan)
    whole = float(usd.sum())
    cost = seats.cost(held, chosen, whole, window.days, plan)
    regret = None
    if window.split is not None and whole:
        late = traffic.day[calls] >= (window.split - EPOCH).days
        regret = _seat_regret(codes, usd, within, late, users, (window.split - window.first).days, window.days, plan)
    bought = int(chosen.sum())
    beyond = whole - float(held.sum())
    unknown = int((~named).sum())
    remark = f"{money(Decimal(beyond * MONTH / window.days))} a month of usage is beyond the windows of any seat."
    if unknown:
        remark += f" {count(unknown, 'call')} without a {asked.by} are left out."
    per_month = MONTH / window.days
    return Commitment(
        asked.name, "seats", bought, f"of {count(users, asked.by + ' seat')}", whole * per_month, cost * per_month,
        float(held[chosen].sum()) / whole if whole else 0.0, regret, remark,
    )  # fmt: skip


def _seat_regret(
    codes: np.ndarray[Any, Any], usd: Float64Array, within: BoolArray, late: BoolArray, users: int, before: int,
    days: int, plan: seats.Plan,
) -> float:  # fmt: skip
    past = seats.by_user(codes[~late], usd[~late], within[~late], users)
    held = seats.by_user(codes[late], usd[late], within[late], users)
    after, whole = days - before, float(usd[late].sum())
    mine = seats.cost(held, seats.choose(past, before, plan), whole, after, plan)
    best = seats.cost(held, seats.choose(held, after, plan), whole, after, plan)
    return (mine - best) / whole if whole else 0.0
