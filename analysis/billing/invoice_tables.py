"""Invoices that come as tables: AWS CUR lines for Bedrock, OpenRouter activity, and any CSV through a mapping."""

from __future__ import annotations

import csv
import re
from collections.abc import Iterator, Mapping
from decimal import Decimal
from pathlib import Path
from typing import Any, Final

import yaml
from pydantic import BaseModel, ConfigDict, ValidationError

from analysis.billing.invoice import KINDS, InvoiceLine, day_of, number_of, openrouter_line, read_text, tier_name
from ingest.errors import InputError, did_you_mean

# "Understanding your Amazon Bedrock Cost and Usage Report data" (AWS, 2026): one line per token type
_CUR_KINDS: Final = (
    (re.compile(r"cache-read-input-token-count|cache-read-input-tokens", re.I), "cache_read"),
    (re.compile(r"cache-write-input-token-count|cache-write-input-tokens", re.I), "cache_write"),
    (re.compile(r"output-tokens?(-|$)", re.I), "output"),
    (re.compile(r"input-tokens?(-|$)", re.I), "input"),
)
_CUR_REGION: Final = re.compile(r"^[A-Z]{3,4}\d?-")
_CUR_USAGE: Final = ("line_item_usage_type", "lineItem/UsageType")


def read_table(path: Path) -> Iterator[InvoiceLine]:
    """A CUR export (CSV or Parquet) or OpenRouter's activity CSV, told apart by their columns."""
    for number, row in _rows(path):
        where = f"{path.name}:{number}"
        if any(name in row for name in _CUR_USAGE):
            yield from _cur_line(row, where)
        elif "prompt_tokens" in row and "requests" in row:
            yield from openrouter_line(dict(row), where)
        else:
            raise InputError(
                "neither a CUR export nor OpenRouter activity",
                where=where,
                remedy="Describe its columns in a mapping: hindcast reconcile FILE --mapping M.yaml",
            )


def _rows(path: Path) -> Iterator[tuple[int, Mapping[str, Any]]]:
    if path.suffix == ".parquet":
        import pyarrow.parquet as pq

        yield from enumerate(pq.read_table(path).to_pylist(), start=1)
        return
    text = read_text(path)
    dialect = "\t" if "\t" in text.split("\n", 1)[0] else ","
    yield from enumerate(csv.DictReader(text.splitlines(), delimiter=dialect), start=2)


def _cur_line(row: Mapping[str, Any], where: str) -> Iterator[InvoiceLine]:
    def get(*names: str) -> Any:
        return next((row[name] for name in names if row.get(name) not in (None, "")), None)

    service = str(get("line_item_product_code", "lineItem/ProductCode", "product_servicecode") or "")
    usage = str(get(*_CUR_USAGE) or "")
    if "bedrock" not in service.lower() and "bedrock" not in usage.lower():
        return
    kind = next((kind for pattern, kind in _CUR_KINDS if pattern.search(usage)), "other")
    unit = str(get("pricing_unit", "pricing/unit") or "").lower()
    scale = 1_000_000 if "1m" in unit or "million" in unit else 1000 if "1k" in unit or "thousand" in unit else 1
    amount = number_of(get("line_item_unblended_cost", "lineItem/UnblendedCost"), where)
    quantity = number_of(get("line_item_usage_amount", "lineItem/UsageAmount"), where) if kind != "other" else None
    model = _CUR_REGION.sub("", usage)
    for pattern, _ in _CUR_KINDS:
        model = pattern.split(model)[0]
    low = usage.lower()
    tier = next((name for name in ("batch", "flex", "priority") if name in low), "standard")
    model = re.sub(r"-(mantle|batch|flex|priority|cross-region-global|global)", "", model, flags=re.I).strip("-_ ")
    yield InvoiceLine(
        day=day_of(get("line_item_usage_start_date", "lineItem/UsageStartDate"), where),
        provider="aws",
        model=(model or None) if kind != "other" else None,
        kind=kind,
        tier=tier,
        quantity=None if quantity is None else quantity * scale,
        amount_usd=amount,
        text=usage,
        where=where,
    )


class InvoiceMapping(BaseModel):
    """A mapping file for an invoice CSV: our field <- its column, plus constants and units."""

    model_config = ConfigDict(extra="forbid")
    day: str
    model: str | None = None
    kind: str | None = None  # column whose values `kinds` translates; or give one column per kind in `quantities`
    kinds: dict[str, str] = {}
    tier: str | None = None
    tiers: dict[str, str] = {}
    quantity: str | None = None
    quantity_unit: int = 1  # tokens per unit of the quantity column: 1000 where it counts thousands
    quantities: dict[str, str] = {}  # our kind <- column, for a table with one column per kind
    amount: str | None = None
    amount_unit: Decimal = Decimal(1)  # USD per unit of the amount column: 0.01 for cents
    provider: str | None = None  # a constant
    text: str | None = None


def read_mapped(path: Path, mapping: Path) -> Iterator[InvoiceLine]:
    """Any CSV, through a mapping file. A row with one amount for all kinds becomes lines of kind `all`."""
    try:
        plan = InvoiceMapping.model_validate(yaml.safe_load(mapping.read_text("utf-8")) or {})
    except (OSError, yaml.YAMLError) as error:
        raise InputError(f"the mapping cannot be read: {error}", where=str(mapping)) from error
    except ValidationError as error:
        first = error.errors()[0]
        field = str(first["loc"][-1])
        remedy = did_you_mean(field, InvoiceMapping.model_fields) if first["type"] == "extra_forbidden" else None
        raise InputError(f"{field}: {first['msg']}", where=str(mapping), remedy=remedy) from error
    wanted = [plan.day, plan.model, plan.kind, plan.tier, plan.quantity, plan.amount, *plan.quantities.values()]
    for number, row in _rows(path):
        where = f"{path.name}:{number}"
        for name in wanted:
            if name is not None and name not in row:
                raise InputError(f"no column '{name}'", where=where, remedy=did_you_mean(name, [str(k) for k in row]))
        yield from _mapped_line(row, plan, where)


def _mapped_line(row: Mapping[str, Any], plan: InvoiceMapping, where: str) -> Iterator[InvoiceLine]:
    day = day_of(row[plan.day], where)
    model = row[plan.model] if plan.model else None
    raw_tier = row[plan.tier] if plan.tier else None
    tier = plan.tiers.get(str(raw_tier)) or tier_name(raw_tier)
    amount = number_of(row[plan.amount], where) if plan.amount else None
    usd = None if amount is None else amount * plan.amount_unit
    text = str(row[plan.text]) if plan.text else str(model or "")
    if plan.quantities:
        for kind, column in plan.quantities.items():
            count = number_of(row[column], where)
            yield InvoiceLine(
                day, plan.provider, model, _kind(kind, where), tier, _times(count, plan), None, text, where
            )
        if usd is not None:
            yield InvoiceLine(day, plan.provider, model, "all", tier, None, usd, text, where)
        return
    name = str(row[plan.kind]) if plan.kind else "all"
    kind = plan.kinds.get(name, name if name in (*KINDS, "all") else "other")
    quantity = number_of(row[plan.quantity], where) if plan.quantity and kind not in ("other", "all") else None
    yield InvoiceLine(day, plan.provider, model, kind, tier, _times(quantity, plan), usd, text or name, where)


def _times(count: Decimal | None, plan: InvoiceMapping) -> Decimal | None:
    return None if count is None else count * plan.quantity_unit


def _kind(name: str, where: str) -> str:
    if name not in KINDS:
        raise InputError(f"no token kind '{name}'", where=where, remedy=did_you_mean(name, KINDS))
    return name
