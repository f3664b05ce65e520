"""The logged calls that a scenario is worked out on: those of the forecast's basis."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date, timedelta
from typing import Final

import numpy as np

from analysis import time_zone
from analysis.array_types import BoolArray, Float64Array, Int64Array
from analysis.forecast.bill_forecast import LEAST
from analysis.forecast.daily_forecast import forecast
from analysis.price_book import vocabulary
from ingest.store.database import Store
from replay.stages.rule_evaluation import columns_of, selected
from replay.strategy.fields import Selection
from replay.traffic.load_traffic import load
from replay.traffic.traffic import EPOCH, MICRO, Traffic

HELD_OUT: Final = 7
MS_PER_MINUTE: Final = 60_000


@dataclass(frozen=True)
class Volume:
    """What the demand of days ahead is to that of the logged days, as a factor: expected, and the ends of the
    forecast's 80 % range (None where the log has too few days to say)."""

    expected: float = 1.0
    ends: tuple[float, float] | None = None


@dataclass(frozen=True)
class Window:
    """`traffic` up to the newest complete day; `priced` its calls in the window with a price. The last days, from
    `split` on, score what was chosen before them; None where the log is too short."""

    traffic: Traffic
    first: date
    last: date
    split: date | None
    priced: BoolArray
    growth: float | None = None  # stated, log units a day

    @property
    def days(self) -> int:
        """Complete days of the window."""
        return (self.last - self.first).days + 1

    @property
    def usd(self) -> Float64Array:
        """Dollars of each call of the traffic, 0 without a price."""
        return np.where(self.priced, self.traffic.cost, 0) / 1e12

    def of(self, part: Selection) -> BoolArray:
        """The priced calls of the window that a part of the scenario speaks of."""
        frame = self.traffic.rule_frame(columns_of([part]))
        return np.asarray(selected(part, frame) & self.priced)

    def volume(self, calls: BoolArray, ahead: int, before: date | None = None) -> Volume:
        """The volume of the days ahead by the chosen calls' dollars, from the days of the window (those `before` a
        day)."""
        days = [self.first + timedelta(days=number) for number in range(self.days)]
        days = [day for day in days if before is None or day < before]
        usd = np.bincount(self.traffic.day[calls] - (self.first - EPOCH).days, self.usd[calls], self.days)
        until = days[-1] + timedelta(days=ahead)
        made = forecast(dict(zip(days, usd.tolist(), strict=False)), days, until, growth=self.growth)
        if made is None or made.learned < LEAST:
            return Volume()
        logged = float(usd[: len(days)].mean()) * ahead
        told = made.over(made.days)
        return Volume(told.usd / logged, (told.low / logged, told.high / logged))

    def minute(self, day: date) -> int:
        """The number of the first minute of a day, counted from the window's first."""
        return int(time_zone.day_start_ms(day) - time_zone.day_start_ms(self.first)) // MS_PER_MINUTE

    def per_minute(self, calls: BoolArray, amounts: Float64Array | Int64Array) -> Float64Array:
        """Sums over the chosen calls by minute of the window."""
        begin = time_zone.day_start_ms(self.first)
        minutes = self.minute(self.last + timedelta(days=1))
        at = (self.traffic.start_ms[calls] - begin) // MS_PER_MINUTE
        return np.bincount(at, amounts[calls], minutes)[:minutes].astype(np.float64)

    def tokens(self, kind: str) -> Float64Array:
        """Weighted token counts of each call, 0 where not known."""
        return np.maximum(self.traffic.tokens(kind), 0) * (self.traffic.weight_micro / MICRO)


def window(store: Store, first: date, last: date, growth: float | None = None) -> Window:
    """The calls of complete days: those of the forecast's basis. `growth` is stated, in log units a day."""
    days = (last - first).days + 1
    split = last - timedelta(days=min(HELD_OUT, days // 2) - 1) if days >= 4 else None
    traffic = load(store, since=first, until=last)
    priced = traffic.window & (traffic.cost != vocabulary.UNPRICED)
    return Window(traffic, first, last, split, np.asarray(priced), growth)
