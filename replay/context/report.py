"""What fills the context: the input cost of the calls divided among what their requests hold.

A call's logged input is laid over its texts in their order, in proportion to their counted tokens; what the log does
not hold (the system prompt and the tools of a transcript) comes first. The cache read covers the beginning of a prompt,
what was written to the cache comes next, the rest was paid in full; so each text is told what it was charged as.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

import numpy as np
import polars as pl
from numpy.typing import NDArray

from analysis.dimensions import Dimension, dimension
from analysis.formatting import usd
from analysis.price_book import vocabulary
from replay.context.lanes import Turns, lanes, turns_of
from replay.context.sources import SOURCES, Parts, parts_of
from replay.traffic.load_prompts import chain_encoding, load_prompts
from replay.traffic.prompts import Prompts
from replay.traffic.traffic import Int64, Traffic

TOKENS_PER_WORD = 4 / 3  # English text under o200k_base; where neither tokens nor text are stored
LEAST_PAIRS = 5  # turns from which a tokenizer's ratio is measured
RATIO = (0.5, 3.0)


@dataclass(frozen=True)
class Share:
    """The input of one source, or of one source in a group: tokens and pico-dollars by how they were charged."""

    source: str
    group: tuple[Any, ...]
    read_tokens: int
    written_tokens: int
    full_tokens: int
    read_pico: int
    written_pico: int
    full_pico: int

    @property
    def tokens(self) -> int:
        """Input tokens, however they were paid."""
        return self.read_tokens + self.written_tokens + self.full_tokens

    @property
    def pico(self) -> int:
        """Their cost in pico-dollars."""
        return self.read_pico + self.written_pico + self.full_pico


@dataclass(frozen=True)
class Item:
    """One text, and every call that carried it: `again` are those of a conversation that had it before."""

    source: str
    label: str
    content_id: int
    calls: int
    again: int
    tokens: int
    pico: int
    again_pico: int


@dataclass(frozen=True)
class Context:
    """The report. `shares` sum to `input_pico` and `input_tokens`, group by group."""

    calls: int
    unpriced_calls: int  # their tokens are counted, their dollars are not known
    uncounted_calls: int  # without a logged number of input tokens: in no sum
    textless_calls: int
    input_tokens: int
    input_pico: int
    again_pico: int  # of it, texts in a request whose conversation had them before
    by: tuple[str, ...]
    shares: tuple[Share, ...]
    items: tuple[Item, ...]
    turns: Turns

    def to_json(self) -> dict[str, Any]:
        return {
            "calls": self.calls,
            "unpriced_calls": self.unpriced_calls,
            "uncounted_calls": self.uncounted_calls,
            "calls_without_text": self.textless_calls,
            "input_tokens": self.input_tokens,
            "input_cost_usd": _usd(self.input_pico),
            "carried_again_usd": _usd(self.again_pico),
            "by": list(self.by),
            "sources": [
                {
                    **dict(zip(self.by, one.group, strict=True)),
                    "source": one.source,
                    "tokens": one.tokens,
                    "cache_read_tokens": one.read_tokens,
                    "cache_write_tokens": one.written_tokens,
                    "full_price_tokens": one.full_tokens,
                    "cost_usd": _usd(one.pico),
                    "cache_read_usd": _usd(one.read_pico),
                    "cache_write_usd": _usd(one.written_pico),
                    "full_price_usd": _usd(one.full_pico),
                }
                for one in self.shares
            ],
            "items": [
                {
                    "source": one.source,
                    "label": one.label or None,
                    "content_id": one.content_id,
                    "calls": one.calls,
                    "carried_again": one.again,
                    "tokens": one.tokens,
                    "cost_usd": _usd(one.pico),
                    "carried_again_usd": _usd(one.again_pico),
                }
                for one in self.items
            ],
            "turns": self.turns.to_json(),
        }


def context(traffic: Traffic, *, by: Sequence[str] = (), limit: int = 20) -> Context:
    """Divide the input cost of the window's calls among the sources of their requests, and the dearest `limit` items.

    `by` are dimensions that rules may see (agent, task, model, session, turn, ...). Raises InputError for any other.
    """
    prompts = load_prompts(traffic, texts=True)
    parts = parts_of(prompts.contents)
    lane, order = lanes(traffic, prompts)
    zones, cost = _zones(traffic), _charges(traffic)
    weight = _weights(traffic, prompts, lane, order)
    names, group = _groups(traffic, by)
    in_window = order[traffic.window[order]]
    by_group = np.zeros((len(names), len(SOURCES), 6), np.int64)
    by_part = np.zeros((len(parts.source), 5), np.int64)
    _divide(traffic, prompts, parts, in_window, lane, zones, cost, weight, group, by_group, by_part)
    counted = traffic.usage.input[in_window] >= 0
    shares = [
        Share(SOURCES[source], names[row], *map(int, by_group[row, source]))
        for row in range(len(names))
        for source in range(len(SOURCES))
        if by_group[row, source].any()
    ]
    return Context(
        calls=len(in_window),
        unpriced_calls=int((traffic.cost[in_window] == vocabulary.UNPRICED).sum()),
        uncounted_calls=int((~counted).sum()),
        textless_calls=int((np.diff(prompts.offsets)[in_window] == 0).sum()),
        input_tokens=sum(one.tokens for one in shares),
        input_pico=sum(one.pico for one in shares),
        again_pico=int(by_part[:, 4].sum()),
        by=tuple(_dimension(name).name for name in by),
        shares=tuple(sorted(shares, key=lambda one: (-one.pico, -one.tokens, one.source, str(one.group)))),
        items=_items(prompts, parts, by_part, limit),
        turns=turns_of(traffic, prompts, lane, order, zones, cost),
    )


def _divide(
    traffic: Traffic, prompts: Prompts, parts: Parts, order: Int64, lane: Int64, zones: Int64, cost: Int64,
    weight: NDArray[np.float64], group: Int64, by_group: Int64, by_part: Int64,
) -> None:  # fmt: skip
    from replay.kernels.context_shares import divide

    divide(
        order, lane, prompts.offsets, prompts.ids, weight, _truncated(traffic), traffic.usage.input, zones, cost,
        parts.offsets, parts.chars, parts.source, group, by_group, by_part,
        np.full(len(parts.source), np.iinfo(np.int64).min),
    )  # fmt: skip


def _zones(traffic: Traffic) -> Int64:
    """Tokens read from the cache, written to it, and paid in full, n x 3; a cache that is not logged is none."""
    total = np.maximum(traffic.usage.input, 0)
    read = np.minimum(np.maximum(traffic.tokens("cache_read"), 0), total)
    written = np.minimum(np.maximum(traffic.tokens("cache_write"), 0), total - read)
    return np.column_stack([read, written, total - read - written]).astype(np.int64)


def _charges(traffic: Traffic) -> Int64:
    """What the ledger charged for them in pico-dollars, n x 3; 0 for an unpriced call."""
    columns = ("cache_read_usd", "cache_write_usd", "uncached_input_usd")
    listed = ", ".join(f"CAST(coalesce({name}, 0) * 1000000000000 AS BIGINT) AS {name}" for name in columns)
    with traffic.store.read() as con:
        rows = con.sql(f"SELECT call_no, {listed} FROM ledger WHERE {_span(traffic)} ORDER BY call_no").to_arrow_table()
    numbers = rows.column("call_no").to_numpy()
    found = np.column_stack([rows.column(name).to_numpy() for name in columns])
    charges = np.zeros((len(traffic), 3), np.int64)
    if len(numbers):
        place = np.minimum(np.searchsorted(numbers, traffic.call_no), len(numbers) - 1)
        there = numbers[place] == traffic.call_no
        charges[there] = found[place[there]]
    return charges


def _weights(traffic: Traffic, prompts: Prompts, lane: Int64, order: Int64) -> NDArray[np.float64]:
    """Estimated tokens of each content: counted by OpenAI's encoding, times what the log's own growth says of it.

    From one turn to the next of a conversation the input grows by what was added; the sum of that growth over the sum
    of the counted tokens added is the ratio of the model's tokenizer to ours.
    """
    contents = prompts.contents
    counted = contents.tokens[chain_encoding(contents)].astype(np.float64)
    weight = np.where(counted >= 0, counted, np.maximum(contents.words, 1) * TOKENS_PER_WORD)
    weight = np.maximum(weight, 1.0)
    if not len(prompts.ids):
        return weight
    ends = np.concatenate([[0.0], np.cumsum(weight[prompts.ids])])
    held = ends[prompts.offsets[1:]] - ends[prompts.offsets[:-1]]
    before, after = order[:-1], order[1:]
    logged = traffic.usage.input[after] - traffic.usage.input[before]
    added = held[after] - held[before]
    grows = (lane[before] == lane[after]) & (traffic.usage.input[before] > 0) & (logged > 0) & (added > 0)
    if grows.sum() < LEAST_PAIRS:
        return weight
    return weight * float(np.clip(logged[grows].sum() / added[grows].sum(), *RATIO))


def _truncated(traffic: Traffic) -> NDArray[np.bool_]:
    """Whether a request's text is known to be less than what was sent."""
    with traffic.store.read() as con:
        rows = con.sql(
            f"""SELECT call_no, content_state IS DISTINCT FROM 'full' AND content_state IS DISTINCT FROM 'hashed' AS cut
               FROM calls WHERE {_span(traffic)} ORDER BY call_no"""
        ).to_arrow_table()
    numbers = rows.column("call_no").to_numpy()
    cut = rows.column("cut").to_numpy(zero_copy_only=False)
    return np.asarray(cut[np.searchsorted(numbers, traffic.call_no)], np.bool_)


