"""The invoice against the ledger: planted gaps come back under their own names, and the effects sum to the gap."""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from builder import build_in_memory
from hypothesis import given, settings
from hypothesis import strategies as st

from analysis.billing.invoice import InvoiceLine, split_line_item
from analysis.billing.read_invoice import read_invoice
from analysis.billing.reconcile import Reconciliation, reconcile
from analysis.ledger.ledger import update
from ingest.errors import InputError
from ingest.store.database import Store

START = datetime(2025, 3, 1)
DAYS = 20
MODELS = {"gpt-4-turbo": (10, 10, 30), "gpt-4o-2024-08-06": (2.5, 1.25, 10), "gpt-4o-mini": (0.15, 0.075, 0.6)}
MILLION = Decimal(1_000_000)


def calls() -> list[dict[str, Any]]:
    rng = np.random.default_rng(7)
    found = []
    for n in range(2400):
        model = list(MODELS)[int(rng.integers(3))]
        tokens = int(rng.integers(500, 4000))
        found.append(
            {
                "start_time": START + timedelta(seconds=int(rng.integers(DAYS * 86_400))),
                "model": model,
                "input_tokens": tokens,
                "cache_read_input_tokens": 128 * int(rng.integers(0, tokens // 256)) if "4o" in model else 0,
                "output_tokens": int(rng.integers(50, 800)),
                "is_batch": bool(n % 10 == 0) and model == "gpt-4o-2024-08-06",
                "call_no": n,
            }
        )
    return found


CALLS = calls()


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Store:
    built = build_in_memory(CALLS)
    update(built)
    return built


def bill(chosen: Iterable[dict[str, Any]], offset: int = 0) -> list[InvoiceLine]:
    """The invoice that these calls make: a line per day, model, kind and tier, at list prices."""
    sums: dict[tuple[date, str, str, str], int] = {}
    for call in chosen:
        day = (call["start_time"] + timedelta(hours=offset)).date()
        tier = "batch" if call["is_batch"] else "standard"
        read = call["cache_read_input_tokens"]
        for kind, count in (
            ("input", call["input_tokens"] - read), ("cache_read", read), ("output", call["output_tokens"]),
        ):  # fmt: skip
            if count:
                place = (day, call["model"], kind, tier)
                sums[place] = sums.get(place, 0) + count
    lines = []
    for (day, model, kind, tier), count in sorted(sums.items()):
        price = Decimal(str(MODELS[model][("input", "cache_read", "output").index(kind)]))
        if tier == "batch" and kind != "cache_read":  # the batch price list has no cached price of its own
            price /= 2
        lines.append(
            InvoiceLine(
                day, "openai", model, kind, tier, Decimal(count), count * price / MILLION, f"{model}, {kind}", "test"
            )
        )
    return lines


def usd_of(lines: Iterable[InvoiceLine]) -> Decimal:
    return sum((line.amount_usd or Decimal(0) for line in lines), Decimal(0))


def exact(found: Reconciliation) -> Reconciliation:
    assert sum(effect.usd for effect in found.effects) == found.gap
    return found


def visible(found: Reconciliation) -> dict[str, Decimal]:
    """Effects worth a billionth of a dollar or more."""
    return {name: amount for name, amount in found.totals().items() if abs(amount) > Decimal("1e-9")}


def test_an_invoice_of_the_same_calls_leaves_no_gap(store: Store) -> None:
    found = exact(reconcile(store, bill(CALLS)))
    assert found.gap == 0
    assert found.totals() == {}


def close(value: Decimal | None, expected: Decimal) -> bool:
    """Within 1 % of the planted dollars."""
    return value is not None and abs(value - expected) <= abs(expected) / 100


def test_planted_gaps_of_every_kind_come_back_by_name(store: Store) -> None:
    """Each on its own days or model, so that each one's dollars are known."""
    day = {n: (START + timedelta(days=n)).date() for n in range(DAYS)}
    lines = bill(CALLS)
    planted: dict[str, Decimal] = {}

    def change(name: str, chosen: Any, make: Any) -> None:
        before = [line for line in lines if chosen(line)]
        after = [new for line in before for new in make(line)]
        assert before, name
        planted[name] = usd_of(after) - usd_of(before)
        for line in before:
            lines.remove(line)
        lines.extend(after)

    def times(line: InvoiceLine, quantity: Decimal, price: Decimal = Decimal(1)) -> InvoiceLine:
        assert line.quantity is not None
        assert line.amount_usd is not None
        return replace(line, quantity=line.quantity * quantity, amount_usd=line.amount_usd * quantity * price)

    change("missing_calls", lambda x: x.day == day[2], lambda x: [times(x, Decimal("1.5"))])
    change("extra_calls", lambda x: x.day in (day[4], day[5]), lambda x: [times(x, Decimal("0.6"))])
    change(
        "price",
        lambda x: x.day == day[7] and x.model == "gpt-4-turbo",
        lambda x: [times(x, Decimal(1), Decimal("1.1"))],
    )
    change(
        "tier",
        lambda x: x.day in (day[9], day[10]) and x.model == "gpt-4o-2024-08-06" and x.tier == "batch",
        lambda x: [replace(x, tier="standard", amount_usd=(1 if x.kind == "cache_read" else 2) * x.amount_usd)],
    )
    change(
        "cache_split",
        lambda x: (
            x.day == day[12] and x.kind == "cache_read" and x.model == "gpt-4o-2024-08-06" and x.tier == "standard"
        ),
        lambda x: [replace(x, kind="input", amount_usd=2 * x.amount_usd)],
    )
    storage = InvoiceLine(day[14], "openai", None, "other", None, None, Decimal("3.21"), "vector storage", "test")
    lines.append(storage)
    planted["unmatched_lines"] = Decimal("3.21")
    other = InvoiceLine(
        day[15], "openai", "gpt-4.1", "input", "standard", Decimal(400_000), Decimal("0.8"), "x", "test"
    )
    lines.append(other)
    planted["missing_calls"] += Decimal("0.8")

    found = exact(reconcile(store, lines))
    totals = found.totals()
    for name, amount in planted.items():
        assert close(totals.get(name), amount), (name, amount, totals)
    wrong = sum(abs(amount - planted.get(name, Decimal(0))) for name, amount in totals.items())
    assert wrong <= sum(abs(amount) for amount in planted.values()) / 100


def test_an_invoice_in_another_zone_is_recognised(store: Store) -> None:
    inside = [c for c in CALLS if c["start_time"] - timedelta(hours=8) >= START]
    lines = [x for x in bill(inside, offset=-8) if x.day < (START + timedelta(days=DAYS - 1)).date()]
    found = exact(reconcile(store, lines))
    assert found.zone_hours == -8
    assert set(visible(found)) == {"time_zone_edge"}
    assert close(found.totals()["time_zone_edge"], found.gap)


def test_calls_without_a_price_are_named_and_valued_at_the_invoices_price(tmp_path: Path) -> None:
    call = {
        "start_time": START,
        "model": "house-model",
        "provider_name": "openai",
        "input_tokens": 1000,
        "output_tokens": 0,
    }
    store = build_in_memory([call])
    update(store)
    line = InvoiceLine(
        START.date(), "openai", "house-model", "input", "standard", Decimal(1000), Decimal("0.5"), "x", "t"
    )
    found = exact(reconcile(store, [line]))
    assert found.totals() == {"unpriced_calls": Decimal("0.5")}


def test_a_cost_report_alone_cannot_split_price_from_quantity(store: Store) -> None:
    lines = [replace(line, quantity=None, amount_usd=(line.amount_usd or 0) * 2) for line in bill(CALLS)]
    found = exact(reconcile(store, lines))
    assert set(found.totals()) == {"amount_only"}


def test_cents_of_an_invoice_are_rounding_and_not_a_price(store: Store) -> None:
    lines = [replace(line, amount_usd=round(line.amount_usd or Decimal(0), 2)) for line in bill(CALLS)]
    found = exact(reconcile(store, lines))
    assert set(found.totals()) == {"rounding"}


def test_only_the_calls_of_the_billing_provider_are_compared(tmp_path: Path) -> None:
    rows = [
        {"start_time": START, "model": "gpt-4-turbo", "input_tokens": 1000, "output_tokens": 0},
        {
            "start_time": START,
            "model": "claude-3-opus-20240229",
            "provider_name": "anthropic",
            "input_tokens": 9,
            "output_tokens": 9,
        },
    ]
    store = build_in_memory(rows)
    update(store)
    line = InvoiceLine(
        START.date(), "openai", "gpt-4-turbo", "input", "standard", Decimal(1000), Decimal("0.01"), "x", "t"
    )
    assert exact(reconcile(store, [line])).gap == 0


@given(
    st.lists(
        st.builds(
            InvoiceLine,
            day=st.dates(START.date(), START.date() + timedelta(days=3)),
            provider=st.just("openai"),
            model=st.sampled_from([*MODELS, "gpt-4.1", "nobody", None]),
            kind=st.sampled_from(["input", "cache_read", "cache_write", "cache_write_1h", "output", "other", "all"]),
            tier=st.sampled_from(["standard", "batch", "odd", None]),
            quantity=st.one_of(st.none(), st.integers(0, 10**9).map(Decimal)),
            amount_usd=st.one_of(st.none(), st.decimals(-5, 500, places=4)),
            text=st.just(""),
            where=st.just("t"),
        ),
        min_size=1,
        max_size=12,
    )
)
@settings(max_examples=12)
def test_the_effects_always_sum_to_the_gap(store: Store, lines: list[InvoiceLine]) -> None:
    exact(reconcile(store, lines))


# -- the files ---------------------------------------------------------------------------------------------------------


def write(path: Path, document: Any) -> Path:
    path.write_text(document if isinstance(document, str) else json.dumps(document))
    return path


def epoch(day: date) -> int:
    return int(datetime(day.year, day.month, day.day, tzinfo=UTC).timestamp())


def test_openai_usage_and_costs_pages_reconcile_together(store: Store, tmp_path: Path) -> None:
    usage, costs = [], []
    for line in bill(CALLS):
        place = {"object": "bucket", "start_time": epoch(line.day), "end_time": epoch(line.day) + 86_400}
        key = {"input": "input_tokens", "cache_read": "input_cached_tokens", "output": "output_tokens"}[line.kind]
        counts = {"input_tokens": 0, "output_tokens": 0, key: int(line.quantity or 0)}
        if line.kind == "cache_read":
            counts["input_tokens"] = int(line.quantity or 0)
        result = {"object": "organization.usage.completions.result", "model": line.model, "batch": line.tier == "batch"}
        usage.append({**place, "results": [{**result, **counts, "num_model_requests": 1}]})
        words = {"input": "input", "cache_read": "cached input", "output": "output"}[line.kind]
        item = f"{line.model}{' (batch)' if line.tier == 'batch' else ''}, {words}"
        amount = {"value": float(line.amount_usd or 0), "currency": "usd"}
        costs.append(
            {
                **place,
                "results": [
                    {
                        "object": "organization.costs.result",
                        "amount": amount,
                        "line_item": item,
                        "quantity": float(line.quantity or 0),
                    }
                ],
            }
        )
    files = [
        write(tmp_path / "usage.json", {"object": "page", "data": usage}),
        write(tmp_path / "costs.json", {"object": "page", "data": costs}),
    ]
    found = exact(reconcile(store, [line for file in files for line in read_invoice(file)]))
    assert abs(found.gap) < Decimal("1e-9")
    # the costs page alone carries quantities too
    assert abs(exact(reconcile(store, read_invoice(files[1]))).gap) < Decimal("1e-9")


def test_anthropic_amounts_are_cents(tmp_path: Path) -> None:
    token_line = {
        "amount": "123.45", "currency": "USD", "cost_type": "tokens", "model": "claude-3-5-sonnet-20241022",
        "service_tier": "standard", "token_type": "output_tokens", "description": "Claude Sonnet 3.5 - Output Tokens",
    }  # fmt: skip
    search_line = {"amount": "50", "currency": "USD", "cost_type": "web_search", "model": None, "description": "Search"}
    bucket = {"starting_at": "2025-03-01T00:00:00Z", "ending_at": "2025-03-02T00:00:00Z"}
    report = {"data": [{**bucket, "results": [token_line, search_line]}], "has_more": False, "next_page": None}
    lines = read_invoice(write(tmp_path / "cost.json", report))
    assert [(x.kind, x.model, x.amount_usd) for x in lines] == [
        ("output", "claude-3-5-sonnet-20241022", Decimal("1.2345")),
        ("other", None, Decimal("0.5")),
    ]


def test_anthropic_usage_and_cost_reports_reconcile_with_their_calls(tmp_path: Path) -> None:
    model = "claude-3-7-sonnet-20250219"
    call = {
        "start_time": START, "model": model, "provider_name": "anthropic", "input_tokens": 10_000,
        "cache_read_input_tokens": 4000, "cache_creation_input_tokens": 3000, "cache_creation_1h_input_tokens": 1000,
        "output_tokens": 500,
    }  # fmt: skip
    store = build_in_memory([call])
    update(store)
    bucket = {"starting_at": "2025-03-01T00:00:00Z", "ending_at": "2025-03-02T00:00:00Z"}
    tokens = {
        "uncached_input_tokens": 3000, "cache_read_input_tokens": 4000, "output_tokens": 500,
        "cache_creation": {"ephemeral_5m_input_tokens": 2000, "ephemeral_1h_input_tokens": 1000},
    }  # fmt: skip
    usage = {"data": [{**bucket, "results": [{"model": model, "service_tier": "standard", **tokens}]}]}
    cents = {
        "uncached_input_tokens": "0.9", "cache_read_input_tokens": "0.12", "output_tokens": "0.75",
        "cache_creation.ephemeral_5m_input_tokens": "0.75", "cache_creation.ephemeral_1h_input_tokens": "0.6",
    }  # fmt: skip
    common = {"currency": "USD", "cost_type": "tokens", "model": model, "service_tier": "standard"}
    lines = [{**common, "token_type": kind, "amount": amount, "description": kind} for kind, amount in cents.items()]
    files = [
        write(tmp_path / "usage.json", usage),
        write(tmp_path / "cost.json", {"data": [{**bucket, "results": lines}]}),
    ]
    found = exact(reconcile(store, [line for file in files for line in read_invoice(file)]))
    assert found.invoice_usd == Decimal("0.0312")
    assert found.gap == 0


def test_a_cur_export_may_be_parquet(tmp_path: Path) -> None:
    import pyarrow as pa
    import pyarrow.parquet as pq

    row = {
        "line_item_usage_start_date": datetime(2025, 3, 1), "line_item_product_code": "AmazonBedrock",
        "line_item_usage_type": "USE1-Nova-Pro-output-tokens-batch", "line_item_usage_amount": 2.0,
        "pricing_unit": "1K tokens", "line_item_unblended_cost": 0.0032,
    }  # fmt: skip
    path = tmp_path / "cur.parquet"
    pq.write_table(pa.Table.from_pylist([row]), path)
    (line,) = read_invoice(path)
    assert (line.model, line.kind, line.tier, line.quantity) == ("Nova-Pro", "output", "batch", 2000)
    assert line.amount_usd == Decimal("0.0032")


def test_bedrock_lines_of_a_cur_meet_the_logged_model(tmp_path: Path) -> None:
    model = "anthropic.claude-3-5-sonnet-20240620-v1:0"
    call = {
        "start_time": START,
        "model": model,
        "provider_name": "aws.bedrock",
        "input_tokens": 3000,
        "cache_read_input_tokens": 1000,
        "output_tokens": 400,
    }
    store = build_in_memory([call])
    update(store)
    rows = "line_item_usage_start_date,line_item_product_code,line_item_usage_type,line_item_usage_amount,"
    rows += "pricing_unit,line_item_unblended_cost\n"
    for kind, amount, cost in (
        ("input-tokens", "2", "0.006"),
        ("output-tokens", "0.4", "0.006"),
        ("cache-read-input-token-count", "1", "0.0003"),
    ):
        rows += f"2025-03-01T00:00:00Z,AmazonBedrock,USE1-Claude3.5Sonnet-{kind},{amount},1K tokens,{cost}\n"
    rows += "2025-03-01T00:00:00Z,AmazonEC2,BoxUsage:m5.large,24,Hrs,2.3\n"
    lines = read_invoice(write(tmp_path / "cur.csv", rows))
    assert [(x.model, x.kind, x.quantity) for x in lines] == [
        ("Claude3.5Sonnet", "input", 2000), ("Claude3.5Sonnet", "output", 400), ("Claude3.5Sonnet", "cache_read", 1000),
    ]  # fmt: skip
    totals = exact(reconcile(store, lines)).totals()
    assert "missing_calls" not in totals
    assert "unmatched_lines" not in totals


def test_openrouter_activity_has_one_amount_for_all_tokens(tmp_path: Path) -> None:
    text = "date,model,model_permaslug,usage,byok_usage_inference,requests,prompt_tokens,completion_tokens,"
    text += "reasoning_tokens\n"
    text += "2025-03-01,openai/gpt-4.1,openai/gpt-4.1-2025-04-14,0.0028,0,1,1000,100,0\n"
    lines = read_invoice(write(tmp_path / "activity.csv", text))
    call = {
        "start_time": START,
        "model": "openai/gpt-4.1",
        "provider_name": "openrouter",
        "input_tokens": 1000,
        "output_tokens": 100,
    }
    store = build_in_memory([call])
    update(store)
    assert exact(reconcile(store, lines)).gap == 0


def test_any_csv_reconciles_through_a_mapping(tmp_path: Path) -> None:
    csv = write(tmp_path / "bill.csv", "Date,SKU,Direction,kTokens,Cents\n2025-03-01,gpt-4-turbo,in,1,1\n")
    mapping = write(
        tmp_path / "m.yaml",
        "day: Date\nmodel: SKU\nkind: Direction\nkinds: {in: input, out: output}\nquantity: kTokens\n"
        "quantity_unit: 1000\namount: Cents\namount_unit: 0.01\nprovider: openai\n",
    )
    (line,) = read_invoice(csv, mapping)
    assert (line.kind, line.quantity, line.amount_usd) == ("input", 1000, Decimal("0.01"))
    with pytest.raises(InputError, match=r"bill.csv:2: no column 'Datum'\nDid you mean 'Date'"):
        read_invoice(csv, write(tmp_path / "bad.yaml", "day: Datum\n"))


@pytest.mark.parametrize(
    ("name", "text", "message"),
    [
        ("empty.json", "{}", "no billed lines"),
        ("broken.json", '{"data": [', "not JSON"),
        ("plain.csv", "a,b\n1,2\n", "neither a CUR export nor OpenRouter"),
        ("day.json", '{"data": [{"starting_at": "soon", "results": [{"amount": "1"}]}]}', "not a day: 'soon'"),
        ("amount.json", '{"data": [{"starting_at": "2025-03-01", "results": [{"amount": "x"}]}]}', "not a number: 'x'"),
    ],
)
def test_a_file_that_is_no_invoice_says_so(tmp_path: Path, name: str, text: str, message: str) -> None:
    with pytest.raises(InputError, match=message):
        read_invoice(write(tmp_path / name, text))


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="no such file"):
        read_invoice(tmp_path / "nothing.json")


def test_line_items_name_model_kind_and_tier() -> None:
    assert split_line_item("gpt-4o-2024-08-06, cached input") == ("gpt-4o-2024-08-06", "cache_read", "standard")
    assert split_line_item("gpt-4o-2024-08-06 (batch), output") == ("gpt-4o-2024-08-06", "output", "batch")
    assert split_line_item("vector storage") == (None, "other", None)
