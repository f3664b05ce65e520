"""Price lists that others publish, as rows of a book of the user's own: LiteLLM's map, models.dev's api.json and
OpenRouter's list of models (shapes read 2026-11).

No list has dates: its rows hold from the day that is named at import, the first import's always, until a later import.
They are used for what our own book lacks, at low confidence; their source names the list, the file's hash and the day.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import date
from decimal import Decimal, InvalidOperation
from pathlib import Path
from typing import Any, Final

import duckdb

from analysis.price_book.book import CREATE_PRICES, append_rows
from analysis.price_book.provider_names import PROVIDERS
from analysis.price_book.rows import Key, PriceRow, nano_dollars
from analysis.price_book.vocabulary import KINDS
from ingest.errors import InputError
from ingest.store.database import has_tables

FIRST_IMPORTED_ID: Final = 1_500_000_000  # ids from here on are of imported lists
LISTS: Final = {"litellm": "LiteLLM's map", "models.dev": "models.dev", "openrouter": "OpenRouter's models"}
_MILLION, _THOUSAND = Decimal(1_000_000), Decimal(1_000)
# our kind -> LiteLLM's key, in USD per token
_LITELLM: Final = {
    "input": "input_cost_per_token", "cache_read": "cache_read_input_token_cost",
    "cache_write": "cache_creation_input_token_cost", "cache_write_1h": "cache_creation_input_token_cost_above_1hr",
    "output": "output_cost_per_token", "reasoning": "output_cost_per_reasoning_token",
    "audio_input": "input_cost_per_audio_token", "audio_cache_read": "cache_read_input_audio_token_cost",
    "audio_output": "output_cost_per_audio_token", "image_input": "input_cost_per_image_token",
    "image_cache_read": "cache_read_input_image_token_cost", "image_output": "output_cost_per_image_token",
}  # fmt: skip
_LITELLM_TIERS: Final = {"standard": "", "batch": "_batches", "flex": "_flex", "priority": "_priority"}
_ABOVE: Final = re.compile(r"^input_cost_per_token_above_(\d+)k_tokens$")
_MODELS_DEV: Final = {
    "input": "input", "cache_read": "cache_read", "cache_write": "cache_write", "output": "output",
    "reasoning": "reasoning", "audio_input": "input_audio", "audio_output": "output_audio",
}  # fmt: skip
_OPENROUTER: Final = {
    "input": "prompt", "output": "completion", "cache_read": "input_cache_read", "cache_write": "input_cache_write",
    "reasoning": "internal_reasoning", "audio_input": "audio",
}  # fmt: skip
_OPENROUTER_USES: Final = {"per_request": "request", "web_search": "web_search"}  # USD each


@dataclass(frozen=True)
class ListedPrice:
    """One price of a list: USD per million tokens or per thousand uses, for a host's model, tier and request size."""

    provider: str
    model: str
    tier: str
    above_tokens: int | None
    upto_tokens: int | None
    prices: Mapping[str, Decimal]


@dataclass(frozen=True)
class PriceList:
    """A list as read from a file."""

    name: str  # one of LISTS
    prices: tuple[ListedPrice, ...]
    sha256: str

    @property
    def models(self) -> int:
        """The number of (host, model) pairs with a price."""
        return len({(price.provider, price.model) for price in self.prices})


def read_price_list(path: Path) -> PriceList:
    """The list in a file, by its shape. Raises InputError where it cannot be read, is none of LISTS or has no price."""
    try:
        data = path.read_bytes()
        document = json.loads(data, parse_float=Decimal)
    except OSError as error:
        raise InputError(f"cannot be read: {error.strerror}", where=str(path)) from error
    except (ValueError, RecursionError) as error:
        raise InputError(f"not JSON: {error}", where=str(path)) from error
    name, found = "", list[ListedPrice]()
    if isinstance(document, dict) and isinstance(document.get("data"), list):
        name, found = "openrouter", list(_openrouter(document["data"]))
    elif isinstance(document, dict) and any(
        isinstance(entry, dict) and isinstance(entry.get("models"), dict) for entry in document.values()
    ):
        name, found = "models.dev", list(_models_dev(document))
    elif isinstance(document, dict):
        name, found = "litellm", list(_litellm(document))
    if not found:
        raise InputError(
            "no prices that are known here",
            where=str(path),
            remedy="Expected LiteLLM's model_prices_and_context_window.json, models.dev's api.json or OpenRouter's "
            "/api/v1/models.",
        )
    return PriceList(name, tuple(found), hashlib.sha256(data).hexdigest())


