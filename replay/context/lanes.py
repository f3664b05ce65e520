"""Conversations as lanes of turns, and how the provider's prompt cache carried each turn's prefix to the next."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

import numpy as np
import polars as pl

from analysis.causes.lost_prefixes import first_difference
from analysis.formatting import usd
from analysis.price_book import vocabulary
from replay.provider_cache.advice import HOUR_MS
from replay.provider_cache.dated_rules import rules_of
from replay.traffic.prompts import Prompts
from replay.traffic.traffic import Int64, Traffic

EXPIRED, MODEL, PREFIX, UNEXPLAINED = (
    "the cache life had passed",
    "another model",
    "the prefix changed",
    "not explained",
)


@dataclass(frozen=True)
class Break:
    """A turn that read less from the cache than the turn before had left there."""

    call_no: int
    turn: int  # 1 for the first of its lane
    cause: str
    gap_ms: int  # since the turn before had ended
    position: int  # the first message that differs, -1 where all of the turn before is there again
    character: int  # of it, the first that differs in its stored text; -1 where there are no two texts to compare
    lost_tokens: int
    lost_pico: int | None  # dearer than reading them; None where no read of the model shows the price


@dataclass(frozen=True)
class Turns:
    """The turns that follow a turn with a cached prefix: `kept` of `judged` read all of it again."""

    judged: int
    kept: int
    breaks: tuple[Break, ...]

    @property
    def by_cause(self) -> list[tuple[str, int, int, int | None]]:
        """(cause, turns, tokens, pico-dollars) by tokens, most first."""
        turns, tokens, pico = Counter[str](), Counter[str](), Counter[str]()
        unknown = set()
        for one in self.breaks:
            turns[one.cause] += 1
            tokens[one.cause] += one.lost_tokens
            pico[one.cause] += one.lost_pico or 0
            if one.lost_pico is None:
                unknown.add(one.cause)
        rows = [(cause, turns[cause], tokens[cause], None if cause in unknown else pico[cause]) for cause in turns]
        return sorted(rows, key=lambda row: (-row[2], row[0]))

    def to_json(self) -> dict[str, Any]:
        return {
            "judged": self.judged,
            "kept": self.kept,
            "breaks": [
                {
                    "call_no": one.call_no,
                    "turn": one.turn,
                    "cause": one.cause,
                    "gap_s": one.gap_ms / 1000,
                    "first_differing_message": None if one.position < 0 else one.position,
                    "first_differing_character": None if one.character < 0 else one.character,
                    "lost_tokens": one.lost_tokens,
                    "lost_usd": None if one.lost_pico is None else usd(Decimal(one.lost_pico).scaleb(-12)),
                }
                for one in self.breaks
            ],
        }


def lanes(traffic: Traffic, prompts: Prompts) -> tuple[Int64, Int64]:
    """(lane of each call, calls ordered by lane and time).

    A lane is one growing conversation: the calls of one session, agent and first message, or of one session and agent
    where there is no text. A call without a session is a lane of its own.
    """
    frame = traffic.rule_frame(["conversation_id"]).with_columns(
        pl.Series("agent", traffic.agent), pl.Series("first", _first_message(prompts))
    )
    alone = frame["conversation_id"].is_null().to_numpy()
    lane = frame.select(pl.struct("conversation_id", "agent", "first").rank("dense").cast(pl.Int64))[:, 0].to_numpy()
    lane = np.where(alone, -1 - np.arange(len(traffic)), lane)
    return lane, np.lexsort((np.arange(len(traffic)), lane))


def _first_message(prompts: Prompts) -> Int64:
    """The first content of a request that is no instruction and no tool: it tells sub-agents of one name apart."""
    from replay.traffic.prompts import KINDS

    fixed = np.isin(prompts.contents.kind, [KINDS.index(kind) for kind in ("tools", "system", "developer")])
    said = np.flatnonzero(~fixed[prompts.ids]) if len(prompts.ids) else np.zeros(0, np.int64)
    place = np.searchsorted(said, prompts.offsets[:-1])
    found = np.full(len(prompts), -1, np.int64)
    there = place < len(said)
    there[there] &= said[place[there]] < prompts.offsets[1:][there]
    found[there] = prompts.ids[said[place[there]]]
    return found


def turns_of(traffic: Traffic, prompts: Prompts, lane: Int64, order: Int64, zones: Int64, cost: Int64) -> Turns:
    """Each turn of the window held against the prefix that the turn before read or wrote.

    Judged are turns of lanes whose log tells cache writes: what was written can be read by the next turn, until its
    life is over by the provider's rule of the day, if model and prefix are the same.
    """
    providers, models = [provider for provider, _ in traffic.models], [model for _, model in traffic.models]
    rule, rules = rules_of(providers, models, traffic.model, traffic.start_ms)
    before, after = order[:-1], order[1:]
    left = zones[before, 0] + zones[before, 1]
    judged = (lane[before] == lane[after]) & (zones[before, 1] + zones[before, 0] > 0) & traffic.window[after]
    judged &= (traffic.usage.input[after] > 0) & _writes(traffic)[before] & (rule[before] >= 0)
    before, after, left = before[judged], after[judged], left[judged]
    lost = left - zones[after, 0]
    gaps = traffic.start_ms[after] - traffic.end_ms[before]
    long_lived = traffic.tokens("cache_write_1h") > 0
    first = np.searchsorted(lane[order], lane[order], side="left")
    turn = np.empty(len(order), np.int64)
    turn[order] = np.arange(len(order)) - first + 1
    read_price = _read_prices(traffic, zones, cost)
    breaks = []
    for place in np.flatnonzero(lost > 0).tolist():
        old, new = int(before[place]), int(after[place])
        position, character = _differs(prompts, old, new)
        life = HOUR_MS if long_lived[old] else rules[rule[old]].ttl_ms
        if traffic.model[old] != traffic.model[new]:
            cause = MODEL
        elif gaps[place] > life:
            cause = EXPIRED
        else:
            cause = PREFIX if position >= 0 else UNEXPLAINED
        tokens, gap = int(lost[place]), max(int(gaps[place]), 0)
        dearer = _dearer(tokens, zones[new], cost[new], read_price.get(int(traffic.model[new])))
        breaks.append(Break(int(traffic.call_no[new]), int(turn[new]), cause, gap, position, character, tokens, dearer))
    return Turns(len(lost), int((lost <= 0).sum()), tuple(breaks))


def _writes(traffic: Traffic) -> np.ndarray[Any, np.dtype[np.bool_]]:
    """Whether a call's model has a log of cache writes at all."""
    written = traffic.tokens("cache_write") > 0
    models = np.zeros(len(traffic.models), np.bool_)
    models[traffic.model[written]] = True
    return np.asarray(models[traffic.model], np.bool_)


