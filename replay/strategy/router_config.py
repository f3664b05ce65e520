"""Configs of hand-written routers, which are no strategies: answered with the lines that say the same here.

The common shape is `default_model: M` with `model_map: {M: {cost_per_token: 0.0000015}}`, or a map of tasks to models.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from decimal import Decimal, InvalidOperation
from typing import Any, Final

_DEFAULTS: Final = ("default_model", "default", "fallback_model")
_MAPS: Final = ("model_map", "models", "task_map", "routes_map")
_BOTH: Final = ("cost_per_token", "price_per_token", "cost_per_1k_tokens")
_SIDES: Final = ("input_cost_per_token", "output_cost_per_token")


def is_router_config(value: Mapping[str, Any]) -> bool:
    """Whether a document is such a config: a default model or a map of models, and no key of a strategy's stages."""
    mapped = any(isinstance(value.get(name), dict) for name in _MAPS)
    return "route" not in value and ("default_model" in value or mapped)


def lines_to_write(value: Mapping[str, Any]) -> str:
    """The strategy that does the same, in one line of YAML, and the commands that set the prices of the config."""
    default = next((value[name] for name in _DEFAULTS if isinstance(value.get(name), str)), None)
    rules, prices = [], []
    for name, entry in _entries(value):
        if isinstance(entry, str):
            rules.append(f"{{match: {{task: {name}}}, model: {entry}}}")
        elif isinstance(entry, dict):
            prices += _price(name, entry)
    written = [*rules, f"{{default: {default or 'MODEL'}}}"] if default or not rules else rules
    text = f"Write: {{name: router, route: [{', '.join(written)}]}}"
    if not rules:
        text += "   (rules such as {match: {task: 'draft*'}, model: M} go before the default)"
    return f"{text}\nIts prices: {'; '.join(prices)}" if prices else text


def _entries(value: Mapping[str, Any]) -> Iterator[tuple[str, Any]]:
    for name in _MAPS:
        if isinstance(value.get(name), dict):
            yield from value[name].items()


def _price(model: str, entry: Mapping[str, Any]) -> list[str]:
    """`hindcast prices set` for a price per token, in dollars per million."""
    both = next(((entry[name], 1_000 if "1k" in name else 1_000_000) for name in _BOTH if name in entry), None)
    given, answered = (entry.get(name) for name in _SIDES)
    try:
        if both is not None:
            amount = _plain(Decimal(str(both[0])) * both[1])
            return [f"hindcast prices set {model} --input {amount} --output {amount}"]
        if given is not None and answered is not None:
            first, second = (_plain(Decimal(str(part)) * 1_000_000) for part in (given, answered))
            return [f"hindcast prices set {model} --input {first} --output {second}"]
    except InvalidOperation:
        pass
    return []


def _plain(amount: Decimal) -> str:
    return f"{amount.normalize():f}"
