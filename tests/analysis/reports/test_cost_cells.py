"""A report made of cells is the report made of the calls."""

from __future__ import annotations

import random
from collections.abc import Iterator
from datetime import date, datetime, timedelta
from typing import Any

import pytest

from analysis import time_zone
from analysis.ledger import ledger
from analysis.reports.cost import cost
from analysis.reports.cost_cells import CostCells, read_cells
from analysis.reports.filtered_store import filtered
from dashboard.documents import document_views
from ingest.store.database import Store
from tests.builder import build_in_memory

DAY = date(2024, 3, 30)  # clocks in Berlin go forward on the next
QUESTIONS: list[tuple[tuple[str, ...], date | None, date | None, tuple[str, ...]]] = [
    (("day", "agent"), None, None, ()),
    (("week", "model", "task"), None, None, ("agent=a",)),
    (("model",), DAY, DAY + timedelta(days=1), ("model!=gpt*", "status=error")),
    (("month", "weekday"), DAY, None, ("agent=(none)",)),
    ((), None, DAY, ("day=2024-03-30",)),
    (("provider", "status"), None, None, ("task=draft", "task=(none)")),
    (("day",), date(2030, 1, 1), None, ()),
]


def call(chance: random.Random) -> dict[str, Any]:
    tokens = chance.choice([None, 10, 1234])
    moment = datetime(2024, 3, 29, 20) + timedelta(minutes=chance.randrange(60 * 80))
    return {
        "agent": chance.choice([None, "a", "b", "A"]),
        "task": chance.choice([None, "draft"]),
        "model": chance.choice(["gpt-4-turbo", "gpt-3.5-turbo", "nobody-knows"]),
        "provider_name": chance.choice(["openai", "azure"]),
        "status": chance.choice(["ok", "ok", "error"]),
        "input_tokens": tokens,
        "output_tokens": tokens and 7,
        "tokens_source": chance.choice(["reported", "estimated"]),
        "weight": chance.choice(["1", "2.5", "0.333333"]),
        "start_time": chance.choice([None, *[moment] * 9]),
    }


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Store:
    chance = random.Random(20)
    made = build_in_memory([call(chance) for _ in range(400)])
    ledger.update(made)
    return made


@pytest.fixture(params=["UTC", "Europe/Berlin", "Asia/Kolkata"])
def cells(request: pytest.FixtureRequest, store: Store) -> Iterator[CostCells]:
    time_zone.set_in_thread(request.param)
    found = read_cells(store)
    assert found is not None
    yield found
    time_zone.set_in_thread(None)


def test_every_question_has_the_answer_of_the_calls(store: Store, cells: CostCells) -> None:
    for by, since, until, where in QUESTIONS:
        assert cells.answers(by, where), by
        assert cells.cost(by, since, until, where).to_json() == cost(store, by, since, until, where).to_json(), by


def test_coverage_and_ranks_are_those_of_the_calls(store: Store, cells: CostCells) -> None:
    assert document_views.coverage(store, cells) == document_views.coverage(store)
    chosen = ["agent!=a", "model=gpt*"]
    assert document_views.coverage(store, cells, chosen) == document_views.coverage(filtered(store, chosen))
    for name in ("agent", "task", "model"):
        assert document_views.ranked(store, name, cells) == document_views.ranked(store, name)


def test_what_cells_cannot_tell_is_left_to_the_calls(cells: CostCells) -> None:
    assert not cells.answers(["session"])
    assert not cells.answers(["day"], ["user=x"])
    assert not cells.answers(["hour"])
    time_zone.set_in_thread("America/New_York")
    assert not cells.answers(["day"])


def test_more_cells_than_are_wanted_are_not_made(store: Store) -> None:
    assert read_cells(store, most=50) is None
    few = read_cells(store, most=399)
    assert few is not None
    assert few.kept == ("agent", "task", "model", "provider")
