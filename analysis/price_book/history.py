"""Our dated overlay over the catalogue: prices as they were, with their sources.

The catalogue knows few dates, so a call of 2023 would be billed at today's price. `prices/history.yaml` names the
exact model ids that it speaks for, their prices from each date on, and the day from which the catalogue's own rows
hold again. It also holds the discounts of service tiers, from the day they were offered.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from datetime import date
from fnmatch import fnmatchcase
from functools import cache
from pathlib import Path
from typing import Literal

import yaml
from pydantic import Field, ValidationError

from analysis.price_book.rows import HISTORY, Key, PriceRow, clip, nano_dollars, scale_price
from analysis.price_book.rules import BookRules, KindPrices, Price, Strict, TierRule, derived, with_rules
from analysis.price_book.vocabulary import KINDS, TOKEN_KINDS
from ingest.errors import PriceError

_Loader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)  # the same in C, where PyYAML has it: ten times faster


class DatedPrice(KindPrices):
    """Prices in USD per million tokens from a UTC day on, until the next entry of the same size range."""

    start: date = Field(alias="from")
    above: dict[int, dict[str, Price]] = Field(
        default_factory=dict
    )  # input tokens -> the prices of larger requests, whole request
    off_peak: OffPeak | None = None
    tier: Literal["standard", "batch", "flex", "priority", "fast"] = "standard"
    confidence: Literal["high", "low"] = "high"
    source: str


class OffPeak(Strict):
    """Other prices in a window of the UTC day, as `HH:MM`."""

    start: str = Field(alias="from")
    end: str = Field(alias="to")
    prices: dict[str, Price]


class Continues(Strict):
    """From this day on the catalogue's rows of `model` hold."""

    start: date = Field(alias="from")
    model: str


class ModelHistory(Strict):
    """One price model of the overlay: the ids it speaks for, its prices by date, and where the catalogue goes on."""

    provider: str
    model: str
    ids: list[str]
    context_window: int | None = None
    rows: list[DatedPrice]
    continues: Continues | None = None


class History(BookRules):
    """The overlay file."""

    as_of: date
    models: list[ModelHistory]

    def windows(self) -> dict[Key, int]:
        """Context windows in tokens, of the models that state one."""
        return {(m.provider, m.model): m.context_window for m in self.models if m.context_window}


@cache
def load_history(path: Path) -> History:
    """Read and check the overlay, once in a process. Raises PriceError naming the first wrong field."""
    try:
        return History.model_validate(yaml.load(path.read_text("utf-8"), Loader=_Loader))  # noqa: S506  a safe one
    except (yaml.YAMLError, ValidationError) as error:
        if isinstance(error, ValidationError):
            first = error.errors()[0]
            raise PriceError(f"{'.'.join(map(str, first['loc']))}: {first['msg']}", where=str(path)) from error
        raise PriceError(f"not readable as YAML: {error}", where=str(path)) from error


def history_key(provider: str, name: str) -> tuple[Key, bool] | None:
    """The price key that the overlay files a model name under, and whether the name is listed exactly."""
    exact, globs = _history_ids()
    found = exact.get((provider, name))
    if found:
        return found, True
    return next((((p, key), False) for p, glob, key in globs if p == provider and fnmatchcase(name, glob)), None)


@cache
def _history_ids() -> tuple[dict[Key, Key], list[tuple[str, str, str]]]:
    exact: dict[Key, Key] = {}
    globs: list[tuple[str, str, str]] = []
    for model in load_history(HISTORY).models:
        for name in model.ids:
            if "*" in name:
                globs.append((model.provider, name.lower(), model.model))
            else:
                exact[model.provider, name.lower()] = (model.provider, model.model)
    return exact, globs


def merge(rows: Iterable[PriceRow], history: History) -> list[PriceRow]:
    """The catalogue's rows with the overlay's in front of them, and the tiers that neither lists by date."""
    catalogue: dict[Key, list[PriceRow]] = {}
    for row in rows:
        catalogue.setdefault(row.key, []).append(row)
    merged = dict(catalogue)
    for model in history.models:
        key = (model.provider, model.model)
        own = _own_rows(model)
        if model.continues:
            start = model.continues.start.isoformat()
            base = catalogue.get((model.provider, model.continues.model))
            if base is None:
                raise PriceError(f"the catalogue has no {model.provider}/{model.continues.model}", where="history.yaml")
            later = [clip(row, start, None) for row in base]
            own += [replace(row, model=model.model) for row in later if row is not None]
        merged[key] = own
    result: list[PriceRow] = []
    for (provider, name), found in sorted(merged.items()):
        rows = [with_rules(row, history) for row in with_tiers(found, history.tier_rules)]
        result += rows
        if (provider, f"{name}-fast") not in merged:  # tools that write the tier into the name
            result += [replace(row, model=f"{name}-fast", tier="standard") for row in rows if row.tier == "fast"]
        for rule in history.derived_models:
            if provider == rule.provider and name.startswith(rule.beside):
                rest = name.removeprefix(rule.beside)
                base = merged.get((provider, f"{rule.times}{rest}"), found)
                result += [derived(row, f"{rule.named}{rest}", rule) for row in base if row.tier == "standard"]
    return result


