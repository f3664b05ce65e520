"""The ledger as FOCUS billing data, versions 1.4 (ratified 2026-06-04) and 1.2 (2025-05-29).

One row per day, model, meter, service tier and price, with agent and task in `Tags`. ListCost is the price book's,
ContractedCost and EffectiveCost are after the user's own prices, and BilledCost equals them until an invoice says
otherwise. FOCUS 1.4 has no column for token kinds, so they are `SkuMeter`, `x_CacheAction` (Read, Write, Uncached) and
`x_TokenDirection` (Input, Output), and quantities are in millions of tokens.
A call without a price has no row: FOCUS allows no null cost. How many there are is said beside the file.
"""

from __future__ import annotations

import csv
import json
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import date, timedelta
from decimal import Decimal
from typing import IO, Any, Final

import duckdb

from analysis.formatting import csv_text
from analysis.ledger.ledger import revalue
from analysis.price_book.book import kind_columns
from analysis.price_book.provider_names import PROVIDERS
from analysis.price_book.vocabulary import KINDS, PARENT
from analysis.pricing.stored_overrides import load_overrides
from ingest.errors import InputError, did_you_mean
from ingest.store.database import Store

SPECS: Final = ("1.4", "1.2")
MILLION: Final = Decimal(1_000_000)
NAMES: Final = {
    "openai": "OpenAI", "anthropic": "Anthropic", "google": "Google", "azure": "Microsoft", "aws": "AWS",
    "deepseek": "DeepSeek", "mistral": "Mistral AI", "x-ai": "xAI", "openrouter": "OpenRouter", "groq": "Groq",
    "cohere": "Cohere", "together": "Together AI", "fireworks": "Fireworks AI", "perplexity": "Perplexity",
}  # fmt: skip
SERVICES: Final = {
    "openai": "OpenAI API", "anthropic": "Claude API", "google": "Gemini API", "azure": "Azure OpenAI Service",
    "aws": "Amazon Bedrock",
}  # fmt: skip
# meter -> (ledger column, tokens, price kind)
METERS: Final = {
    "Input Tokens": ("uncached_input_usd", "uncached_tokens", "input"),
    "Cached Input Tokens": ("cache_read_usd", "read_tokens", "cache_read"),
    "Cache Write Tokens": ("cache_write_usd", "write_tokens", "cache_write"),
    "Output Tokens": ("output_usd", "answer_tokens", "output"),
    "Reasoning Tokens": ("reasoning_usd", "thought_tokens", "reasoning"),
    "Other": ("other_usd", None, None),
}
# kind of token -> CacheAction and TokenDirection, as the working draft after 1.4 names and defines them for
# SkuPriceDetails (FOCUS_Spec pull request 2682, merged 2026-09); 1.4 does not define them, so they begin with x_
CACHE_ACTION: Final = {"input": "Uncached", "cache_read": "Read", "cache_write": "Write", "output": "Uncached",
                       "reasoning": "Uncached"}  # fmt: skip
TOKEN_DIRECTION: Final = {"input": "Input", "cache_read": "Input", "cache_write": "Input", "output": "Output",
                          "reasoning": "Output"}  # fmt: skip
