"""FOCUS export: the ledger to the pico-dollar, in a shape that the toolkit's validator accepts."""

from __future__ import annotations

import csv
import io
import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterable
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from builder import build_store

from analysis.ledger.costs_view import total_cost
from analysis.ledger.ledger import update
from analysis.pricing.overrides import parse_override
from analysis.pricing.stored_overrides import store_overrides
from analysis.reports.focus_export import COLUMNS, SPECS, export
from ingest.errors import InputError
from ingest.store.database import Store

START = datetime(2025, 2, 27, 22)
MODELS = ["gpt-4o-2024-08-06", "gpt-4-turbo", "claude-sonnet-4-20250514", "no-such-model", "own"]


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Store:
    calls: list[dict[str, Any]] = []
    for n in range(400):
        model = MODELS[n % 5]
        calls.append(
            {
                "start_time": START + timedelta(minutes=17 * n),
                "model": model,
                "provider_name": "anthropic" if "claude" in model else "openai",
                "input_tokens": 1000 + 7 * n,
                "cache_read_input_tokens": 512 if n % 3 == 0 else 0,
                "cache_creation_input_tokens": 100 if "claude" in model else None,
                "output_tokens": 50 + n,
                "reasoning_output_tokens": 10,
                "service_tier": "batch" if n % 20 == 0 else None,
                "agent": ['research, "deep"', "writer", None][n % 3],
                "task": ["a", "b"][n % 2],
                "team": "growth" if n % 7 == 0 else None,
            }
        )
    built = build_store(tmp_path_factory.mktemp("focus") / "s.duckdb", calls)
    update(built)
    with built.write() as con:
        store_overrides(
            con,
            [
                parse_override(match={"model": "gpt-4-turbo"}, multiplier="0.9"),
                parse_override(match={"model": "own"}, input="0.5", output="1"),
            ],
            replace_all=True,
        )
    update(built, rebuild=True)
    return built


def rows(store: Store, **options: Any) -> list[dict[str, str]]:
    out = io.StringIO()
    export(store, out, **options)
    return list(csv.DictReader(io.StringIO(out.getvalue())))


def total(found: Iterable[dict[str, str]], column: str) -> Decimal:
    return sum((Decimal(row[column]) for row in found), Decimal(0))


@pytest.mark.parametrize("spec", SPECS)
def test_the_billed_cost_is_the_ledgers_to_the_pico_dollar(store: Store, spec: str) -> None:
    found = rows(store, spec=spec)
    assert tuple(found[0]) == COLUMNS[spec]
    assert total(found, "BilledCost") == total_cost(store)
    assert total(found, "EffectiveCost") == total(found, "ContractedCost") == total_cost(store)


def test_list_cost_is_the_books_and_contracted_cost_the_users(store: Store) -> None:
    found = [row for row in rows(store) if row["x_Model"] == "gpt-4-turbo"]
    assert total(found, "ContractedCost") == total(found, "ListCost") * Decimal("0.9")
    own = [row for row in rows(store) if row["x_Model"] == "own"]
    assert total(own, "ListCost") == total(own, "ContractedCost")


def test_quantities_times_unit_prices_are_the_costs(store: Store) -> None:
    for row in rows(store):
        assert Decimal(row["PricingQuantity"]) * Decimal(row["ListUnitPrice"]) == Decimal(row["ListCost"])
        assert Decimal(row["PricingQuantity"]) * Decimal(row["ContractedUnitPrice"]) == Decimal(row["ContractedCost"])


def test_one_row_per_day_model_meter_and_tier_with_agent_and_task_in_tags(store: Store) -> None:
    found = rows(store)
    key = ("ChargePeriodStart", "x_Model", "SkuMeter", "x_ServiceTier", "Tags", "SkuPriceId", "SubAccountId")
    keys = [tuple(row[name] for name in key) for row in found]
    assert len(keys) == len(set(keys))
    assert {json.loads(row["Tags"]).get("agent") for row in found} == {'research, "deep"', "writer", None}
    assert {row["BillingPeriodStart"] for row in found} == {"2025-02-01T00:00:00Z", "2025-03-01T00:00:00Z"}
    assert {row["SkuMeter"] for row in found} == {
        "Input Tokens", "Cached Input Tokens", "Cache Write Tokens", "Output Tokens", "Reasoning Tokens",
    }  # fmt: skip


def test_unpriced_calls_are_counted_and_not_written_as_zero(store: Store) -> None:
    done = export(store, io.StringIO())
    assert done.unpriced_calls == 80 + sum(n % 20 == 0 and n % 5 not in (0, 1, 2) for n in range(400))
    assert not [row for row in rows(store) if row["x_Model"] == "no-such-model"]


