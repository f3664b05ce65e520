"""One strategy's result in words: the sentences and texts that the terminal, the pages and the report share."""

from __future__ import annotations

from analysis.formatting import count, money, share
from replay.engine.run import StrategyResult
from replay.quality.gate import NO_EFFECT


def sentence(result: StrategyResult) -> str:
    """The answer in one sentence: dollars a day against the logged ones, the saved share, and what is known of quality.

    `combined would have cost $176.65/day instead of $822.52 (-78.5 %); quality 0.993 of today's (90 % lower bound
    0.992): passes 0.95.` Without a priced call it says that no cost is known.
    """
    if not result.priced_calls:
        return f"{result.name}: none of the calls has a price under it, so what it would have cost cannot be said."
    if result.dollars == "refused":
        return (
            f"{result.name}: what it would have cost is not told: {result.limits[0]}. {_quality(result).capitalize()}."
        )
    if result.quality["verdict"] == NO_EFFECT:
        return f"{result.name} changes no call of this window: {money(result.logged_per_day())}/day, as logged."
    return f"{_cost(result)}; {_quality(result)}."


def _cost(result: StrategyResult) -> str:
    """The cost against the logged cost of the very same calls."""
    change = share(-(result.saved_share or 0.0), sign=True) + of_all_calls(result)
    lost = result.newly_unpriced
    left_out = f" without the {count(lost, 'call')} that would have no price" if lost else ""
    logged = money(result.logged_per_day())
    ends = result.per_day_range()
    if result.dollars == "range" and ends is not None and money(ends[0]) != money(ends[1]):
        return f"{result.name} would have cost {money(ends[0])} to {money(ends[1])}/day instead of {logged}{left_out}"
    return f"{result.name} would have cost {money(result.per_day())}/day instead of {logged} ({change}){left_out}"


def of_all_calls(result: StrategyResult) -> str:
    """What to say behind the saved share where it is not the change of the means of whole days beside it."""
    logged, cost = result.logged_per_day(), result.per_day()
    days = float(1 - cost / logged) if cost is not None and logged else None
    return "" if days is None or share(days) == share(result.saved_share) else " of all calls, days under way too"


def _quality(result: StrategyResult) -> str:
    quality = result.quality
    if quality["verdict"] == NO_EFFECT:
        return "no call of this window changes"
    if quality["verdict"] == "unknown":
        return "whether quality holds, the log cannot say"
    mean, low = quality["mean_ratio"], quality["lower_90"]
    if mean is None:  # no moved call is scored; too few moved to fall below the floor even at their worst
        return f"quality at least {low:.3f} of today's even at the worst: {verdict(result)}"
    return f"quality {_mean(mean, low)} of today's (90 % lower bound {low:.3f}): {verdict(result)}"


def _mean(mean: float, low: float | None) -> str:
    """Two decimals; three where two would round below the lower bound."""
    text = f"{mean:.2f}"
    return text if low is None or float(text) >= round(low, 3) else f"{mean:.3f}"


def cost_text(result: StrategyResult) -> str:
    """Dollars a day as in a table: a figure, its two ends where the log bears out no figure, or `refused`."""
    if result.priced_calls and result.dollars == "refused":
        return "refused"
    ends = result.per_day_range()
    if result.dollars == "range" and ends is not None and money(ends[0]) != money(ends[1]):
        return " to ".join(dict.fromkeys(money(end, symbol="") for end in ends))
    return money(result.per_day(), symbol="")


def verdict(result: StrategyResult) -> str:
    """`passes 0.95`, `fails 0.95`, `unknown` or `no effect`; and `latency fails` where the file limits it in vain."""
    said, floor = result.quality["verdict"], result.quality.get("floor")
    words = f"{said} {floor:.2f}" if floor is not None and said in ("passes", "fails") else str(said)
    slow = result.latency.verdict if result.latency else None
    return f"{words}, latency {slow}" if slow in ("fails", "unknown") else words


def quality_text(result: StrategyResult) -> str:
    """Quality relative to the logged answers with the one-sided 90 % lower bound, as in a table.

    `0.97 (0.957)`; `at least 0.957` where no score gives the mean; `unknown` where the bound says nothing either.
    """
    mean, low = result.quality["mean_ratio"], result.quality["lower_90"]
    if mean is None:
        return f"at least {low:.3f}" if low else "unknown"
    return _mean(mean, low) + (f" ({low:.3f})" if low is not None else "")
