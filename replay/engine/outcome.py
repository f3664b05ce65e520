"""What each call of the traffic became under a strategy."""

from __future__ import annotations

from dataclasses import dataclass, field

from replay.engine.moved_calls import PaidMoves
from replay.outcomes import COALESCED, HIT, MAX_TIERS
from replay.traffic.traffic import Bool, Int8, Int32, Int64


@dataclass(frozen=True)
class Outcome:
    """What each call became; arrays like the traffic's. `cost` is pricing.UNPRICED where it cannot be known."""

    cost_pico: Int64
    codes: Int8  # replay.outcomes
    model: Int32  # index into Engine.models
    tier: Int8
    input_tokens: Int64
    output_tokens: Int64
    cached_tokens: Int64 | None  # None where no call has any
    as_logged: Bool  # same model, tokens and tier, and not served by our caches
    side_pico: dict[str, Int64] = field(default_factory=dict)  # part of `cost` beside the serving call, by kind
    paid: PaidMoves | None = None  # at an end of the range: what of `cost_pico` the spread of behaviour stretches

    @property
    def hits(self) -> Bool:
        """Per call: answered by a tier of the response cache."""
        return (self.codes >= HIT) & (self.codes < HIT + MAX_TIERS)

    @property
    def served_by_us(self) -> Bool:
        """Per call: answered by a tier or by the answer to an equal call in flight."""
        return (self.codes >= HIT) & (self.codes <= COALESCED)
