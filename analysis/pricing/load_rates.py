"""The price rows of the models in some traffic, the user's overrides applied, ready for the kernel."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date
from typing import Final

import duckdb

from analysis.calendar_days import utc_day_ms
from analysis.price_book.book import (
    FIRST_OVERRIDE_ID,
    append_rows,
    price_rows,
    stored_rows,
    stored_version,
)
from analysis.price_book.rows import HISTORY, Key, PriceRow, extend_first_price_backwards
from analysis.price_book.vocabulary import NO_TIME
from analysis.pricing.model_names import catalogue_provider, load_aliases, region_in_name, resolve_all
from analysis.pricing.rate_table import Rate, RateTable
from analysis.pricing.stored_overrides import load_overrides

Scope = Sequence[str | None]  # (provider, model[, region[, agent, account]]) as logged


REGIONAL: Final = 0  # the owner of rows that a regional rule made; overrides count from 1


def load_rates(
    con: duckdb.DuckDBPyConnection, names: Sequence[Scope], *, register: bool = False, overrides: bool = True
) -> RateTable:
    """Rates of logged (provider, model) pairs; the position in `names` is the model index.

    What a rule or an override says of a region, agent or account holds only for names that carry it. With `register`
    (and a connection that may write) rows that are not the book's are put into `prices`, so that every cost has a price
    id. Without `overrides` at list.
    """
    resolved = resolve_all(con, [(name[0], name[1]) for name in names])
    rows, as_of = price_rows(con, [found.key for found in resolved if found.key is not None])
    mine = load_overrides(con) if overrides else []
    free = {number for number, item in mine if item.kind == "zero"}
    aliases = load_aliases(con) if mine else {}
    models: list[list[tuple[int, PriceRow, int | None]]] = []
    for name, found in zip(names, resolved, strict=True):
        base = extend_first_price_backwards(rows[found.key]) if found.key else []
        region = (name[2] if len(name) > 2 else None) or region_in_name(name[1])
        if region and base:
            base = in_region(base, name, region)
        if not mine:
            models.append([(price_id, row, REGIONAL if price_id < 0 else None) for price_id, row in base])
            continue
        from analysis.pricing.overrides import apply_overrides, matching_overrides

        own = matching_overrides(mine, name, found.key, aliases)
        key: Key = found.key or (name[0] or "", name[1] or "")
        models.append(
            [
                (price_id, row, REGIONAL if price_id < 0 and owner is None else owner)
                for price_id, row, owner in apply_overrides(base, own, key)
            ]
        )
    ids = _override_ids(con, models, register=register)
    return RateTable.build(
        [
            [
                to_rate(price_id if owner is None else ids.get(row, -1), row, zero=owner in free)
                for price_id, row, owner in model
            ]
            for model in models
        ],
        as_of_ms=utc_day_ms(as_of),
    )


def in_region(rows: list[tuple[int, PriceRow]], name: Scope, region: str) -> list[tuple[int, PriceRow]]:
    """The rows of a model as the logged provider bills them in a region; rows that a rule made have the id -1."""
    from analysis.price_book.history import load_history  # a schema library
    from analysis.price_book.rules import regional_rows

    prefix = (name[1] or "").partition("/")[0] if "/" in (name[1] or "") else None
    served_by = catalogue_provider(name[0]) or catalogue_provider(prefix) or rows[0][1].provider
    return regional_rows(rows, load_history(HISTORY).regional_rules, served_by, region) or rows


def to_rate(price_id: int, row: PriceRow, *, zero: bool = False) -> Rate:
    """The row as the kernel reads it."""
    return Rate(
        price_id=price_id,
        tier=row.tier,
        rates=row.prices,
        from_ms=NO_TIME + 1 if row.effective_from is None else utc_day_ms(date.fromisoformat(row.effective_from)),
        to_ms=utc_day_ms(date.fromisoformat(row.effective_to)) if row.effective_to else 2**63 - 1,
        tod_from_ms=row.tod_from * 60_000,
        tod_to_ms=row.tod_to * 60_000,
        above_tokens=-1 if row.above_tokens is None else row.above_tokens,
        upto_tokens=2**63 - 1 if row.upto_tokens is None else row.upto_tokens,
        guessed=row.confidence == "low",
        zero=zero,
    )


def _override_ids(
    con: duckdb.DuckDBPyConnection, models: Sequence[Sequence[tuple[int, PriceRow, int | None]]], *, register: bool
) -> dict[PriceRow, int]:
    """Price ids of rows that are not the book's: as stored, and new ones for rows that are not stored yet."""
    wanted = {row: owner for model in models for _, row, owner in model if owner is not None}
    if not wanted:
        return {}
    known: dict[PriceRow, int] = {}
    if stored_version(con) is not None:
        known = {row: number for number, row in stored_rows(con, "price_id >= ?", [FIRST_OVERRIDE_ID])}
    new = [row for row in wanted if row not in known]
    if new and register:
        first = max(known.values(), default=FIRST_OVERRIDE_ID - 1) + 1
        added = list(enumerate(new, start=first))
        append_rows(con, added, stored_version(con) or "", [wanted[row] or None for row in new])
        known |= {row: number for number, row in added}
    return known