def _amount(value: Any, factor: Decimal) -> Decimal | None:
    """A price times `factor`; None where there is none, and where it is negative, which means that it varies."""
    if value is None or isinstance(value, bool | dict | list):
        return None
    try:
        amount = Decimal(str(value)) * factor
    except InvalidOperation:
        return None
    return amount if amount.is_finite() and 0 <= amount < 10**9 else None


def _prices(entry: Mapping[str, Any], keys: Mapping[str, str], factor: Decimal, suffix: str = "") -> dict[str, Decimal]:
    found = {kind: _amount(entry.get(key + suffix), factor) for kind, key in keys.items()}
    return {kind: price for kind, price in found.items() if price is not None}


def _litellm(document: Mapping[str, Any]) -> Iterator[ListedPrice]:
    for name, entry in document.items():
        if not isinstance(entry, dict) or name == "sample_spec":
            continue
        provider = str(entry.get("litellm_provider") or "")
        model = name.removeprefix(f"{provider}/") if provider else name
        steps = entry.get("tiered_pricing")
        for tier, suffix in _LITELLM_TIERS.items():
            base = _prices(entry, _LITELLM, _MILLION, suffix)
            if suffix and "input" not in base:
                continue
            if tier == "standard" and isinstance(steps, list) and steps:
                yield from _by_range(provider, model, steps)
                continue
            if not any(base.get(kind) for kind in ("input", "output")):  # LiteLLM writes zero for what it does not know
                continue
            search = entry.get("search_context_cost_per_query")
            each = _amount(search.get("search_context_size_medium"), _THOUSAND) if isinstance(search, dict) else None
            if each is not None and provider != "perplexity":
                base["web_search"] = each
            sizes = sorted(int(match[1]) * 1000 for key in entry if (match := _ABOVE.match(key)))
            for low, high in zip([None, *sizes], [*sizes, None], strict=True):
                own = _prices(entry, _LITELLM, _MILLION, f"_above_{low // 1000}k_tokens{suffix}") if low else {}
                yield ListedPrice(provider, model, tier, low, high, base | own)


def _by_range(provider: str, model: str, steps: list[Any]) -> Iterator[ListedPrice]:
    known = [step for step in steps if isinstance(step, dict) and isinstance(step.get("range"), list)]
    for number, step in enumerate(known):
        low = int(step["range"][0]) or None
        high = int(known[number + 1]["range"][0]) if number + 1 < len(known) else None
        prices = _prices(step, _LITELLM, _MILLION)
        if "input" in prices:
            yield ListedPrice(provider, model, "standard", low, high, prices)


def _models_dev(document: Mapping[str, Any]) -> Iterator[ListedPrice]:
    for provider, host in document.items():
        for model, entry in (host.get("models") or {}).items() if isinstance(host, dict) else ():
            cost = entry.get("cost") if isinstance(entry, dict) else None
            if not isinstance(cost, dict):
                continue
            base = _prices(cost, _MODELS_DEV, Decimal(1))
            if not any(base.get(kind) for kind in ("input", "output")):  # zero: a plan's model, or one not known
                continue
            long = cost.get("context_over_200k")
            if isinstance(long, dict):
                above = base | _prices(long, _MODELS_DEV, Decimal(1))
                yield ListedPrice(provider, model, "standard", None, 200_000, base)
                yield ListedPrice(provider, model, "standard", 200_000, None, above)
            else:
                yield ListedPrice(provider, model, "standard", None, None, base)


def _openrouter(models: list[Any]) -> Iterator[ListedPrice]:
    for entry in models:
        pricing = entry.get("pricing") if isinstance(entry, dict) else None
        if not isinstance(pricing, dict) or not isinstance(entry.get("id"), str):
            continue
        prices = _prices(pricing, _OPENROUTER, _MILLION) | _prices(pricing, _OPENROUTER_USES, _THOUSAND)
        prices = {kind: price for kind, price in prices.items() if price or kind in ("input", "output")}
        if "input" in prices and (any(prices.values()) or entry["id"].endswith(":free")):
            yield ListedPrice("openrouter", entry["id"], "standard", None, None, prices)


# -- in the store ------------------------------------------------------------------------------------------------------