def _differs(prompts: Prompts, old: int, new: int) -> tuple[int, int]:
    """(the first message of the old request that the new one has not at its place, its first character that differs).

    (-1, -1) where it has all; the character is -1 where a text is not stored or the message is gone.
    """
    was, now = (prompts.ids[prompts.offsets[one] : prompts.offsets[one + 1]].tolist() for one in (old, new))
    place = first_difference(was, now)
    if place is None or place >= len(now):
        return (-1 if place is None else place), -1
    before, after = (prompts.contents.texts.get(ids[place]) for ids in (was, now))
    if before is None or after is None:
        return place, -1
    differs = first_difference(before, after)
    return place, len(before) if differs is None else differs


def _read_prices(traffic: Traffic, zones: Int64, cost: Int64) -> dict[int, float]:
    """Pico-dollars of a token read from the cache, by model, as the ledger charged it on average."""
    priced = traffic.cost != vocabulary.UNPRICED
    prices = {}
    for model in np.unique(traffic.model[priced & (zones[:, 0] > 0)]).tolist():
        of_model = priced & (traffic.model == model)
        prices[model] = float(cost[of_model, 0].sum() / zones[of_model, 0].sum())
    return prices


def _dearer(lost: int, zones: Int64, cost: Int64, read: float | None) -> int | None:
    """What `lost` tokens were charged above the price of reading them: as written, then as paid in full."""
    if read is None:
        return None
    written = min(lost, int(zones[1]))
    full = min(lost - written, int(zones[2]))
    paid = sum(float(cost[zone]) / float(zones[zone]) * n for zone, n in ((1, written), (2, full)) if n)
    return max(round(paid - read * (written + full)), 0)