def test_since_and_until_are_inclusive(store: Store) -> None:
    found = rows(store, since=date(2025, 2, 28), until=date(2025, 2, 28))
    assert {row["ChargePeriodStart"] for row in found} == {"2025-02-28T00:00:00Z"}


def test_an_unknown_version_offers_the_known(store: Store) -> None:
    with pytest.raises(InputError, match=r"no FOCUS version '1\.5'"):
        export(store, io.StringIO(), spec="1.5")


def test_version_1_4_passes_the_toolkits_validator(store: Store, tmp_path: Path) -> None:
    path = tmp_path / "focus.csv"
    with path.open("w", newline="") as out:
        export(store, out, spec="1.4")
    tool = Path(sys.executable).with_name("focus-toolkit")
    if not tool.exists():
        pytest.skip("focus-data-toolkit is not installed")
    done = subprocess.run(
        [tool, "validate", "--dataset", "cost-and-usage", path], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert "STRUCTURAL_VALID, SEMANTIC_VALID" in done.stdout


# what a provider of tokens by the million supports, of the criteria that the rules of FOCUS 1.2 depend on
SUPPORTED = (
    "ACCOUNT_NAMING_SUPPORTED", "MULTIPLE_PRICING_CATEGORIES_SUPPORTED", "NEGOTIATED_PRICING_SUPPORTED",
    "PUBLIC_PRICE_LIST_SUPPORTED", "USAGE_MEASUREMENT_SUPPORTED", "UNIT_PRICING_SUPPORTED", "SUB_ACCOUNT_SUPPORTED",
    "TAGGING_SUPPORTED", "MULTIPLE_SUB_ACCOUNT_TYPES_SUPPORTED", "MULTIPLE_BILLING_ACCOUNT_TYPES_SUPPORTED",
)  # fmt: skip


def test_version_1_2_passes_the_official_validator_but_for_the_invoice_that_is_not_there_yet(
    store: Store, tmp_path: Path
) -> None:
    """`InvoiceId-C-005-C` wants an invoice id, its alternative `C-004-C` none before the invoice; one must fail.

    The validator needs Python 3.12: docs/cost.md tells how to install it and to run this test.
    """
    found = os.environ.get("HINDCAST_FOCUS_VALIDATOR") or shutil.which("focus-validator")
    if found is None:
        pytest.skip("no focus-validator: set HINDCAST_FOCUS_VALIDATOR to one (docs/cost.md)")
    validator = Path(found).absolute()
    path = tmp_path / "focus.csv"
    with path.open("w", newline="") as out:
        export(store, out, spec="1.2")
    where = subprocess.run(
        [validator.with_name("python"), "-c", "import focus_validator as f; print(f.__path__[0])"],
        capture_output=True, text=True, check=True,
    ).stdout.strip()  # fmt: skip
    done = subprocess.run(
        [
            validator, "--data-file", path, "--validate-version", "1.2", "--block-download",
            "--applicability-criteria", ",".join(SUPPORTED),
        ],
        capture_output=True, text=True, check=False,
        cwd=Path(where).parent,  # it looks for its list of currencies from there
    )  # fmt: skip
    passed, failed = (
        re.findall(rf"^{mark} (\S+): {word} ", done.stdout, re.MULTILINE)
        for mark, word in (("✅", "PASS"), ("❌", "FAIL"))
    )
    assert failed == ["InvoiceId-C-005-C"], done.stdout + done.stderr
    assert "InvoiceId-C-004-C" in passed
    assert len(passed) >= 260


def test_version_1_2_has_every_mandatory_column_filled(store: Store) -> None:
    """What FOCUS 1.2 marks mandatory and not nullable; `InvoiceId` stays null until an invoice is issued."""
    mandatory = (
        "BilledCost", "BillingAccountId", "BillingCurrency", "BillingPeriodEnd", "BillingPeriodStart",
        "ChargeCategory", "ChargePeriodEnd", "ChargePeriodStart", "ContractedCost", "EffectiveCost",
        "InvoiceIssuerName", "ListCost", "PricingQuantity", "PricingUnit", "ProviderName", "PublisherName",
        "ServiceCategory", "ServiceName", "ChargeDescription",
    )  # fmt: skip
    for row in rows(store, spec="1.2"):
        assert all(row[name] for name in mandatory)
        start = datetime.fromisoformat(row["ChargePeriodStart"])
        assert start.tzinfo == UTC
        assert datetime.fromisoformat(row["ChargePeriodEnd"]) - start == timedelta(days=1)
