"""Exported configurations decide as the strategy does, and what they cannot say is listed."""

from __future__ import annotations

import importlib
import json
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest
import yaml
from builder import build_store
from hypothesis import given, settings
from hypothesis import strategies as st

from replay import export
from replay.export import Exported, Known
from replay.export.conditions import InexpressibleError, condition_of
from replay.strategy import schema
from replay.strategy.fields import Selection

TARGETS = ("litellm", "portkey", "vllm")
AGENTS = ["research_agent", "Drafting_Agent", "outline", None]
TASKS = ["web_summary", "Section_Draft", "complex_reasoning_1", "rewrite", "undefined-ish", None]


def calls(count: int, seed: int = 0) -> pl.DataFrame:
    rng = np.random.default_rng(seed)

    def pick(values: list[Any]) -> list[Any]:
        return [values[i] for i in rng.integers(0, len(values), count)]

    return pl.DataFrame(
        {
            "agent": pick(AGENTS),
            "task": pick(TASKS),
            "model": pick(["gpt-4-turbo", "gpt-4o"]),
            "input_tokens": rng.integers(0, 3000, count),
            "input_words": rng.integers(0, 2000, count),
            "max_tokens": pick([None, 256, 4096]),
            "temperature": pick([None, 0.0, 0.7, 1.5]),
            "tool_count": pick([None, 0, 1, 5]),
            "has_images": pick([None, True, False]),
            "stream": pick([None, True, False]),
            "tags": pick([[], ["prod"], None]),
        },
        schema_overrides={"tags": pl.List(pl.String)},
    )


KNOWN = Known(
    values={
        "agent": [a for a in AGENTS if a],
        "task": [t for t in TASKS if t],
        "model": ["gpt-4-turbo", "gpt-4o"],
    },
    pairs=[(agent, task) for agent in AGENTS for task in TASKS],
    providers={"gpt-4-turbo": "openai"},
)


def exported(target: str, route: str, known: Known = KNOWN) -> tuple[schema.Strategy, Exported, Any]:
    chosen = schema.parse(f"name: x\nroute:\n{route}")
    router = importlib.import_module(f"replay.export.{target}")
    return chosen, router.export(chosen, known), router


EVERYWHERE = """
  - {match: {agent: RESEARCH_agent, task: [web_summary, rewrite]}, model: small}
  - {match: {task: "*reason*"}, model: big}
  - {when: "agent = 'outline' AND NOT task LIKE 'web%'", model: mid}
  - {match: {task: {not: [section_draft, rewrite]}}, model: small}
"""


@pytest.mark.parametrize("target", TARGETS)
@pytest.mark.parametrize("default", ["", "  - {default: mid}\n", "  - {default: logged}\n"])
def test_rules_on_agent_and_task_are_exact_everywhere(target: str, default: str):
    chosen, result, router = exported(target, EVERYWHERE + default)
    assert result.dropped == ()
    found = export.check(chosen, result, router, calls(1000))
    assert (found.calls, found.same) == (1000, 1000), found.examples


@pytest.mark.parametrize(
    ("target", "route"),
    [
        ("portkey", "  - {match: {max_tokens: {gt: 300}, temperature: {le: 0.7}}, model: a}\n  - {default: b}"),
        ("portkey", "  - {match: {max_tokens: {ne: 256}, stream: true}, model: a}"),
        ("portkey", "  - {match: {tool_count: {ge: 1}}, model: a}\n  - {match: {model: gpt-4O}, model: b}"),
        ("portkey", '  - {when: "temperature BETWEEN 0.5 AND 2 OR (max_tokens < 300 AND stream = FALSE)", model: a}'),
        ("vllm", "  - {match: {input_tokens: {lt: 500}, task: 'w*'}, model: a}\n  - {default: b}"),
        ("vllm", '  - {when: "NOT (input_tokens >= 1000 OR has_images = TRUE)", model: a}'),
        ("vllm", "  - {when: \"input_tokens BETWEEN 100 AND 900 AND agent <> 'outline'\", model: a}"),
    ],
)
def test_each_router_expresses_the_numbers_it_sees(target: str, route: str):
    chosen, result, router = exported(target, route)
    assert result.dropped == ()
    frame = calls(1000)
    if target == "vllm":  # the request itself always says whether it has images
        frame = frame.with_columns(pl.col("has_images").fill_null(False))
    found = export.check(chosen, result, router, frame)
    assert found.same == 1000, found.examples


