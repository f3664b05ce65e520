"""Price rows as people read them: of the models in a store, or of any model by name."""

from __future__ import annotations

from dataclasses import dataclass
from decimal import Decimal
from typing import Any

from analysis.formatting import tokens, usd
from analysis.price_book.book import compile_book, price_rows
from analysis.price_book.rows import Key, PriceRow
from analysis.price_book.vocabulary import KINDS
from analysis.pricing.model_names import load_aliases, resolve_all
from analysis.pricing.overrides import Override
from analysis.pricing.stored_overrides import load_overrides
from ingest.errors import PriceError
from ingest.store.database import Store


@dataclass(frozen=True)
class PriceList:
    """Rows by model, tier and date; `unresolved` are logged names without a price."""

    version: str
    rows: list[dict[str, Any]]
    models: int
    unresolved: list[str]
    loose: list[tuple[str, str]]  # logged name and the rule that matched it with low confidence

    def to_json(self) -> dict[str, Any]:
        """The document of `hindcast prices list --json`: dollars as decimal strings."""
        rows = [{k: usd(v) if isinstance(v, Decimal) else v for k, v in row.items()} for row in self.rows]
        return {
            "price_book_version": self.version,
            "rows": rows,
            "unresolved": self.unresolved,
            "loosely_matched": [{"name": name, "rule": rule} for name, rule in self.loose],
        }


def list_rows(store: Store, name: str | None = None) -> PriceList:
    """Of every model whose name contains `name`, else of the models that the store's calls used."""
    book = compile_book()
    unresolved: list[str] = []
    loose: list[tuple[str, str]] = []
    imported: dict[Key, list[PriceRow]] = {}
    if name is not None:
        keys = {row.key for row in book.rows if name.lower() in f"{row.provider}/{row.model}".lower()}
        if not keys:
            raise PriceError(f"no model's name contains '{name}'", remedy="Set a price with: hindcast prices set")
    else:
        with store.read() as con:
            names = con.execute("SELECT DISTINCT provider_name, model FROM calls ORDER BY ALL").fetchall()
            found = resolve_all(con, names)
            lists = [hit.key for hit in found if hit.key is not None and hit.key[0].startswith("list ")]
            imported = (
                {key: [row for _, row in rows] for key, rows in price_rows(con, lists)[0].items()} if lists else {}
            )
        keys = {hit.key for hit in found if hit.key is not None}
        for pair, hit in zip(names, found, strict=True):
            label = "/".join(part for part in pair if part) or "(no model)"
            if hit.key is None:
                unresolved.append(label)
            elif hit.confidence == "low":
                loose.append((label, f"{'/'.join(hit.key)} by {hit.rule}"))
    rows = [_readable(row) for key in sorted(keys) for row in [*book.of(key), *imported.get(key, ())]]
    return PriceList(book.version, rows, len(keys), unresolved, loose)


def list_overrides(store: Store) -> dict[str, Any]:
    """The user's own prices and aliases, in the order they were set."""
    with store.read() as con:
        own = load_overrides(con)
        aliases = load_aliases(con)
    return {
        "overrides": [{"override_id": number, "text": describe(item)} for number, item in own],
        "aliases": {alias: "/".join(part for part in target if part) for alias, target in aliases.items()},
    }


def describe(item: Override) -> str:
    """One override in a line."""
    match = ", ".join(f"{name} {glob}" for name, glob in vars(item.match).items() if glob)
    if item.kind == "zero":
        what = "costs nothing"
    elif item.kind == "multiplier":
        what = f"{usd(item.multiplier)} x the list price"
    elif item.kind == "per_hour":
        what = f"${usd(item.per_hour)} per {'busy' if item.basis == 'busy' else 'clock'} hour"
    else:
        what = ", ".join(f"{kind} {usd(getattr(item, kind))}" for kind in KINDS if getattr(item, kind) is not None)
    days = "".join(f", {word} {day}" for word, day in (("from", item.start), ("until", item.end)) if day)
    return f"{match}: {what}{days}" + (f" ({item.note})" if item.note else "")


def _readable(row: PriceRow) -> dict[str, Any]:
    size = "any"
    if row.above_tokens is not None:
        size = f"over {tokens(row.above_tokens)}"
    elif row.upto_tokens is not None:
        size = f"up to {tokens(row.upto_tokens)}"
    if (row.tod_from, row.tod_to) != (0, 1440):
        size += f", {_clock(row.tod_from)}-{_clock(row.tod_to)} UTC"
    prices = {
        kind: None if nano is None else Decimal(nano).scaleb(-9) for kind, nano in zip(KINDS, row.prices, strict=True)
    }
    return {
        "provider": row.provider, "model": row.model, "tier": row.tier, "effective_from": row.effective_from,
        "effective_to": row.effective_to, "size": size, **prices, "source": row.source, "confidence": row.confidence,
    }  # fmt: skip


def _clock(minute: int) -> str:
    return f"{minute // 60:02d}:{minute % 60:02d}"