COLUMNS: Final = {
    "1.4": (
        "BilledCost", "BillingAccountId", "BillingAccountName", "BillingCurrency", "BillingPeriodEnd",
        "BillingPeriodStart", "ChargeCategory", "ChargeClass", "ChargeDescription", "ChargeFrequency",
        "ChargePeriodEnd", "ChargePeriodStart", "ConsumedQuantity", "ConsumedUnit", "ContractedCost",
        "ContractedUnitPrice", "EffectiveCost", "HostProviderName", "InvoiceIssuerName", "ListCost", "ListUnitPrice",
        "PricingCategory", "PricingQuantity", "PricingUnit", "ServiceCategory", "ServiceName", "ServiceProviderName",
        "ServiceSubcategory", "SkuId", "SkuMeter", "SkuPriceDetails", "SkuPriceId", "SubAccountId", "SubAccountName",
        "Tags", "x_CacheAction", "x_CallCount", "x_Model", "x_PriceSource", "x_ServiceTier", "x_TokenDirection",
        "x_TokenKind",
    ),
    "1.2": (
        "BilledCost", "BillingAccountId", "BillingAccountName", "BillingAccountType", "BillingCurrency",
        "BillingPeriodEnd", "BillingPeriodStart", "ChargeCategory", "ChargeClass", "ChargeDescription",
        "ChargeFrequency", "ChargePeriodEnd", "ChargePeriodStart", "CommitmentDiscountStatus", "ConsumedQuantity",
        "ConsumedUnit", "ContractedCost", "ContractedUnitPrice", "EffectiveCost", "InvoiceId", "InvoiceIssuerName",
        "ListCost", "ListUnitPrice", "PricingCategory", "PricingCurrency", "PricingCurrencyContractedUnitPrice",
        "PricingCurrencyEffectiveCost", "PricingCurrencyListUnitPrice", "PricingQuantity", "PricingUnit",
        "ProviderName", "PublisherName", "ServiceCategory", "ServiceName", "ServiceSubcategory", "SkuId", "SkuMeter",
        "SkuPriceDetails", "SkuPriceId", "SubAccountId", "SubAccountName", "SubAccountType", "Tags", "x_CacheAction",
        "x_CallCount", "x_Model", "x_PriceSource", "x_ServiceTier", "x_TokenDirection", "x_TokenKind",
    ),
}  # fmt: skip
_ROWS: Final = """
    WITH rows AS (
        SELECT calls.*, own.price_id, own.cost_usd, own.uncached_input_usd, own.cache_read_usd, own.cache_write_usd,
               own.output_usd, own.reasoning_usd, own.other_usd,
               list.cost_usd AS list_usd, list.uncached_input_usd AS list_uncached_input_usd,
               list.cache_read_usd AS list_cache_read_usd, list.cache_write_usd AS list_cache_write_usd,
               list.output_usd AS list_output_usd, list.reasoning_usd AS list_reasoning_usd,
               list.other_usd AS list_other_usd,
               least(coalesce(calls.cache_read_input_tokens, 0), input_tokens) AS read,
               coalesce(calls.cache_creation_input_tokens, 0) AS written,
               least(coalesce(reasoning_output_tokens, 0), coalesce(output_tokens, 0)) AS thought
        FROM calls JOIN ledger own USING (call_no) LEFT JOIN {listed} list USING (call_no)
        WHERE own.cost_usd IS NOT NULL AND start_time IS NOT NULL {since} {until}
    )
    SELECT start_time::DATE AS day, provider_name, model,
           CASE WHEN is_batch THEN 'batch' WHEN lower(coalesce(service_tier, 'standard')) IN ('default', 'auto')
                THEN 'standard' ELSE lower(coalesce(service_tier, 'standard')) END AS tier,
           agent, task, team, environment, price_id, count(*) AS calls,
           sum(weight * (input_tokens - read - written)) AS uncached_tokens, sum(weight * read) AS read_tokens,
           sum(weight * written) AS write_tokens, sum(weight * (output_tokens - thought)) AS answer_tokens,
           sum(weight * thought) AS thought_tokens, {sums}
    FROM rows GROUP BY ALL ORDER BY ALL
"""


@dataclass
class FocusExport:
    """What was written, and what could not be."""

    rows: int = 0
    billed_usd: Decimal = Decimal(0)
    unpriced_calls: int = 0
    untimed_calls: int = 0


