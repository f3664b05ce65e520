"""The dollars that a provider states in its usage object: they are the logged cost."""

from __future__ import annotations

from typing import Any

from ingest.records.call import pico_dollars

STATED_COSTS = ("cost", "is_byok", "estimated_cost", "cost_in_usd_ticks")  # all that `stated_cost` looks at first
_TICKS_PER_DOLLAR = 10**10


def stated_cost(usage: dict[str, Any], path: str = "$.usage") -> int | None:
    """The pico-dollars that a provider states in its usage object; None where it states none.

    OpenRouter `cost`, with a key of the user's own plus `cost_details.upstream_inference_cost` (usage accounting page,
    2026-10); Perplexity `cost.total_cost` (Sonar API, 2026-10); DeepInfra `estimated_cost` (litellm#38802);
    xAI `cost_in_usd_ticks` (docs.x.ai, cost tracking, read 2026-11).
    """
    cost = usage.get("cost")
    if isinstance(cost, dict):
        return pico_dollars(cost.get("total_cost"), f"{path}.cost.total_cost")
    found = pico_dollars(cost, f"{path}.cost") if isinstance(cost, int | float | str) else None
    if usage.get("is_byok") is True:
        upstream = (
            details.get("upstream_inference_cost") if isinstance(details := usage.get("cost_details"), dict) else None
        )
        paid = pico_dollars(upstream, f"{path}.cost_details.upstream_inference_cost")
        found = found if paid is None else (found or 0) + paid
    if found is None:
        found = pico_dollars(usage.get("estimated_cost"), f"{path}.estimated_cost")
    if found is None:
        found = pico_dollars(usage.get("cost_in_usd_ticks"), f"{path}.cost_in_usd_ticks", _TICKS_PER_DOLLAR)
    return found
