"""The user's own prices as the store holds them; what they mean is `analysis.pricing.overrides`, loaded where there
are any."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from difflib import get_close_matches
from typing import TYPE_CHECKING

import duckdb

from analysis.price_book.book import compile_book, kind_columns
from analysis.price_book.vocabulary import KINDS
from analysis.pricing.model_names import resolve_with
from ingest.errors import PriceError
from ingest.store.database import columns_of, has_tables

if TYPE_CHECKING:
    from analysis.pricing.overrides import Override

_PRICE_COLUMNS = ", ".join(f"{kind} DECIMAL(18,9)" for kind in KINDS)
CREATE_OVERRIDES = f"""
    CREATE TABLE IF NOT EXISTS price_overrides (
        override_id INTEGER, provider VARCHAR, model VARCHAR, account VARCHAR, agent VARCHAR, tier VARCHAR,
        effective_from DATE, effective_until DATE, kind VARCHAR, {_PRICE_COLUMNS}, multiplier DECIMAL(18,9),
        per_hour DECIMAL(18,9), basis VARCHAR, note VARCHAR, region VARCHAR)
"""
CREATE_ALIASES = "CREATE TABLE IF NOT EXISTS model_aliases (alias VARCHAR, provider VARCHAR, model VARCHAR)"


def load_overrides(con: duckdb.DuckDBPyConnection) -> list[tuple[int, Override]]:
    """Every override in the order it was set."""
    if not has_tables(con, "price_overrides"):
        return []
    region = "region" if "region" in columns_of(con, "price_overrides") else "NULL::VARCHAR AS region"
    rows = con.execute(
        f"""SELECT override_id, provider, model, account, agent, {region}, tier, effective_from, effective_until, kind,
                   multiplier, per_hour, basis, note, {kind_columns(con, "price_overrides")}
            FROM price_overrides ORDER BY override_id"""
    ).fetchall()
    if not rows:
        return []
    from analysis.pricing.overrides import parse_override

    return [
        (
            row[0],
            parse_override(
                match=dict(zip(("provider", "model", "account", "agent", "region"), row[1:6], strict=True)),
                tier=row[6], start=row[7], end=row[8], zero=row[9] == "zero", multiplier=row[10], per_hour=row[11],
                basis=row[12], note=row[13] or "", **dict(zip(KINDS, row[14:], strict=True)),
            ),
        )
        for row in rows
    ]  # fmt: skip


def scope_length(overrides: Sequence[tuple[int, Override]]) -> int:
    """How much of (provider, model, region, agent, account) the overrides look at: 2, 3 or 5 of them."""
    if any(item.match.agent is not None or item.match.account is not None for _, item in overrides):
        return 5
    return 3 if any(item.match.region is not None for _, item in overrides) else 2


def store_overrides(con: duckdb.DuckDBPyConnection, overrides: Sequence[Override], *, replace_all: bool) -> None:
    """Append overrides, after emptying the table if `replace_all`. They take effect with the next reprice."""
    con.execute(CREATE_OVERRIDES)
    for column in (*(f"{kind} DECIMAL(18,9)" for kind in KINDS), "region VARCHAR"):  # a table of an older schema
        con.execute(f"ALTER TABLE price_overrides ADD COLUMN IF NOT EXISTS {column}")
    if replace_all:
        con.execute("DELETE FROM price_overrides")
    first = con.execute("SELECT coalesce(max(override_id), 0) + 1 FROM price_overrides").fetchall()[0][0]
    for number, item in enumerate(overrides, start=first):
        row = {
            "override_id": number, **item.match.model_dump(), "tier": item.tier, "effective_from": item.start,
            "effective_until": item.end, "kind": item.kind, **{kind: getattr(item, kind) for kind in KINDS},
            "multiplier": item.multiplier, "per_hour": item.per_hour, "basis": item.basis, "note": item.note,
        }  # fmt: skip
        con.execute(
            f"INSERT INTO price_overrides ({', '.join(row)}) VALUES ({', '.join('?' * len(row))})", list(row.values())
        )


def store_aliases(con: duckdb.DuckDBPyConnection, aliases: dict[str, str], *, replace_all: bool) -> None:
    """Remember what logged names mean; a name that had a meaning gets the new one."""
    con.execute(CREATE_ALIASES)
    if replace_all:
        con.execute("DELETE FROM model_aliases")
    for alias, target in sorted(aliases.items()):
        con.execute("DELETE FROM model_aliases WHERE lower(alias) = lower(?)", [alias])
        con.execute("INSERT INTO model_aliases VALUES (?, NULL, ?)", [alias, target])


def remove_override(con: duckdb.DuckDBPyConnection, number: int) -> None:
    """Delete one override by its number. Raises PriceError if there is none."""
    con.execute(CREATE_OVERRIDES)
    found = con.execute("DELETE FROM price_overrides WHERE override_id = ? RETURNING override_id", [number]).fetchall()
    if not found:
        raise PriceError(f"there is no override {number}", remedy="See them with: hindcast prices list --overrides")


def check_aliases(
    con: duckdb.DuckDBPyConnection, aliases: Mapping[str, str], overrides: Sequence[Override], *, replace_all: bool
) -> None:
    """Raise PriceError, with the nearest names, for an alias to a model that has no price: neither in the book nor by
    one of `overrides` or, unless they will be replaced, by one that was set before."""
    from analysis.pricing.overrides import matching_overrides

    held = [] if replace_all else [item for _, item in load_overrides(con)]
    own = list(enumerate([*held, *overrides]))
    for alias, target in aliases.items():
        means = {alias.strip().lower(): (None, target)}
        logged = con.execute(
            "SELECT DISTINCT provider_name, model FROM calls WHERE lower(trim(model)) = ? ORDER BY ALL",
            [alias.strip().lower()],
        ).fetchall()
        for provider, model in logged or [(None, alias)]:
            found = resolve_with(means, provider, model)
            if found.key is None and not matching_overrides(own, (provider, model), None, means):
                raise PriceError(
                    f"no price is known for '{target}', so '{alias}' would lose its own", remedy=near_models(target)
                )


def near_models(model: str) -> str:
    """A remedy for a model without a price: names near it, or how to set a price."""
    known = {row.key for row in compile_book().rows}
    own = f"set its price first: hindcast prices set {model} --input USD --output USD"
    # the name of a model that only some providers sell is not enough
    close = sorted(f"{provider}/{name}" for provider, name in known if name == model.lower())[:3]
    if not close:
        names = {f"{provider}/{name}" for provider, name in known} | {name for _, name in known}
        close = get_close_matches(model.lower(), sorted(names), n=3, cutoff=0.6)
    return (
        f"Did you mean {' or '.join(close)}? Else {own}"
        if close
        else f"Look one up: hindcast prices list PART. Or {own}"
    )


def unused_overrides(con: duckdb.DuckDBPyConnection, items: Sequence[Override]) -> list[Override]:
    """The overrides that match no call of the store, whatever its day and tier."""
    from analysis.pricing.overrides import matches

    names = con.execute("SELECT DISTINCT provider_name, model, region, agent, team FROM calls").fetchall()
    return [item for item in items if not any(matches(item, name) for name in names)]
