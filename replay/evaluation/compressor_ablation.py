"""What each compressor is worth: alone, and as the one that is missed when all the others stay.

Both in tokens and in dollars, and the two need not agree: a compressor that moves the prefix of a conversation saves
tokens and can still cost money, because the provider's prompt cache then misses.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date
from typing import Any

from analysis.formatting import usd
from analysis.money import dollars, exact_sum
from analysis.price_book import vocabulary
from ingest.errors import StrategyError
from ingest.store.database import Store
from replay.engine.engine import Engine
from replay.strategy.schema import Compressor, Strategy
from replay.traffic.load_traffic import load
from replay.traffic.traffic import Traffic


@dataclass(frozen=True)
class CompressorSaving:
    """One compressor. Dollars in pico-dollars over the window, positive where it saves."""

    name: str
    lossless: bool
    prefix_stable: bool
    tokens_alone: int
    saved_alone_pico: int
    saved_last_pico: int  # what is lost when only this one is left out

    def to_json(self) -> dict[str, Any]:
        return {
            "name": self.name,
            "lossless": self.lossless,
            "prefix_stable": self.prefix_stable,
            "tokens_saved_alone": self.tokens_alone,
            "saved_alone_usd": usd(dollars(self.saved_alone_pico)),
            "saved_on_top_usd": usd(dollars(self.saved_last_pico)),
        }


@dataclass(frozen=True)
class LeaveOneOut:
    """All compressors of a strategy: cost without any, with all, and each one's part."""

    baseline_pico: int
    cost_pico: int
    tokens: int
    input_tokens: int
    rows: tuple[CompressorSaving, ...]

    def to_json(self) -> dict[str, Any]:
        return {
            "baseline_cost_usd": usd(dollars(self.baseline_pico)),
            "cost_usd": usd(dollars(self.cost_pico)),
            "tokens_saved": self.tokens,
            "input_tokens": self.input_tokens,
            "compressors": [row.to_json() for row in self.rows],
        }


def leave_one_out(
    store: Store, strategy: Strategy, *, since: date | None = None, until: date | None = None
) -> LeaveOneOut:
    """Evaluate the strategy's compressors on the logged routing, alone and left out one at a time."""
    parts = strategy.compress
    if not parts:
        raise StrategyError(f"'{strategy.name}' compresses nothing", remedy="Give it `compress: [whitespace, ...]`.")
    traffic = load(store, since=since, until=until)
    baseline, whole = _evaluated(traffic, strategy, ()), _evaluated(traffic, strategy, parts)
    rows = []
    for place, part in enumerate(parts):
        alone = _evaluated(traffic, strategy, (part,))
        rest = _evaluated(traffic, strategy, (*parts[:place], *parts[place + 1 :])) if len(parts) > 1 else baseline
        rows.append(
            CompressorSaving(
                name=part.name,
                lossless=part.lossless,
                prefix_stable=part.prefix_stable,
                tokens_alone=alone[1],
                saved_alone_pico=baseline[0] - alone[0],
                saved_last_pico=rest[0] - whole[0],
            )
        )
    known = traffic.window & (traffic.tokens("input") > 0)
    return LeaveOneOut(baseline[0], whole[0], whole[1], int(traffic.tokens("input")[known].sum()), tuple(rows))


def _evaluated(traffic: Traffic, strategy: Strategy, parts: Sequence[Compressor]) -> tuple[int, int]:
    """(cost in pico-dollars, input tokens saved) of the window with these compressors and nothing else changed."""
    only = Strategy(name="compression", compress=tuple(parts), provider_cache=strategy.provider_cache)
    engine = Engine(traffic, only)
    outcome = engine.evaluate(engine.everything)
    priced = traffic.window & (traffic.cost != vocabulary.UNPRICED) & (outcome.cost_pico != vocabulary.UNPRICED)
    saved = -int(engine.requests.compressed.input_token_delta[traffic.window].sum()) if parts else 0
    return exact_sum(outcome.cost_pico[priced]), saved


@dataclass(frozen=True)
class View:
    """One request before and after compression, message by message, as canonical JSON; None where there is no text."""

    before: tuple[str | None, ...]
    after: tuple[str | None, ...]
    tokens_before: int
    tokens_after: int


def before_and_after(store: Store, strategy: Strategy, call_no: int) -> View:
    """The prompt of one call as it was sent and as the strategy would send it."""
    traffic = load(store)
    found = (traffic.call_no == call_no).nonzero()[0]
    if not len(found):
        raise StrategyError(f"no call {call_no} with a time in the store", remedy="Find one: hindcast calls")
    place = int(found[0])
    engine = Engine(traffic, Strategy(name="compression", compress=strategy.compress))
    result = engine.requests.compressed
    sides = []
    for prompts in (engine.prompts, result.prompts):
        ids = prompts.ids[prompts.offsets[place] : prompts.offsets[place + 1]]
        sides.append(tuple(prompts.contents.texts.get(int(number)) for number in ids))
    tokens = int(traffic.tokens("input")[place])
    return View(sides[0], sides[1], tokens, tokens + int(result.input_token_delta[place]))
