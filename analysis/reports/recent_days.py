"""The last days of a store in a few figures: by day, by agent and model, and the largest lever.

This is what `hindcast` answers from logs that were found and what `hindcast ingest` ends with. A lever is a rough sum
at list prices, for a person to look into: a replay is what proves it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date, datetime, timedelta
from decimal import Decimal
from typing import Any, Final

import duckdb

from analysis import time_zone
from analysis.formatting import usd
from analysis.ledger.costs_view import costs_relation
from analysis.price_book.book import price_rows
from analysis.price_book.rows import Key
from analysis.pricing.siblings import Rates, rates_on, siblings
from analysis.reports.cost import cost
from ingest.store.database import Store, has_tables

DAYS: Final = 30
PROMPT_LIFE_S: Final = 300  # how long providers keep a prompt at least: 5 minutes (Anthropic, OpenAI; 2026-11)
LEAST_SHARE: Final = Decimal("0.02")  # of the cost; a smaller lever is not worth a sentence


@dataclass(frozen=True)
class Lever:
    """Something that would cost less: `kind` is `cheaper_model` or `cached_prompts`.

    `saves` of `whole` dollars, at list prices, if the same tokens were sent and answered.
    """

    kind: str
    model: str
    saves: Decimal
    whole: Decimal
    to: str | None = None  # the cheaper model
    tokens: int | None = None  # that were sent again and paid in full

    def to_json(self) -> dict[str, Any]:
        """Plain values: dollars as decimal strings."""
        return {
            "kind": self.kind, "model": self.model, "to": self.to, "tokens": self.tokens,
            "saves_usd": usd(self.saves), "of_usd": usd(self.whole),
        }  # fmt: skip


@dataclass(frozen=True)
class RecentDays:
    """Sums of the last `DAYS` days up to the newest one with calls. Rows are as `analysis.reports.cost` has them."""

    first: date | None
    last: date | None
    total: Mapping[str, Any]
    days: list[dict[str, Any]]  # newest first, each with its dearest `agent` and `model`
    segments: list[dict[str, Any]]  # agent and model, dearest first
    lever: Lever | None
    older_calls: int = 0  # before those days
    untimed_calls: int = 0
    columns: tuple[str, ...] = field(default=("calls", "input_tokens", "cache_read_input_tokens", "output_tokens"))

    def to_json(self) -> dict[str, Any]:
        """Plain values: ISO days, dollars as decimal strings."""
        return {
            "first": self.first and self.first.isoformat(),
            "last": self.last and self.last.isoformat(),
            "total": self._row(self.total),
            "days": [{"day": row["day"].isoformat(), **self._row(row), "agent": row["agent"], "model": row["model"]}
                     for row in self.days],
            "segments": [{"agent": row["agent"], "model": row["model"], **self._row(row)} for row in self.segments],
            "lever": self.lever and self.lever.to_json(),
            "older_calls": self.older_calls,
            "untimed_calls": self.untimed_calls,
        }  # fmt: skip

    def _row(self, row: Mapping[str, Any]) -> dict[str, Any]:
        plain = {name: row[name] for name in (*self.columns, "unpriced_calls")}
        return {**plain, "cost_usd": usd(row["cost_usd"])}


def recent_days(store: Store) -> RecentDays | None:
    """The last days of the store; None where no call has a time. Raises InputError where there is no ledger."""
    with store.read() as con:
        calls, timed, last = con.execute("SELECT count(*), count(start_time), max(start_time) FROM calls").fetchall()[0]
    if last is None:
        return None
    newest = time_zone.day_of(last)
    since = newest - timedelta(days=DAYS - 1)
    report = cost(store, ("day", "agent", "model"), since=since)
    days = _summed(report.rows, ("day",))
    segments = _summed(report.rows, ("agent", "model"))
    for row in days:
        largest = max((one for one in report.rows if one["day"] == row["day"]), key=_dollars)
        row["agent"], row["model"] = largest["agent"], largest["model"]
    begin = time_zone.day_start(since)
    with store.read() as con:
        before = con.execute("SELECT count(*) FROM calls WHERE start_time < ?", [begin]).fetchall()
        lever = _largest_lever(con, begin, newest, report.total["cost_usd"])
    return RecentDays(
        first=min(row["day"] for row in days),
        last=newest,
        total=report.total,
        days=sorted(days, key=lambda row: row["day"], reverse=True),
        segments=sorted(segments, key=lambda row: (-_dollars(row), str(row["agent"]), str(row["model"]))),
        lever=lever,
        older_calls=before[0][0],
        untimed_calls=calls - timed,
    )


def _dollars(row: Mapping[str, Any]) -> Decimal:
    return row["cost_usd"] or Decimal(0)


def _summed(rows: Sequence[Mapping[str, Any]], by: tuple[str, ...]) -> list[dict[str, Any]]:
    """The rows added up over `by`; a sum is None where nothing of it is known."""
    names = ("calls", "input_tokens", "cache_read_input_tokens", "output_tokens", "cost_usd", "logged_cost_usd",
             "unpriced_calls")  # fmt: skip
    found: dict[tuple[Any, ...], dict[str, Any]] = {}
    for row in rows:
        into = found.setdefault(tuple(row[name] for name in by), dict.fromkeys(names))
        for name in names:
            if row[name] is not None:
                into[name] = row[name] + (into[name] or 0)
    return [{**dict(zip(by, key, strict=True)), **sums} for key, sums in found.items()]


# -- levers ------------------------------------------------------------------------------------------------------------


def _largest_lever(
    con: duckdb.DuckDBPyConnection, since: datetime, newest: date, whole: Decimal | None
) -> Lever | None:
    """The lever that saves most of the dollars since `since`, if it is worth a sentence."""
    if not whole or not has_tables(con, "model_map"):
        return None
    relation = costs_relation(con)
    paid = _paid(con, relation, since)
    wanted = {key for key, _ in paid} | {(key[0], name) for key, _ in paid for name in siblings(key)}
    rows, _ = price_rows(con, wanted)
    rates = {key: found for key, held in rows.items() if (found := rates_on(held, newest)) is not None}
    levers = _cheaper_models(paid, rates)
    unread = max((fresh + written for _, (_, (fresh, _, written, _)) in paid), default=Decimal(0))
    if unread > max((lever.saves for lever in levers), default=LEAST_SHARE * whole):  # else no cache saves as much
        levers += _cached_prompts(con, relation, since, rates)
    best = max(levers, key=lambda lever: (lever.saves, lever.model), default=None)
    return best if best is not None and best.saves >= LEAST_SHARE * whole else None


def _paid(
    con: duckdb.DuckDBPyConnection, relation: str, since: datetime
) -> list[tuple[Key, tuple[str, list[Decimal]]]]:
    """Price key -> (logged model, dollars of fresh input, cache reads, cache writes and output with reasoning)."""
    rows = con.execute(
        f"""SELECT m.price_provider, m.price_model, min(c.model), sum(uncached_input_usd), sum(cache_read_usd),
                   sum(cache_write_usd), sum(output_usd + reasoning_usd)
            FROM {relation} c JOIN model_map m
              ON m.provider_raw IS NOT DISTINCT FROM c.provider_name AND m.model_raw IS NOT DISTINCT FROM c.model
            WHERE c.start_time >= ? AND c.cost_usd > 0 AND m.price_model IS NOT NULL
            GROUP BY 1, 2 ORDER BY 1, 2""",
        [since],
    ).fetchall()
    return [((row[0], row[1]), (row[2], [Decimal(part) for part in row[3:]])) for row in rows]


def _cheaper_models(paid: Sequence[tuple[Key, tuple[str, list[Decimal]]]], rates: Mapping[Key, Rates]) -> list[Lever]:
    """Each model's calls at the prices of its nearest cheaper sibling: nearest, because capability counts too."""
    found = []
    for key, (model, (fresh, read, written, answered)) in paid:
        now = rates.get(key)
        for name in siblings(key) if now is not None else ():
            then = rates.get((key[0], name))
            if then is None or now is None or not then.below(now):
                continue
            after = sum(
                part * new / old
                for part, new, old in (
                    (fresh, then.input, now.input), (read, then.cache_read, now.cache_read),
                    (written, then.cache_write, now.cache_write), (answered, then.output, now.output),
                )
                if old
            )  # fmt: skip
            whole = fresh + read + written + answered
            found.append(Lever("cheaper_model", model, Decimal(whole - after), whole, to=name))
            break
    return found