def export(
    store: Store,
    out: IO[str],
    *,
    spec: str = "1.4",
    since: date | None = None,
    until: date | None = None,
    account: str = "default",
    currency: str = "USD",
) -> FocusExport:
    """Write the ledger as a FOCUS CSV. Rows come sorted by day, provider, model, tier, agent, task and meter."""
    if spec not in SPECS:
        raise InputError(f"no FOCUS version '{spec}'", remedy=did_you_mean(spec, SPECS))
    done = FocusExport()
    writer = csv.DictWriter(out, COLUMNS[spec], extrasaction="ignore", lineterminator="\n")
    with store.whole.read() as con:
        listed = revalue(con, None, overrides=False) if load_overrides(con) else "ledger"
        store.restrict(con)
        writer.writeheader()
        for row in _rows(con, listed, since, until):
            for charge in _charges(row, account, currency, spec):
                writer.writerow({name: csv_text(v) if isinstance(v, str) else v for name, v in charge.items()})
                done.rows += 1
                done.billed_usd += Decimal(charge["BilledCost"])
        done.unpriced_calls, done.untimed_calls = con.execute(
            """SELECT count(*) FILTER (cost_usd IS NULL),
                      count(*) FILTER (cost_usd IS NOT NULL AND start_time IS NULL) FROM costs"""
        ).fetchall()[0]
    return done


def _rows(
    con: duckdb.DuckDBPyConnection, listed: str, since: date | None, until: date | None
) -> Iterator[dict[str, Any]]:
    money = [column for column, _, _ in METERS.values()]
    sums = ", ".join(f"sum({column}) AS {column}, sum(list_{column}) AS list_{column}" for column in money)
    sql = _ROWS.format(
        listed=listed,
        sums=sums,
        since=f"AND start_time >= DATE '{since.isoformat()}'" if since else "",
        until=f"AND start_time < DATE '{until.isoformat()}' + 1" if until else "",
    )
    found = con.execute(sql)
    names = [item[0] for item in found.description]
    rows = [dict(zip(names, row, strict=True)) for row in found.fetchall()]
    prices = _unit_prices(con, {row["price_id"] for row in rows})
    for row in rows:
        yield {**row, **prices.get(row["price_id"], {"prices": {}, "source": None})}


def _unit_prices(con: duckdb.DuckDBPyConnection, ids: Iterable[int | None]) -> dict[int | None, dict[str, Any]]:
    wanted = sorted(number for number in ids if number is not None)
    rows = con.execute(
        f"""SELECT price_id, source, {kind_columns(con, "prices")} FROM prices
            WHERE price_id IN (SELECT unnest(?)) ORDER BY 1""",
        [wanted],
    ).fetchall()
    found: dict[int | None, dict[str, Any]] = {}
    for price_id, source, *values in rows:
        prices = dict(zip(KINDS, values, strict=True))
        for kind, parent in PARENT.items():
            prices[kind] = prices[parent] if prices[kind] is None else prices[kind]
        found[price_id] = {"prices": prices, "source": source}
    return found


