"""The registry of dimensions: groups partition the calls, and a filter by a group's value gives that group."""

from __future__ import annotations

import fnmatch
from collections import Counter
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from builder import build_in_memory
from hypothesis import given, settings
from hypothesis import strategies as st

from analysis import dimensions
from analysis.attribution.segment_sums import day_sums
from analysis.diagnosis.diagnose import diagnose
from analysis.dimensions import as_filter, dimension, pattern
from analysis.ledger.ledger import update
from analysis.reports.calls import calls
from analysis.reports.cost import cost
from analysis.reports.filtered_store import filtered
from ingest.errors import InputError
from ingest.store.database import Store
from ingest.store.schema import CALL_COLUMNS
from replay.strategy.conditions import COLUMNS as RULE_COLUMNS
from replay.traffic.load_traffic import load

DAY = datetime(2024, 3, 4)
GROUPS = dimensions.names("group")
NAMES = [name for name in GROUPS if not name.startswith("tag.")] + ["tag.team"]


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Store:
    """Three days of 40 calls, in which each column of text, number or truth has values and, in places, none."""
    typed = {"VARCHAR": lambda n: f"v{n % 3}", "BOOLEAN": lambda n: n % 2 == 0}
    skip = ("model", "tokens_source", "cost_status")
    rows = []
    for n in range(120):
        row: dict[str, Any] = {
            name: typed[kind](n + len(name)) for name, kind in CALL_COLUMNS.items()
            if kind in typed and name not in skip and (n + len(name)) % 5
        }  # fmt: skip
        row |= {"start_time": DAY + timedelta(days=n // 40, hours=n % 24), "input_tokens": 100 + n, "output_tokens": n}
        row |= {
            "agent": [None, "Draft*Agent", "draft agent", "(none)"][n % 4],
            "tags": ["a", f"team:t{n % 2}"][: n % 3],
        }
        row |= {"attempt": n % 2 + 1, "http_status": 200, "temperature": 0.5 * (n % 2), "weight": 1}
        row["provider_name"] = "openai"
        row.pop("service_tier", None)
        rows.append(row)
    built = build_in_memory(rows)
    update(built)
    return built


def test_a_name_and_an_alias_mean_one_dimension_each() -> None:
    counts = Counter(name for entry in dimensions.REGISTRY for name in (entry.name, *entry.aliases))
    assert [name for name, n in counts.items() if n > 1] == []
    assert dimension("conversation_id").name == dimension("gen_ai.conversation.id").name == "session"


def test_every_column_of_rules_is_in_the_registry() -> None:
    assert {entry.rule for entry in dimensions.REGISTRY if entry.rule} == set(RULE_COLUMNS)


@pytest.mark.parametrize("name", NAMES)
def test_groups_sum_to_the_total_and_a_filter_by_a_value_gives_its_row(store: Store, name: str) -> None:
    whole = cost(store, by=()).total
    rows = cost(store, by=(name,)).rows
    assert sum(row["calls"] for row in rows) == whole["calls"] == 120
    assert sum(row["cost_usd"] or 0 for row in rows) == whole["cost_usd"]
    for row in rows[:: -(-len(rows) // 6)]:
        value = row[dimension(name).name]
        text = None if value is None else value.isoformat() if hasattr(value, "isoformat") else str(value)
        asked = [f"{name}={pattern(text)}"]
        assert cost(store, by=(name,), where=asked).rows == [row]
        found = calls(store, asked)
        assert (found.calls, found.cost_usd) == (row["calls"], row["cost_usd"])
        kept = load(filtered(store, asked))
        assert len(kept) == row["calls"]
        assert kept.cost[kept.cost >= 0].sum() == int((row["cost_usd"] or 0) * 10**12)
        rest = cost(store, by=(), where=[f"{name}!={pattern(text)}"]).total
        assert rest["calls"] == whole["calls"] - row["calls"]


@pytest.mark.parametrize("name", ["agent", "user", "tier", "stream", "hour_of_day"])
def test_a_diagnosis_splits_and_filters_as_the_costs_do(store: Store, name: str) -> None:
    day = DAY.date() + timedelta(days=2)
    whole = diagnose(store, day=day, by=(name,))
    assert whole.actual == cost(store, by=(), since=day, until=day).total["cost_usd"]
    assert sum(line.delta for line in whole.drivers) + whole.residual == whole.actual - whole.expected
    priced = [row for row in cost(store, by=(name,), since=day, until=day).rows if row["cost_usd"] is not None]
    for row in priced[:2]:
        value = row[name]
        part = filtered(store, [f"{name}={pattern(None if value is None else str(value))}"])
        assert diagnose(part, day=day, by=("agent",)).actual == row["cost_usd"]


def test_conditions_of_one_dimension_are_alternatives_and_of_several_hold_together(store: Store) -> None:
    def n(*where: str) -> int:
        return calls(store, where).calls

    assert n("agent=(none)", "agent=draft agent") == n("agent=(none)") + n("agent=draft agent")
    assert n('agent="(none)"') == 30
    assert n("agent=DRAFT*") == 60
    assert n("agent=draft[*]agent") == 30
    assert n("agent!=draft*", "agent!=(none)") == 30
    assert n("agent=draft*", "attempt=1") == n("attempt=1") - n("attempt=1", "agent!=draft*")


@pytest.mark.parametrize(("use", "name"), [("segment", "day"), ("segment", "session"), ("group", "tags")])
def test_what_a_dimension_cannot_be_used_for_is_said_with_the_reason(use: Any, name: str) -> None:
    with pytest.raises(InputError, match=f"cannot be .* by '{name}': ."):
        dimension(name, use)


@pytest.mark.parametrize(
    "ask",
    [
        lambda s: cost(s, by=("sesion",)),
        lambda s: calls(s, ["sesion=a"]),
        lambda s: filtered(s, ["sesion=a"]),
        lambda s: diagnose(s, by=("sesion",)),
    ],
)
def test_an_unknown_dimension_is_refused_in_the_same_words(store: Store, ask: Any) -> None:
    with pytest.raises(InputError) as refused:
        ask(store)
    assert str(refused.value) == "no dimension 'sesion'\nDid you mean 'session'?"


def test_a_filter_that_keeps_nothing_says_so(store: Store) -> None:
    with pytest.raises(InputError, match="no call has agent=nobody"):
        load(filtered(store, ["agent=nobody"]))


def test_values_are_parameters(store: Store) -> None:
    text, values = as_filter(["agent=x' OR '1'='1", "tag.a'b=y"]).sql()
    assert "'1'" not in text
    assert "x' OR '1'='1" in values.values()
    assert calls(store, ["agent=x' OR '1'='1"]).calls == calls(store, ["tag.a'b=y"]).calls == 0


_TEXT = st.text("ab(.[]\\+ é\n", max_size=6)


@settings(deadline=None, max_examples=60)
@given(glob=st.text("ab*?.(\\", max_size=6), texts=st.lists(_TEXT, min_size=1, max_size=5))
def test_a_glob_keeps_what_fnmatch_keeps(tmp_path_factory: pytest.TempPathFactory, glob: str, texts: list[str]) -> None:
    import duckdb

    condition, values = as_filter([f"agent={glob}"]).sql()
    with duckdb.connect() as con:
        con.execute("CREATE TABLE costs (agent VARCHAR)")
        con.executemany("INSERT INTO costs VALUES (?)", [[text] for text in texts])
        found = [row[0] for row in con.execute(f"SELECT agent FROM costs WHERE {condition}", values).fetchall()]
    assert sorted(found) == sorted(text for text in texts if fnmatch.fnmatchcase(text.lower(), glob.lower()))


def test_the_table_in_the_docs_is_the_registry() -> None:
    page = (Path(__file__).parents[2] / "docs" / "cost.md").read_text(encoding="utf-8")
    for entry in dimensions.REGISTRY:
        if entry.only_rules is None:
            assert f"| `{entry.name}` | {entry.about} |" in page, entry.name


def test_a_day_is_split_by_the_registry_alone(store: Store) -> None:
    with store.read() as con, pytest.raises(InputError, match="a day cannot be explained by 'week'"):
        day_sums(con, [DAY.date()], ["week"])
