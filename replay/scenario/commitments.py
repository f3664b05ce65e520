"""Commitments of a scenario over the logged calls: provisioned throughput, batch quotas and seat plans."""

from __future__ import annotations

from collections.abc import Callable
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
from replay.scenario.window import Volume, Window
from replay.strategy.schema import BatchRule, Strategy
from replay.traffic.traffic import EPOCH

MONTH: Final = 30.4375
AHEAD: Final = 30  # days, whose volume a commitment is sized for


@dataclass(frozen=True)
class Commitment:
    """One commitment. Dollars a month at the volume that is forecast for the next one: `api_usd` of the calls that it
    speaks of at API prices, and `usd` with it; `ends` of what it saves, at the ends of that forecast's 80 % range (None
    where the log has too few days). `amount` is what to buy; `regret` what a choice on the earlier days cost on the
    last ones beyond the best, as a share of the API's dollars (None: nothing is chosen, or the log is too short), and
    `unavoidable` what it would have cost had their volume been known."""

    name: str
    kind: str  # throughput, batch, seats
    amount: int
    unit: str
    api_usd: float
    usd: float
    covered: float  # share of the API's dollars that the commitment serves
    regret: float | None
    remark: str
    ends: tuple[float, float] | None = None
    unavoidable: float | None = None

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
        does = _saves(self.saved_usd, self.ends, one=self.amount == 1)
        scored = ""
        if self.regret is not None:
            known = "" if self.unavoidable is None else f" ({share(self.unavoidable)} had their volume been known)"
            scored = (
                f" Chosen on the days before, it was {share(self.regret)} of the API bill from the best on the "
                f"last{known}."
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
            "saved_usd_per_month_low": None if self.ends is None else f"{self.ends[0]:.2f}",
            "saved_usd_per_month_high": None if self.ends is None else f"{self.ends[1]:.2f}",
            "held_out_regret": _rounded(self.regret), "held_out_regret_known_volume": _rounded(self.unavoidable),
            "sentence": self.sentence,
        }  # fmt: skip


def _rounded(part: float | None) -> float | None:
    return None if part is None else round(part, 6)


def _saves(usd: float, ends: tuple[float, float] | None, *, one: bool) -> str:
    """What a commitment does to the month: a figure and a range, or that its sign is not known."""
    verb = "save" if usd >= 0 else "cost"
    figure = f"{verb}{'s' if one else ''} {money(Decimal(abs(usd)))} a month{'' if usd >= 0 else ' more'}"
    if ends is None:
        return f"{figure} if the volume stays, and the log has too few days to say a range"
    low, high = (money(Decimal(end)) for end in ends)
    span = f"{low} to {high} of savings in four of five cases"
    if ends[0] < 0 < ends[1]:
        return f"may save or cost, which the forecast cannot say: as expected {figure}, {span}"
    return figure + (f", {span}" if low != high else "")


def provisioned(window: Window, asked: Throughput) -> Commitment:
    """Units of throughput by the logged minutes: sized at the volume that is expected, or as many as the file says."""
    calls = window.of(asked)
    used = window.tokens("input") / asked.input_tokens_per_minute
    if asked.output_tokens_per_minute is not None:
        used = used + window.tokens("output") / asked.output_tokens_per_minute
    logged, paid = window.per_minute(calls, used), window.per_minute(calls, window.usd)
    plan = throughput.Plan(asked.usd_per_unit_hour, asked.least, asked.step)
    volume = window.volume(calls, AHEAD)
    demand, api = logged * volume.expected, paid * volume.expected
    units = throughput.choose(demand, api, 1, plan) if asked.units is None else asked.units

    def cost(times: float) -> float:
        found = throughput.costs(logged * times, paid * times, 1, np.array([float(units)]), plan.usd_per_unit_hour)
        return float(found[0])

    scored = None
    if window.split is not None and asked.units is None:
        at = window.minute(window.split)
        before = window.volume(calls, (window.last - window.split).days + 1, window.split).expected
        scored = throughput.regret((logged[:at], paid[:at]), (logged[at:], paid[at:]), 1, plan, before)
    whole, bought = float(api.sum()), units * plan.usd_per_unit_hour * 24 * window.days
    per_month = MONTH / window.days
    full = float((demand > units).mean()) if units else 0.0
    return Commitment(
        asked.name, "throughput", units, "unit" if units == 1 else "units", whole * per_month,
        cost(volume.expected) * per_month, (whole - (cost(volume.expected) - bought)) / whole if whole else 0.0,
        None if scored is None else scored.lost,
        f"In {share(full)} of the minutes some of it spills over." if units else "",
        _ends(volume, lambda times: (float(paid.sum()) * times - cost(times)) * per_month),
        None if scored is None else scored.unavoidable,
    )  # fmt: skip


