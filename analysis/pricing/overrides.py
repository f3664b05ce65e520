"""The user's own prices: negotiated, regional, self-hosted. They win over the book, for the calls that they match.

An override names calls by globs over provider, model, region, account (the call's team) and agent, in a range of UTC
days, and says what they cost: absolute prices, a multiple of the list price, nothing, or dollars per hour of a machine.
Where several match the same moment, the one that was set last holds alone.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import date
from decimal import Decimal
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any, Literal

import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from analysis.price_book.rows import Key, PriceRow, clip, nano_dollars, scale_price
from analysis.price_book.rules import KindPrices, Price
from analysis.price_book.vocabulary import AS_TEXT, KINDS, TIERS, TOKEN_KINDS
from ingest.errors import PriceError, did_you_mean

Basis = Literal["busy", "hours"]


class Match(BaseModel):
    """Globs, case-insensitive; what is left out matches everything."""

    model_config = ConfigDict(extra="forbid")
    provider: str | None = None
    model: str | None = None
    account: str | None = None
    agent: str | None = None
    region: str | None = None


class Override(KindPrices):
    """One price of the user's own. Exactly one of prices, multiplier, zero and per_hour. Days are UTC, inclusive."""

    match: Match
    multiplier: Price | None = None
    zero: bool = False
    per_hour: Price | None = None
    basis: Basis = "busy"
    tier: str = "standard"
    start: date | None = Field(None, alias="from")
    end: date | None = Field(None, alias="until")
    note: str = ""

    @model_validator(mode="after")
    def _one_meaning(self) -> Override:
        said = [
            name
            for name, given in (
                ("prices", any(getattr(self, kind) is not None for kind in KINDS)),
                ("multiplier", self.multiplier is not None),
                ("zero", self.zero),
                ("per_hour", self.per_hour is not None),
            )
            if given
        ]
        if len(said) != 1:
            raise ValueError(
                "needs its price by exactly one of --input with --output, --multiplier, --zero and --per-hour, "
                f"not {said or 'in none'}"
            )
        if self.tier not in TIERS[:-1]:
            raise ValueError(f"no service tier '{self.tier}': {did_you_mean(self.tier, TIERS[:-1])}")
        if self.start and self.end and self.start > self.end:
            raise ValueError(f"from {self.start} is after until {self.end}")
        if not any(vars(self.match).values()):
            raise ValueError("match names nothing: give a provider, model, account, agent or region")
        return self

    @property
    def kind(self) -> str:
        """One of absolute, multiplier, zero and per_hour."""
        if self.zero:
            return "zero"
        if self.per_hour is not None:
            return "per_hour"
        return "multiplier" if self.multiplier is not None else "absolute"


class OverrideFile(BaseModel):
    """`prices set --file`: the whole set of overrides and aliases; it replaces what was set before."""

    model_config = ConfigDict(extra="forbid")
    overrides: list[Override] = []
    aliases: dict[str, str] = {}  # logged model -> model to price it as, optionally `provider/model`


def load_file(path: Path) -> OverrideFile:
    """Read and check a file of overrides. Raises PriceError naming the entry and the field."""
    try:
        return OverrideFile.model_validate(yaml.safe_load(path.read_text("utf-8")) or {})
    except OSError as error:
        raise PriceError(f"cannot be read: {error.strerror}", where=str(path)) from error
    except yaml.YAMLError as error:
        raise PriceError(f"not readable as YAML: {error}", where=str(path)) from error
    except ValidationError as error:
        raise PriceError(_explain(error), where=str(path)) from error


def parse_override(**values: Any) -> Override:
    """One override from plain values, with an error a person can act on."""
    try:
        return Override.model_validate(values)
    except ValidationError as error:
        raise PriceError(_explain(error)) from error


def _explain(error: ValidationError) -> str:
    first = error.errors()[0]
    place = ".".join(str(part) for part in first["loc"])
    if first["type"] == "extra_forbidden":
        names = (
            list(Match.model_fields)
            if "match" in first["loc"]
            else ["match", "from", "until", *(n for n in Override.model_fields if n not in ("match", "start", "end"))]
        )
        return f"no field '{first['loc'][-1]}' at {place}. {did_you_mean(str(first['loc'][-1]), names)}"
    return f"{place + ': ' if place else ''}{first['msg'].removeprefix('Value error, ')}"


