"""The logged calls as columns in time order: what every replay runs over.

Read once per replay from the store; arrays have one element per call, ordered by (start_time, source, row).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, fields
from datetime import date, datetime, timedelta
from functools import cached_property, partial
from typing import Any

import numpy as np
import polars as pl
from numpy.typing import NDArray

from analysis import time_zone
from analysis.log_days import LogDays
from analysis.price_book import vocabulary
from analysis.pricing import rate_table
from ingest.store.database import Store
from replay.traffic.policy_marks import PolicyMarks, carried_out, policy_marks
from replay.traffic.rule_columns import CallColumns, in_order

Int8 = NDArray[np.int8]
Int32 = NDArray[np.int32]
Int64 = NDArray[np.int64]
Bool = NDArray[np.bool_]

EPOCH = date(1970, 1, 1)
KEY_POLICIES = {
    "canonical": "key_canonical",
    "canonical+mask": "key_masked",
    "litellm": "key_litellm",
    "helicone": "key_helicone",
    "portkey": "key_portkey",
}

MICRO = 1_000_000  # the weight of a plain call, in millionths
BYTES_PER_TOKEN = 4  # an answer's size where only its tokens are known: 3.95 characters per o200k token of English


@dataclass(frozen=True)
class Traffic:
    """The calls of a store up to the end of a window, oldest first. `window` marks those that are reported.

    Earlier calls warm the caches. Money is in pico-dollars, `cost` being the ledger's, pricing.UNPRICED where unknown.
    """

    call_no: Int64
    start_ms: Int64
    end_ms: Int64
    where: str  # SQL of this program that selects the calls
    window: Bool
    model: Int32  # index into `models`
    models: tuple[tuple[str | None, str | None], ...]  # (provider, model)
    agent: Int32
    agents: tuple[str | None, ...]
    task: Int32
    tasks: tuple[str | None, ...]
    process: Int32  # index into `processes`, -1 where the log names no process
    usage: rate_table.Usage
    retry: Bool
    failed: Bool
    gateway_hit: Bool
    storable: Bool  # an ok, complete answer without tool calls pending: it may fill a cache
    key: Int32  # dense request id without the model, -1 where the log has no text and no hash
    cost: Int64
    log: LogDays  # the days of the whole log, not of the window
    key_policy: str
    has_durations: bool
    untimed_calls: int
    store: Store = field(repr=False)
    processes: tuple[str, ...] = ()
    # rule columns that are not read but computed from the traffic, each when first asked for: one value per call
    derived_columns: Mapping[str, Callable[[Traffic], pl.Series]] = field(default_factory=dict, repr=False)

    def __len__(self) -> int:
        return len(self.call_no)

    @cached_property
    def day(self) -> Int32:
        """Days since 1970-01-01, in the time zone of the days."""
        if not len(self):
            return np.zeros(0, np.int32)
        first, last = (_day_number(int(self.start_ms[place])) for place in (0, -1))
        begins = [time_zone.day_start_ms(EPOCH + timedelta(days=number)) for number in range(first, last + 2)]
        starts = np.searchsorted(self.start_ms, begins)  # the calls are in order of time
        return np.repeat(np.arange(first, last + 1, dtype=np.int32), np.diff(starts))

    @cached_property
    def days(self) -> list[date]:
        """The days of the window that have calls, in order."""
        return [EPOCH + timedelta(days=int(number)) for number in np.unique(self.day[self.window])]

    @cached_property
    def calendar_days(self) -> int:
        """How many days lie between the first and the last of the window with calls, both included."""
        return (self.days[-1] - self.days[0]).days + 1 if self.days else 0

    @cached_property
    def demand(self) -> Bool:
        """Calls that somebody asked for: all but retries, and what a policy in force asked by itself."""
        return ~self.retry if self.side is None else ~(self.retry | self.side)

    @cached_property
    def marks(self) -> PolicyMarks:
        """What a policy in force left in the log."""
        return policy_marks(self.store, self.where, self.call_no)

    @property
    def side(self) -> Bool | None:
        """The calls that a policy in force made by itself, which every strategy leaves as they are; None without."""
        return self.marks.side if self.marks.side.any() else None

    def carried_out(self, strategy: str) -> Bool:
        """The calls that the strategy of this name decided about in production."""
        return carried_out(self.store, self.where, self.call_no, strategy)

    @cached_property
    def size_bytes(self) -> Int64:
        """The size of each answer, from its tokens."""
        return np.maximum(self.usage.output, 0) * BYTES_PER_TOKEN

    @cached_property
    def weight_micro(self) -> Int64:
        """Calls that each row stands for, x 10^6."""
        weight = self.usage.weight_micro
        return np.full(len(self), MICRO, np.int64) if weight is None else weight

    @cached_property
    def tier(self) -> Int8:
        """The logged service tier, an index into pricing.TIERS."""
        return np.zeros(len(self), np.int8) if self.usage.tier is None else self.usage.tier

    @cached_property
    def identity(self) -> Int64:
        """63 bits that name each call, whatever its number in this store: what a seeded draw may go by."""
        with self.store.read() as con:
            rows = con.sql(
                f"SELECT call_no, (call_key & {2**63 - 1}::HUGEINT)::BIGINT AS name FROM calls WHERE {self.where}"
            ).to_arrow_table()
        numbers, names = (rows.column(name).to_numpy() for name in ("call_no", "name"))
        place = in_order(numbers, self.call_no)
        found: Int64 = names if place is None else names[place]
        return found

    def tokens(self, kind: str) -> Int64:
        """A token count of `pricing.Usage` by name, pricing.UNKNOWN where the log has none."""
        column = getattr(self.usage, kind)
        return np.full(len(self), vocabulary.UNKNOWN, np.int64) if column is None else column

    @cached_property
    def columns(self) -> CallColumns:
        """What rules may see of the calls, read when first asked for and shared by all strategies."""
        derived = {name: partial(derive, self) for name, derive in self.derived_columns.items()}
        columns = CallColumns(self.store, self.where, self.call_no, derived)
        columns.know("agent", self.agent, self.agents)
        columns.know("task", self.task, self.tasks)
        return columns

    def rule_frame(self, columns: Sequence[str]) -> pl.DataFrame:
        """Columns that routing rules may see (replay.strategy.conditions.COLUMNS), in the order of the calls."""
        return self.columns.frame(columns)


def take(usage: rate_table.Usage, rows: NDArray[np.int64] | slice) -> rate_table.Usage:
    """The usage of the calls at `rows`."""
    taken: dict[str, Any] = {}
    for column in fields(usage):
        values = getattr(usage, column.name)
        taken[column.name] = None if values is None else values[rows]
    return rate_table.Usage(**taken)


def _day_number(ms: int) -> int:
    return (time_zone.day_of(datetime(1970, 1, 1) + timedelta(milliseconds=ms)) - EPOCH).days
