"""What a model can take and do: context window, answer limit, tools, vision, tokenizer. None where unknown."""

from __future__ import annotations

from dataclasses import dataclass
from fnmatch import fnmatchcase
from functools import cache
from pathlib import Path
from typing import Any

import yaml

from analysis.price_book.history import load_history
from analysis.price_book.rows import HISTORY, Key
from analysis.pricing.model_names import resolve

Pair = tuple[str | None, str | None]  # provider, model

CAPABILITIES = Path(__file__).with_name("models.yaml")


@dataclass(frozen=True)
class ModelInfo:
    """Limits and abilities of one model. A field is None where no source says it."""

    context_window: int | None = None
    max_output_tokens: int | None = None
    supports_tools: bool | None = None
    supports_vision: bool | None = None
    supports_schema: bool | None = None  # answers that follow a JSON schema
    encoding: str | None = None  # tiktoken's name, for OpenAI models only


@cache
def model_info(provider: str | None, model: str | None) -> ModelInfo:
    """By the exact name first, then by the price model that it resolves to; memoised."""
    found = resolve(provider, model)
    names = ((model or "").split("/")[-1].lower(), found.key[1].split("/")[-1] if found.key else "")
    window = _window(found.key) if found.key else None
    facts: dict[str, Any] = {}
    for name in names:
        for entry in _entries():
            if any(fnmatchcase(name, glob) for glob in entry["match"]):
                facts = {**{k: v for k, v in entry.items() if k not in ("match", "source")}, **facts}
                break
        if facts:
            break
    if window is not None:
        facts.setdefault("context_window", window)
    return ModelInfo(**facts)


def counts_alike(one: Pair, other: Pair) -> bool:
    """Whether two models count alike as far as is known: one public tokenizer, or one provider with none public."""
    before, after = model_info(*one).encoding, model_info(*other).encoding
    return before == after and (before is not None or one[0] == other[0] or one[1] == other[1])


@cache
def _windows() -> dict[Key, int]:
    return load_history(HISTORY).windows()


def _window(key: Key) -> int | None:
    """The context window that the history or the catalogue states."""
    from genai_prices.data import providers

    if key in _windows():
        return _windows()[key]
    return next((m.context_window for p in providers if p.id == key[0] for m in p.models if m.id == key[1]), None)


@cache
def _entries() -> list[dict[str, Any]]:
    return list(yaml.safe_load(CAPABILITIES.read_text("utf-8"))["models"])