@pytest.mark.parametrize(
    ("target", "route", "words"),
    [
        ("litellm", "  - {match: {input_tokens: {lt: 9}}, model: a}", "routes by tag only"),
        ("portkey", "  - {match: {input_words: {lt: 9}}, model: a}", "'input_words' is not in metadata"),
        ("portkey", "  - {match: {tags: prod}, model: a}", "list"),
        ("portkey", "  - {match: {tool_count: {lt: 3}}, model: a}", "bounded from below"),
        ("portkey", "  - {when: \"LOWER(task) = 'x'\", model: a}", "LOWER"),
        ("portkey", "  - {match: {agent: null}, model: a}", "'agent'"),
        ("vllm", "  - {match: {temperature: {lt: 1}}, model: a}", "no signal"),
        ("vllm", "  - {match: {agent: nobody}, model: a}", "no value"),
        ("vllm", '  - {when: "input_tokens / 2 > 7", model: a}', "is not a column"),
    ],
)
def test_what_a_router_cannot_express_is_listed_with_the_reason(target: str, route: str, words: str):
    _, result, _ = exported(target, f"{route}\n  - {{match: {{task: rewrite}}, model: b}}")
    assert len(result.dropped) == 1
    assert words in result.dropped[0]
    assert result.dropped[0].startswith("rule 1: ")


@pytest.mark.parametrize("target", TARGETS)
def test_a_cascade_is_listed_not_guessed(target: str):
    route = "  - {match: {task: rewrite}, cascade: [a, b], escalate: {share: 0.2}}\n  - {default: c}"
    _, result, _ = exported(target, route)
    assert "cascade" in result.dropped[0]


@pytest.mark.parametrize("target", TARGETS)
def test_the_text_is_the_document(target: str):
    _, result, _ = exported(target, EVERYWHERE)
    assert (json.loads(result.text) if target == "portkey" else yaml.safe_load(result.text)) == result.document


def test_without_a_log_portkey_spells_both_cases_out():
    chosen, result, router = exported("portkey", EVERYWHERE, Known())
    assert result.dropped == ()
    assert export.check(chosen, result, router, calls(1000)).same == 1000
    assert "[rR]" in result.text
    assert "[rR]" not in exported("portkey", EVERYWHERE)[1].text


texts = st.sampled_from(["a", "B*", "*b", "a?c", "x.y", "(z", "UNDEFINED", "", "ab"])
values = st.none() | st.sampled_from(["a", "b", "AB", "abc", "aXc", "x.y", "xzy", "(z", "undefine", "B"])


@settings(deadline=None, max_examples=150)
@given(
    st.lists(st.fixed_dictionaries({}, optional={
        "agent": texts | st.lists(texts, min_size=1, max_size=3),
        "task": st.builds(dict, **{"not": texts}) | st.builds(dict, contains=st.sampled_from(["b", "X"])),
        "max_tokens": st.builds(dict, lt=st.integers(0, 5)) | st.builds(dict, ne=st.integers(0, 5)),
    }).filter(bool), min_size=1, max_size=3),
    st.lists(st.tuples(values, values, st.none() | st.integers(0, 5)), min_size=1, max_size=12),
    st.booleans(),
)  # fmt: skip
def test_portkey_conditions_mean_what_the_rules_mean(matches: list[Any], rows: list[Any], with_log: bool):
    frame = pl.DataFrame(rows, schema={"agent": pl.String, "task": pl.String, "max_tokens": pl.Int64}, orient="row")
    frame = frame.with_columns(model=pl.lit("own"))
    chosen = schema.Strategy.model_validate(
        {"name": "x", "route": [{"match": match, "model": f"m{i}"} for i, match in enumerate(matches)]}
    )
    seen = {name: sorted({v for v in frame[name].to_list() if v is not None}) for name in ("agent", "task")}
    router = importlib.import_module("replay.export.portkey")
    result = router.export(chosen, Known(values=seen) if with_log else Known())
    assert result.dropped == ()
    found = export.check(chosen, result, router, frame)
    assert found.same == found.calls, (found.examples, result.text)