def _ends(volume: Volume, saved: Callable[[float], float]) -> tuple[float, float] | None:
    """What is saved at the ends of the volume's range, the less first."""
    if volume.ends is None:
        return None
    low, high = sorted(map(saved, volume.ends))
    return low, high


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
    volume = window.volume(calls, AHEAD)
    per_month = MONTH / window.days
    cheaper = (traffic.cost[sold] - priced[sold]) / 1e12

    def within(times: float) -> BoolArray:
        return np.asarray((running - before) * times <= asked.tokens_per_day)

    def saved(times: float) -> float:
        return float(cheaper[within(times)].sum()) * times * per_month

    held = within(volume.expected)
    whole = float(window.usd[calls].sum())
    api = whole * volume.expected * per_month
    left = f" {count(int((~held).sum()), 'call')} found the quota used up." if (~held).any() else ""
    served = float(window.usd[sold][held].sum())
    return Commitment(
        asked.name, "batch", int(asked.tokens_per_day), "tokens a day", api, api - saved(volume.expected),
        served / whole if whole else 0.0, None, f"Answers come within a day.{left}", _ends(volume, saved),
    )  # fmt: skip


def seated(window: Window, asked: Seats) -> Commitment:
    """Seats for the users who gain by one at the volume that is expected, by the windows of the plan."""
    asked_for = window.of(asked)
    calls = np.flatnonzero(asked_for)
    traffic, plan = window.traffic, seats.Plan(
        asked.usd_per_month, asked.window, asked.usd_per_window, asked.usd_per_week
    )  # fmt: skip
    names = traffic.rule_frame([asked.by]).get_column(asked.by).cast(pl.String)[calls]
    named = names.is_not_null().to_numpy()
    calls, texts = calls[named], names.filter(names.is_not_null())
    codes = texts.rank("dense").cast(pl.Int64).to_numpy() - 1 if len(texts) else np.zeros(0, np.int64)
    users = int(codes.max(initial=-1)) + 1
    usd, start = window.usd[calls], traffic.start_ms[calls]
    volume = window.volume(asked_for, AHEAD)
    per_month = MONTH / window.days

    def held_at(times: float) -> Float64Array:
        return seats.by_user(codes, usd * times, seats.covered(start, codes, usd * times, plan), users)

    held = held_at(volume.expected)
    chosen = seats.choose(held, window.days, plan)
    whole = float(usd.sum()) * volume.expected
    cost = seats.cost(held, chosen, whole, window.days, plan)

    def saved(times: float) -> float:
        return (float(held_at(times)[chosen].sum()) - float(chosen.sum()) * plan.usd_per_day * window.days) * per_month

    regret = None
    if window.split is not None and whole:
        late = traffic.day[calls] >= (window.split - EPOCH).days
        within = seats.covered(start, codes, usd, plan)
        regret = _seat_regret(codes, usd, within, late, users, (window.split - window.first).days, window.days, plan)
    bought = int(chosen.sum())
    beyond = whole - float(held.sum())
    unknown = int((~named).sum())
    remark = f"{money(Decimal(beyond * per_month))} a month of usage is beyond the windows of any seat."
    if unknown:
        remark += f" {count(unknown, 'call')} without a {asked.by} are left out."
    return Commitment(
        asked.name, "seats", bought, f"of {count(users, asked.by + ' seat')}", whole * per_month, cost * per_month,
        float(held[chosen].sum()) / whole if whole else 0.0, regret, remark, _ends(volume, saved),
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
