"""Two periods beside each other say what the command says of each; an edited strategy travels in the address."""

from __future__ import annotations

import base64
import json
from collections.abc import Callable
from decimal import Decimal
from html import unescape
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from typer.testing import CliRunner

from analysis.formatting import money
from cli.app import app
from dashboard.data import strategy_files
from ingest.store.database import Store
from replay.traffic.traffic import KEY_POLICIES

Opened = Callable[..., Any]
EDIT = "name: every draft elsewhere\nroute:\n  - {match: {agent: drafting_agent}, model: gpt-3.5-turbo}\n"


def said(page: Any) -> str:
    return unescape("\n".join(part.value for part in page.html)).replace("\u00a0", " ")


def spent(store: Store, first: str, last: str) -> Decimal:
    asked = ["cost", "--by", "agent", "--since", first, "--until", last, "--store", str(store.path), "--json"]
    return Decimal(json.loads(CliRunner().invoke(app, asked).stdout)["total"]["cost_usd"])


@pytest.mark.parametrize(
    ("query", "now", "then"),
    [
        ({}, ("2024-03-02", "2024-03-08"), ("2024-02-24", "2024-03-01")),
        ({"days": "2024-03-05..2024-03-06", "vs": "a week earlier", "cut": "agent"},
         ("2024-03-05", "2024-03-06"), ("2024-02-27", "2024-02-28")),
    ],
)  # fmt: skip
def test_the_page_says_what_cost_says_of_both_periods(
    spiky: Store, open_page: Opened, query: dict[str, str], now: tuple[str, str], then: tuple[str, str]
) -> None:
    page = open_page(spiky, "compare", **query)
    text = said(page)
    after, before = spent(spiky, *now), spent(spiky, *then)
    assert f"cost {money(after)} against {money(before)} from" in text
    assert f"{money(after - before, sign=True)}, " in text
    steps = next(
        trace["x"] for chart in page.get("plotly_chart") for trace in json.loads(chart.proto.spec)["data"]
        if trace["type"] == "waterfall"
    )  # fmt: skip
    amounts = _plain(steps)
    assert sum(amounts[:-1]) == pytest.approx(amounts[-1], abs=1e-6)
    assert "drafting_agent" in text


def test_an_edit_in_the_address_is_run_and_its_effect_stands_beside_it(spiky: Store, open_page: Opened) -> None:
    page = open_page(spiky, "strategies", edit=strategy_files.packed(EDIT), strategies="every draft elsewhere")
    headings = [
        part.value for part in page.html if "every draft elsewhere" in part.value and "hc-finding" in part.value
    ]
    (answer,) = (one.split(">")[1].split("<")[0] for one in headings if one.startswith("<h1"))
    assert answer in "".join(one for one in headings if one.startswith("<h2"))  # beside the editor, too
    assert page.text_area[0].value == EDIT
    page.text_area[0].set_value(EDIT.replace("route", "rout")).run()
    assert "Did you mean 'route'?" in said(page)


@given(st.text(max_size=400))
def test_a_text_comes_back_from_the_address(text: str) -> None:
    assert strategy_files.unpacked(strategy_files.packed(text)) == text


@pytest.mark.parametrize(
    "code", ["", "x", "%%%", "eJw", strategy_files.packed("a" * 100_000), strategy_files.packed("b")[:-3]]
)
def test_what_is_no_text_of_an_address_is_none(code: str) -> None:
    assert strategy_files.unpacked(code) is None


@pytest.mark.parametrize("key", KEY_POLICIES)
def test_the_cache_of_the_lab_is_a_strategy(key: str) -> None:
    for life, written in ((600_000, "10m"), (86_400_000, "1d"), (1500, "1500ms"), (7_200_000, "2h")):
        entry = strategy_files.check(strategy_files.cache_strategy(key, life, hot=False), "cache.yaml")
        if entry.strategy is None:
            assert entry.problem is not None
            assert key in entry.problem
            continue
        assert entry.strategy.cache is not None
        assert entry.strategy.cache.tiers[0].ttl_ms == life
        assert entry.strategy.cache.max_temperature == 0
        assert entry.name == f"shared cache {written}"


def _plain(values: Any) -> list[float]:
    """A picture's numbers, which plotly may send as bytes."""
    if isinstance(values, dict):
        return list(np.frombuffer(base64.b64decode(values["bdata"]), values["dtype"]).astype(float))
    return [float(value) for value in values]
