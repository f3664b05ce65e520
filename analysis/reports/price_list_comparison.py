"""Where another price list disagrees with ours, for the models that the calls really used: litellm's JSON.

No list is right by itself: the difference is shown with the dollars that hang on it, for a person to look up.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date
from decimal import Decimal
from pathlib import Path
from typing import Any, Final

from analysis.formatting import usd
from analysis.reports.price_explanation import ModelPrices
from ingest.errors import InputError
from ingest.store.database import Store

# our token kind -> litellm's key, in USD per token
KEYS: Final = {
    "input": "input_cost_per_token",
    "cache_read": "cache_read_input_token_cost",
    "cache_write": "cache_creation_input_token_cost",
    "output": "output_cost_per_token",
}
_COUNTS: Final = {
    "input": "sum(input_tokens - coalesce(cache_read_input_tokens, 0) - coalesce(cache_creation_input_tokens, 0))",
    "cache_read": "sum(cache_read_input_tokens)",
    "cache_write": "sum(cache_creation_input_tokens)",
    "output": "sum(output_tokens)",
}


@dataclass(frozen=True)
class Difference:
    """One token kind of one model: prices in USD per million tokens, and what the difference is worth."""

    provider: str | None
    model: str
    kind: str
    ours: Decimal | None
    theirs: Decimal | None
    tokens: int
    usd_at_stake: Decimal | None  # theirs - ours over the tokens used

    def to_json(self) -> dict[str, Any]:
        """Plain values: dollars as decimal strings."""
        return {
            "provider": self.provider, "model": self.model, "token_kind": self.kind, "ours": usd(self.ours),
            "theirs": usd(self.theirs), "tokens": self.tokens, "usd_at_stake": usd(self.usd_at_stake),
        }  # fmt: skip


def load_litellm(path: Path) -> dict[str, Mapping[str, Any]]:
    """litellm's `model_prices_and_context_window.json`, with prices as exact decimals."""
    try:
        data = json.loads(path.read_text("utf-8"), parse_float=Decimal)
    except OSError as error:
        raise InputError(f"cannot be read: {error.strerror}", where=str(path)) from error
    except ValueError as error:
        raise InputError(f"not JSON: {error}", where=str(path)) from error
    known: dict[str, Mapping[str, Any]] = {}
    if isinstance(data, dict):
        known = {name.lower(): entry for name, entry in data.items() if isinstance(entry, dict)}
    if not any(set(KEYS.values()) & set(entry) for entry in known.values()):
        raise InputError(
            "no prices of litellm's kind in this file",
            where=str(path),
            remedy="Expected model_prices_and_context_window.json from the litellm repository.",
        )
    return known


def compare(store: Store, path: Path, at: date) -> tuple[list[Difference], list[str]]:
    """(differences, models that the file does not have), dearest first. Standard tier, short requests, on day `at`."""
    theirs = load_litellm(path)
    counts = ", ".join(f"coalesce({sql}, 0)::BIGINT" for sql in _COUNTS.values())
    differences: list[Difference] = []
    missing: list[str] = []
    with store.read() as con:
        used = con.execute(
            f"""SELECT provider_name, model, {counts} FROM calls WHERE model IS NOT NULL
                GROUP BY ALL ORDER BY provider_name, model"""
        ).fetchall()
        for provider, model, *tokens in used:
            entry = next((theirs[name] for name in _names(provider, model) if name in theirs), None)
            if entry is None:
                missing.append("/".join(part for part in (provider, model) if part))
                continue
            row = ModelPrices(con, provider, model).at(at).row
            prices = row["usd_per_million"] if row else {}
            for kind, count in zip(KEYS, tokens, strict=True):
                mine = _decimal(prices.get(kind))
                other = entry.get(KEYS[kind])
                other = None if other is None else Decimal(other) * 1_000_000
                if mine == other or (mine is None and not other) or (other is None and not mine):
                    continue
                stake = None if mine is None or other is None else (other - mine) * count / 1_000_000
                differences.append(Difference(provider, model, kind, mine, other, count, stake))
    differences.sort(key=lambda d: (-abs(d.usd_at_stake or Decimal(0)), d.provider or "", d.model, d.kind))
    return differences, missing


def _names(provider: str | None, model: str) -> list[str]:
    """litellm's keys for a logged model, most exact first."""
    bare = model.lower()
    return [f"{provider.lower()}/{bare}", bare] if provider else [bare, bare.rsplit("/", 1)[-1]]


def _decimal(text: str | None) -> Decimal | None:
    return None if text is None or text.startswith("as ") else Decimal(text)