def store_price_list(con: duckdb.DuckDBPyConnection, found: PriceList, day: date) -> None:
    """Put a list into `prices`, valid from `day`: what an earlier import of it said ends there."""
    con.execute(CREATE_PRICES)
    for kind in KINDS:
        con.execute(f"ALTER TABLE prices ADD COLUMN IF NOT EXISTS {kind} DECIMAL(18,9)")
    mine = "price_id >= ? AND provider = ?"
    con.execute(
        f"DELETE FROM prices WHERE {mine} AND effective_from >= ?", [FIRST_IMPORTED_ID, list_key(found.name), day]
    )
    con.execute(
        f"UPDATE prices SET effective_to = ? WHERE {mine} AND effective_to IS NULL",
        [day, FIRST_IMPORTED_ID, list_key(found.name)],
    )
    earlier = con.execute(f"SELECT 1 FROM prices WHERE {mine} LIMIT 1", [FIRST_IMPORTED_ID, list_key(found.name)])
    start = day.isoformat() if earlier.fetchall() else None  # the first one holds for all earlier days too
    source = f"{LISTS[found.name]}, imported as of {day.isoformat()} ({found.sha256[:12]})"
    rows = [
        PriceRow(
            list_key(found.name), f"{host(price.provider)}/{price.model.lower()}", price.tier, start, None,
            0, 1440, price.above_tokens, price.upto_tokens,
            tuple(nano_dollars(price.prices.get(kind)) for kind in KINDS), source, "low",
        )
        for price in found.prices
    ]  # fmt: skip
    unique = {(row.model, row.tier, row.above_tokens): row for row in rows}  # of two spellings the last
    first = con.execute("SELECT coalesce(max(price_id), 0) + 1 FROM prices").fetchall()[0][0]
    append_rows(con, list(enumerate(unique.values(), start=max(first, FIRST_IMPORTED_ID))), source)


def remove_price_list(con: duckdb.DuckDBPyConnection, name: str) -> None:
    """Forget every price of a list. Raises InputError where none was imported."""
    gone = con.execute(
        "DELETE FROM prices WHERE price_id >= ? AND provider = ? RETURNING 1", [FIRST_IMPORTED_ID, list_key(name)]
    ).fetchall()
    if not gone:
        raise InputError(f"no price list '{name}' was imported", remedy=f"Known lists: {', '.join(LISTS)}")


def list_key(name: str) -> str:
    """The price provider of a list's rows, which no provider of the book is called."""
    return f"list {name}"


def host(provider: str) -> str:
    """One spelling for the provider of a log and of a list."""
    plain = provider.strip().lower()
    return PROVIDERS.get(plain, PROVIDERS.get(plain.replace("-", "_"), plain))


@dataclass(frozen=True)
class ImportedNames:
    """Where an imported list prices a logged name."""

    keys: frozenset[Key]  # (list, "host/model")
    hosts: frozenset[str]
    bare: Mapping[str, Key]  # a model that every host of its list sells at one price

    def find(self, provider: str | None, model: str | None) -> Key | None:
        """The key of a logged name: its host's own price; where no list knows the host, the one that all ask."""
        name = (model or "").strip().lower()
        sold_by = host(provider or "")
        for listed in map(list_key, LISTS):
            for candidate in (f"{sold_by}/{name}", name):
                if (listed, candidate) in self.keys:
                    return (listed, candidate)
        return None if sold_by in self.hosts else self.bare.get(name.rpartition("/")[2])


def imported_names(con: duckdb.DuckDBPyConnection) -> ImportedNames | None:
    """What the imported lists price; None where none was imported."""
    if not has_tables(con, "prices"):
        return None
    rows = con.execute(
        """SELECT provider, model, input, output FROM prices WHERE price_id >= ? AND tier = 'standard'
           AND above_tokens IS NULL AND effective_to IS NULL ORDER BY provider, model""",
        [FIRST_IMPORTED_ID],
    ).fetchall()
    if not rows:
        return None
    prices: dict[str, set[tuple[Any, Any]]] = {}
    bare: dict[str, Key] = {}
    for listed, name, into, out in rows:
        model = name.rpartition("/")[2]
        prices.setdefault(model, set()).add((into, out))
        bare.setdefault(model, (listed, name))
    return ImportedNames(
        keys=frozenset((listed, name) for listed, name, *_ in rows),
        hosts=frozenset(name.partition("/")[0] for _, name, *_ in rows),
        bare={model: key for model, key in bare.items() if len(prices[model]) == 1},
    )