def test_a_negated_computation_is_inexpressible_not_wrong():
    with pytest.raises(InexpressibleError):
        condition_of(Selection(when="NOT (input_tokens % 2 = 0)"))


@pytest.mark.parametrize("target", TARGETS)
def test_the_command_checks_itself_on_logged_calls(target: str, tmp_path: Path):
    from typer.testing import CliRunner

    from cli.app import app

    rows = [
        {
            "start_time": datetime(2024, 3, 1) + timedelta(minutes=i),
            "agent": ("writer", "Reader")[i % 2],
            "task": ("summary", "draft", None)[i % 3],
            "input_tokens": i,
        }
        for i in range(1200)
    ]
    store = build_store(tmp_path / "s.duckdb", rows)
    from analysis.ledger import ledger

    ledger.update(store)
    path = tmp_path / "s.yaml"
    path.write_text("name: x\nroute:\n  - {match: {agent: reader, task: 'SUM*'}, model: small}\n")
    out = tmp_path / "config"
    result = CliRunner().invoke(
        app, ["export", target, str(path), "-o", str(out), "--store", str(store.path), "--json"]
    )
    assert result.exit_code == 0, result.output
    told = json.loads(result.stdout)
    assert (told["checked_calls"], told["same_decisions"], told["dropped"]) == (1000, 1000, [])
    assert out.read_text()


# -- who is held back --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("target", TARGETS)
@pytest.mark.parametrize("unit", ["call", "conversation", "user"])
@pytest.mark.parametrize("default", ["", "  - {default: mid}\n", "  - {default: logged}\n"])
def test_the_held_back_keep_their_model_and_the_treated_are_routed_as_without_a_holdback(
    target: str, unit: str, default: str
):
    route = EVERYWHERE + default
    plain, whole, router = exported(target, route)
    held = plain.model_copy(update={"rollout": schema.Rollout(share=0.9, unit=unit, seed=3)})
    found = router.export(held, KNOWN)
    assert found.dropped == whole.dropped
    for call in calls(200, 5).iter_rows(named=True):
        assert router.decide(found.document, call) == router.decide(whole.document, call)
        assert router.decide(found.document, {**call, "arm": "treated"}) == router.decide(whole.document, call)
        assert router.decide(found.document, {**call, "arm": "control"}) is None
    said = " ".join(found.notes)
    if unit == "call" and target != "vllm":
        assert "draws each call's arm by weight" in said
    else:
        assert f"{unit} whose sha256('3:<its id>')" in said
    everyone = router.export(plain.model_copy(update={"rollout": schema.Rollout(share=1.0)}), KNOWN)
    assert everyone.text == whole.text


def test_weights_are_the_share_and_the_rest():
    held = schema.parse("name: x\nroute: [{default: mid}]\nrollout: {share: 0.8, unit: call}")
    proxy = importlib.import_module("replay.export.litellm").export(held, KNOWN).document
    for asked in ("gpt-4-turbo", "gpt-4o"):
        weights = {
            entry["model_info"]["hindcast"]: entry["litellm_params"].get("weight")
            for entry in proxy["model_list"]
            if entry["model_name"] == asked
        }
        assert weights == {"mid": 0.8, asked: 0.2}
    gateway = importlib.import_module("replay.export.portkey").export(held, KNOWN).document
    assert [target["weight"] for target in gateway["targets"]] == [0.8, 0.2]
    assert gateway["targets"][0]["strategy"]["mode"] == "conditional"