def _span(traffic: Traffic) -> str:
    """SQL of a range of numbers that holds all calls of the traffic."""
    numbers = traffic.call_no
    return f"call_no BETWEEN {int(numbers.min(initial=1 << 62)):d} AND {int(numbers.max(initial=-1)):d}"


def _groups(traffic: Traffic, by: Sequence[str]) -> tuple[list[tuple[Any, ...]], Int64]:
    """(the groups' values, each call's group)."""
    columns = [_rule(name) for name in by]
    if not columns or not len(traffic):
        return [()], np.zeros(len(traffic), np.int64)
    frame = traffic.rule_frame(columns)
    ids = frame.select(pl.struct(columns).rank("dense").cast(pl.Int64).alias("group") - 1)["group"].to_numpy()
    first = np.unique(ids, return_index=True)[1]
    names = [tuple(frame.row(int(row), named=True)[name] for name in columns) for row in first]
    return names, np.ascontiguousarray(ids, np.int64)


def _dimension(name: str) -> Dimension:
    """A dimension of calls, or the turn, which is known of replayed ones."""
    return dimension(name, "rule" if name == "turn" else "group")


def _rule(name: str) -> str:
    from ingest.errors import InputError

    known = _dimension(name)
    if not known.rule:
        raise InputError(f"the context cannot be divided by {known.name}", remedy="Use: agent, task, model, session")
    return known.rule


def _items(prompts: Prompts, parts: Parts, by_part: Int64, limit: int) -> tuple[Item, ...]:
    content = np.repeat(np.arange(len(prompts.contents)), np.diff(parts.offsets))
    dearest = np.lexsort((np.arange(len(by_part)), -by_part[:, 2], -by_part[:, 3]))[:limit]
    return tuple(
        Item(
            SOURCES[parts.source[part]],
            parts.label[part],
            int(prompts.contents.content_id[content[part]]),
            *map(int, by_part[part]),
        )
        for part in dearest.tolist()
        if by_part[part, 0]
    )


def _usd(pico: int) -> str:
    return str(usd(Decimal(pico).scaleb(-12)))