def _own_rows(model: ModelHistory) -> list[PriceRow]:
    end = model.continues.start.isoformat() if model.continues else None
    rows: list[PriceRow] = []
    for tier in sorted({entry.tier for entry in model.rows}):
        dated = sorted((entry for entry in model.rows if entry.tier == tier), key=lambda entry: entry.start)
        for number, entry in enumerate(dated):
            until = dated[number + 1].start.isoformat() if number + 1 < len(dated) else end
            sizes = sorted(entry.above)
            for low, high in zip([None, *sizes], [*sizes, None], strict=True):
                prices = {kind: getattr(entry, kind) for kind in KINDS} | (entry.above[low] if low else {})
                windows = [(0, 1440, prices)]
                if entry.off_peak:
                    begin, finish = _minutes(entry.off_peak.start), _minutes(entry.off_peak.end)
                    windows = [(begin, finish, prices | entry.off_peak.prices), (finish, begin, prices)]
                for tod_from, tod_to, found in windows:
                    rows.append(
                        PriceRow(
                            model.provider, model.model, tier, entry.start.isoformat(), until, tod_from, tod_to, low,
                            high, tuple(nano_dollars(found[kind]) for kind in KINDS), entry.source, entry.confidence,
                        )
                    )  # fmt: skip
    return rows


def with_tiers(rows: list[PriceRow], rules: list[TierRule]) -> list[PriceRow]:
    """Add the tier rows that nobody lists by date, marked as low confidence.

    The catalogue's tier prices mostly start on the day that they were first read. Before it they are taken to be the
    same as long as the standard price was the same, else the fraction of the standard price that a rule states. A
    rule also says since when the tier was offered.
    """
    result = list(rows)
    standard = [row for row in rows if row.tier == "standard"]
    for tier in ("batch", "flex", "priority", "fast"):
        listed = [row for row in rows if row.tier == tier]
        first = min((row.effective_from or "" for row in listed), default=None)
        rule = _rule(rules, tier, standard[0].key) if standard else None
        if first == "" or (rule is None and not listed):
            continue
        for row in standard:
            gap = clip(row, None, first)
            if gap is None:
                continue
            part = clip(gap, rule.start.isoformat(), None) if rule else gap
            if part is None:
                continue
            same = [
                late
                for late in listed
                if (late.effective_from or "") == first
                and (late.tod_from, late.tod_to) == (row.tod_from, row.tod_to)
                and (late.above_tokens or -1) <= (row.above_tokens or -1)
                and (late.upto_tokens is None or late.upto_tokens == row.upto_tokens)
                and _standard_at(standard, row, first) == row.prices
            ]
            if same:
                result.append(replace(part, tier=tier, prices=same[0].prices, source=same[0].source, confidence="low"))
            elif rule is not None:
                prices = tuple(
                    price if price is None or kind not in TOKEN_KINDS else scale_price(price, rule.multiplier)
                    for kind, price in zip(KINDS, row.prices, strict=True)
                )
                result.append(replace(part, tier=tier, prices=prices, source=rule.source, confidence=rule.confidence))
    return result


def _rule(rules: list[TierRule], tier: str, key: Key) -> TierRule | None:
    """The rule for a tier of one model, whose name its rows share."""
    provider, model = key
    return next(
        (
            rule
            for rule in rules
            if rule.tier == tier and rule.provider == provider and any(fnmatchcase(model, glob) for glob in rule.models)
        ),
        None,
    )


def _standard_at(standard: list[PriceRow], like: PriceRow, day: str | None) -> tuple[int | None, ...] | None:
    for row in standard:
        same = (row.tod_from, row.above_tokens) == (like.tod_from, like.above_tokens)
        if same and clip(row, day, None) and (row.effective_from or "") <= (day or ""):
            return row.prices
    return None


def _minutes(clock: str) -> int:
    hours, minutes = clock.split(":")
    return int(hours) * 60 + int(minutes)


DatedPrice.model_rebuild()