def matches(item: Override, name: Sequence[str | None]) -> bool:
    """Whether the override speaks for a logged (provider, model[, region[, agent, account]])."""
    provider, model, region, agent, account = (*name, None, None, None)[:5]
    wanted = (
        (item.match.provider, provider), (item.match.model, model), (item.match.region, region),
        (item.match.agent, agent), (item.match.account, account),
    )  # fmt: skip
    return all(
        glob is None or (value is not None and fnmatchcase(value.lower(), glob.lower())) for glob, value in wanted
    )


def matching_overrides(
    overrides: Sequence[tuple[int, Override]],
    name: Sequence[str | None],
    key: Key | None,
    aliases: Mapping[str, tuple[str | None, str]],
) -> list[tuple[int, Override]]:
    """The overrides that hold for a logged name: those that match the model, or `provider/model`; and where an alias
    leads to a model without a list price (`key` is None), those that match that model."""
    names = [name]
    if name[0] and name[1] and "/" not in name[1]:
        names.append((name[0], f"{name[0]}/{name[1]}", *name[2:]))
    target = aliases.get((name[1] or "").strip().lower()) if key is None else None
    if target is not None:
        provider, _, model = target[1].rpartition("/")
        names += [(name[0], target[1], *name[2:]), (target[0] or provider or name[0], model, *name[2:])]
    return [entry for entry in overrides if any(matches(entry[1], one) for one in names)]


def apply_overrides(
    rows: Sequence[tuple[int, PriceRow]], overrides: Sequence[tuple[int, Override]], key: Key
) -> list[tuple[int, PriceRow, int | None]]:
    """The rows of one model under its overrides: (price id or -1 for a new row, row, override number or None).

    `overrides` match the model already, in the order set. Rows are cut at the days where an override begins or ends.
    """
    result: list[tuple[int, PriceRow, int | None]] = [(price_id, row, None) for price_id, row in rows]
    for number, item in overrides:
        start = item.start.isoformat() if item.start else None
        last = item.end if item.end != date.max else None  # there is no day after it
        end = date.fromordinal(last.toordinal() + 1).isoformat() if last else None
        tiers = (item.tier,) if item.kind == "absolute" else TIERS[:-1]
        outside: list[tuple[int, PriceRow, int | None]] = []
        for price_id, row, owner in result:
            if row.tier not in tiers:
                outside.append((price_id, row, owner))
                continue
            before = clip(row, None, start) if start else None
            after = clip(row, end, None) if end else None
            for part in (before, after):
                if part is not None:
                    outside.append((price_id, part, owner))
        inside: list[tuple[int, PriceRow, int | None]] = [
            (-1, row, number) for row in _inside(item, number, rows, key, start, end)
        ]
        result = outside + inside
    return result


def _inside(
    item: Override, number: int, rows: Sequence[tuple[int, PriceRow]], key: Key, start: str | None, end: str | None
) -> list[PriceRow]:
    source = f"override {number}" + (f": {item.note}" if item.note else "")
    blank = PriceRow(
        key[0], key[1], item.tier, start, end, 0, 1440, None, None, (None,) * len(KINDS), source, "high"
    )  # fmt: skip
    if item.kind == "per_hour":
        return [replace(blank, tier=tier) for tier in TIERS[:-1]]
    if item.kind == "zero":
        free = tuple(0 for _ in KINDS)
        return [replace(blank, tier=tier, prices=free) for tier in TIERS[:-1]]
    own = [clip(row, start, end) for _, row in rows]
    listed = [row for row in own if row is not None]
    if item.kind == "multiplier":
        factor = item.multiplier or Decimal(0)
        return [
            replace(
                row,
                prices=tuple(
                    scale_price(nano, factor) if nano is not None and kind in TOKEN_KINDS else nano
                    for nano, kind in zip(row.prices, KINDS, strict=True)
                ),
                source=source,
            )
            for row in listed
        ]
    given = {kind: nano_dollars(getattr(item, kind)) for kind in KINDS}
    base = [row for row in listed if row.tier == item.tier and row.above_tokens is None] or [blank]
    return [
        replace(row, upto_tokens=None, prices=_replaced(row.prices, given), source=source, confidence="high")
        for row in base
    ]


def _replaced(prices: Sequence[int | None], given: Mapping[str, int | None]) -> tuple[int | None, ...]:
    """List prices with the given ones in their place. A modality that costs what text does goes with the text."""
    listed = dict(zip(KINDS, prices, strict=True))
    result = {kind: price if given[kind] is None else given[kind] for kind, price in listed.items()}
    for kind, text in AS_TEXT.items():
        if given[kind] is None and listed[kind] is not None and listed[kind] == listed[text]:
            result[kind] = result[text]
    return tuple(result[kind] for kind in KINDS)