def _cached_prompts(
    con: duckdb.DuckDBPyConnection, relation: str, since: datetime, rates: Mapping[Key, Rates]
) -> list[Lever]:
    """What the start of each prompt cost that its conversation's call before had sent within the life of a prompt in a
    provider's cache, and that was paid in full: at most what caching it would save."""
    rows = con.execute(
        f"""WITH turns AS (
                SELECT provider_name, model, input_tokens, cache_read_input_tokens, cost_usd, start_time,
                       lag(input_tokens) OVER before AS earlier, lag(start_time) OVER before AS earlier_time
                FROM {relation} WHERE start_time >= ? AND conversation_id IS NOT NULL
                WINDOW before AS (PARTITION BY conversation_id, agent, model ORDER BY start_time, call_no))
            SELECT m.price_provider, m.price_model, min(t.model), sum(cost_usd),
                   sum(greatest(least(earlier, input_tokens) - coalesce(cache_read_input_tokens, 0), 0)) FILTER (
                       earlier_time >= start_time - to_seconds({PROMPT_LIFE_S:d}) AND cost_usd IS NOT NULL)
            FROM turns t JOIN model_map m
              ON m.provider_raw IS NOT DISTINCT FROM t.provider_name AND m.model_raw IS NOT DISTINCT FROM t.model
            WHERE m.price_model IS NOT NULL GROUP BY 1, 2 ORDER BY 1, 2""",
        [since],
    ).fetchall()
    found = []
    for provider, model, logged, whole, tokens in rows:
        price = rates.get((provider, model))
        if price is not None and tokens and whole and price.cache_read < price.input:
            saves = Decimal(int(tokens) * (price.input - price.cache_read)).scaleb(-15)
            found.append(Lever("cached_prompts", logged, min(saves, whole), whole, tokens=int(tokens)))
    return found