def _charges(row: dict[str, Any], account: str, currency: str, spec: str) -> Iterator[dict[str, Any]]:
    provider = PROVIDERS.get((row["provider_name"] or "").lower(), (row["provider_name"] or "unknown").lower())
    name = NAMES.get(provider, row["provider_name"] or "Unknown")
    day: date = row["day"]
    month = day.replace(day=1)
    following = (month + timedelta(days=32)).replace(day=1)
    model = row["model"] or "(no model)"
    tags = {key: row[key] for key in ("agent", "task", "team", "environment") if row[key]}
    common = {
        "BillingAccountId": account, "BillingAccountName": account, "BillingAccountType": "Organization",
        "BillingCurrency": currency, "PricingCurrency": currency, "BillingPeriodStart": _moment(month),
        "BillingPeriodEnd": _moment(following), "ChargePeriodStart": _moment(day),
        "ChargePeriodEnd": _moment(day + timedelta(days=1)), "ChargeCategory": "Usage", "ChargeClass": "",
        "ChargeFrequency": "Usage-Based", "HostProviderName": name, "InvoiceIssuerName": name, "ProviderName": name,
        "PublisherName": name, "ServiceProviderName": name, "InvoiceId": "",
        "ServiceCategory": "AI and Machine Learning", "ServiceSubcategory": "Generative AI",
        "ServiceName": SERVICES.get(provider, f"{name} API"), "SubAccountId": row["team"] or "",
        "SubAccountName": row["team"] or "", "SubAccountType": "Team" if row["team"] else "",
        "PricingCategory": "Standard" if row["tier"] == "standard" else "Other",
        "Tags": json.dumps(tags, ensure_ascii=False, sort_keys=True, separators=(",", ":")),
        "x_Model": model, "x_ServiceTier": row["tier"], "x_CallCount": row["calls"], "x_PriceSource": row["source"],
    }  # fmt: skip
    for meter, (column, count, kind) in METERS.items():
        cost = row[column]
        tokens = row[count] if count else None
        if not cost and not tokens:
            continue
        listed = row[f"list_{column}"]
        # a model that only the user has a price for has no other list price
        list_cost = cost if listed is None else listed
        quantity = Decimal(row["calls"]) if tokens is None else Decimal(tokens) / MILLION
        own_price = _unit_price(cost, quantity, row["prices"].get(kind) if kind else None)
        list_price = own_price if list_cost == cost else _unit_price(list_cost, quantity, None)
        sku = f"{provider}/{model}/{meter}"
        yield {
            **common,
            "BilledCost": _plain(cost), "ContractedCost": _plain(cost), "EffectiveCost": _plain(cost),
            "ListCost": _plain(list_cost), "ContractedUnitPrice": own_price, "ListUnitPrice": list_price,
            # priced and billed in the same currency
            "PricingCurrencyEffectiveCost": _plain(cost), "PricingCurrencyContractedUnitPrice": own_price,
            "PricingCurrencyListUnitPrice": list_price,
            "PricingQuantity": _plain(quantity), "PricingUnit": "Calls" if tokens is None else "1000000 Tokens",
            "ConsumedQuantity": _plain(Decimal(row["calls"]) if tokens is None else Decimal(tokens)),
            "ConsumedUnit": "Calls" if tokens is None else "Tokens",
            "ChargeDescription": f"{model} {meter.lower()}, {row['tier']} tier",
            "SkuId": sku, "SkuMeter": meter, "SkuPriceId": f"{sku}/{row['tier']}/{row['price_id']}",
            "SkuPriceDetails": json.dumps(_details(row, kind, spec), sort_keys=True, separators=(",", ":")),
            "x_TokenKind": kind or "other",
            "x_CacheAction": CACHE_ACTION.get(kind or "", ""), "x_TokenDirection": TOKEN_DIRECTION.get(kind or "", ""),
        }  # fmt: skip


def _details(row: dict[str, Any], kind: str | None, spec: str) -> dict[str, str]:
    """Details of the price; keys that FOCUS does not define begin with `x_`."""
    found = {"x_Model": row["model"] or "(no model)", "x_ServiceTier": row["tier"], "x_FocusVersion": spec}
    if kind in CACHE_ACTION:
        found |= {"x_CacheAction": CACHE_ACTION[kind], "x_TokenDirection": TOKEN_DIRECTION[kind]}
    return found


def _unit_price(cost: Decimal, quantity: Decimal, listed: Decimal | None) -> str:
    """The price row's, where it explains the cost exactly, else cost over quantity."""
    if listed is not None and listed * quantity == cost:
        return _plain(listed)
    return _plain((cost / quantity).quantize(Decimal("1e-12"))) if quantity else ""


def _plain(value: Decimal) -> str:
    """A decimal with a point, so that no reader takes a column of whole amounts for integers."""
    text = f"{value:f}"
    whole, _, digits = text.partition(".")
    return f"{whole}.{digits.rstrip('0') or '0'}"


def _moment(day: date) -> str:
    return f"{day.isoformat()}T00:00:00Z"
