"""Rules say where a call goes: exact matches, bounds and expressions, equal to a plain-Python reading of them."""

from __future__ import annotations

import fnmatch
import time
from pathlib import Path
from typing import Any

import duckdb
import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ingest.errors import StrategyError
from replay.stages import rule_evaluation
from replay.strategy import schema
from replay.strategy.conditions import ExpressionError, check_expression

CALLS = pl.DataFrame(
    {
        "agent": ["Research_Agent", "refinement_agent", "refinement_agent", None, "drafting_agent"],
        "task": ["summary", "CRITIQUE", "rewrite", "summarize", "complex_reasoning_2"],
        "input_words": [100, 100, 2000, None, 499],
        "tags": [["prod", "blue"], [], None, ["PROD"], ["dev"]],
        "has_images": [True, False, None, False, False],
        "text": ["please write SQL", None, "hello", "prove the lemma", "sql"],
        "conversation_id": ["a", "a", "b", None, None],
    }
)


def routed(route: str, frame: pl.DataFrame = CALLS, **more: str) -> list[str | None]:
    extra = "".join(f"\n{key}: {value}" for key, value in more.items())
    chosen = schema.parse(f"name: x{extra}\nroute:\n{route}")
    names = rule_evaluation.targets(chosen)
    return [names[i] if i >= 0 else None for i in rule_evaluation.route(chosen, frame).tolist()]


def test_the_first_rule_that_matches_decides_and_the_rest_stays():
    assert routed("""
  - {match: {task: "summar*", input_words: {lt: 500}}, model: small}
  - {match: {agent: refinement_agent, task: [critique, rewrite]}, model: big}
  - {when: "input_words > 1500 OR task LIKE '%complex_reasoning%'", model: huge}
""") == ["small", "big", "big", None, "huge"]


def test_a_missing_value_satisfies_no_bound_and_no_negation():
    assert routed("  - {match: {input_words: {ge: 0}}, model: a}") == ["a", "a", "a", None, "a"]
    assert routed("  - {match: {agent: {not: drafting_agent}}, model: a}") == ["a", "a", "a", None, None]
    assert routed("  - {match: {agent: null}, model: a}") == [None, None, None, "a", None]
    assert routed("  - {match: {has_images: false}, model: a}") == [None, "a", None, "a", "a"]


def test_tags_keywords_and_absent_columns():
    assert routed("  - {match: {tags: prod}, model: a}") == ["a", None, None, "a", None]
    assert routed("  - {match: {tags: null}, model: a}") == [None, "a", "a", None, None]
    assert routed("  - {match: {text: {contains: [sql, lemma]}}, model: a}") == ["a", None, None, "a", "a"]
    assert routed("  - {match: {team: x}, model: a}") == [None] * 5
    assert routed("""  - {when: "team = 'x' OR input_words < 500", model: a}""") == ["a", "a", None, None, "a"]


def test_a_rule_may_say_that_a_call_stays():
    assert routed("  - {match: {task: critique}, model: logged}\n  - {default: small}") == [
        "small", None, "small", "small", "small",
    ]  # fmt: skip


def test_a_conversation_goes_where_its_first_call_goes():
    route = "  - {match: {task: summary}, model: small}\n  - {default: big}"
    assert routed(route, route_by="conversation") == ["small", "small", "big", "big", "big"]


def test_categorical_columns_route_the_same():
    chosen = "  - {match: {task: 'SUMMAR*'}, model: a}\n  - {when: \"task = 'rewrite'\", model: b}"
    as_codes = CALLS.with_columns(pl.col("task").cast(pl.Categorical), pl.col("agent").cast(pl.Categorical))
    assert routed(chosen, as_codes) == routed(chosen) == ["a", None, "b", "a", None]


def test_a_frame_with_columns_that_no_rule_may_see_is_refused():
    with pytest.raises(StrategyError, match="cost"):
        routed("  - {default: a}", CALLS.with_columns(cost=1))


words = st.one_of(st.none(), st.sampled_from(["a", "B", "ab", "abc", "b*", "", "ünï", "a.b"]))


@settings(max_examples=150, deadline=None)
@given(
    st.lists(st.tuples(words, words, st.one_of(st.none(), st.integers(0, 5))), min_size=1, max_size=20),
    st.lists(
        st.fixed_dictionaries(
            {},
            optional={
                "agent": st.sampled_from(["a", "a*", "*B", ["a", "abc"], "?b*", None, {"not": "ab"}]),
                "task": st.sampled_from(["", "b**", ["ünï", "A.B"], {"contains": "B"}]),
                "input_words": st.sampled_from([3, {"lt": 3}, {"ge": 1, "le": 4}, {"ne": 2}, [1, 2], None]),
            },
        ).filter(bool),
        min_size=1,
        max_size=4,
    ),
)
def test_matching_equals_a_plain_python_reading(rows: list[Any], matches: list[dict[str, Any]]):
    frame = pl.DataFrame(rows, schema={"agent": pl.String, "task": pl.String, "input_words": pl.Int64}, orient="row")
    chosen = schema.Strategy.model_validate(
        {"name": "x", "route": [{"match": match, "model": f"m{i}"} for i, match in enumerate(matches)]}
    )
    names = rule_evaluation.targets(chosen)
    expected = [next((f"m{i}" for i, m in enumerate(matches) if _all_hold(m, row)), None) for row in rows]
    assert [names[i] if i >= 0 else None for i in rule_evaluation.route(chosen, frame).tolist()] == expected


def _all_hold(match: dict[str, Any], row: tuple[Any, ...]) -> bool:
    values = dict(zip(("agent", "task", "input_words"), row, strict=True))
    return all(_holds(values[name], wanted) for name, wanted in match.items())


def _holds(value: Any, wanted: Any) -> bool:
    if isinstance(wanted, dict):
        checks = {
            "lt": lambda v, w: v < w, "le": lambda v, w: v <= w, "ge": lambda v, w: v >= w,
            "ne": lambda v, w: v != w, "not": lambda v, w: not _holds(v, w),
            "contains": lambda v, w: w.casefold() in v.casefold(),
        }  # fmt: skip
        return value is not None and all(checks[name](value, operand) for name, operand in wanted.items())
    if isinstance(wanted, list):
        return any(_holds(value, item) for item in wanted)
    if wanted is None or value is None:
        return value is wanted
    if isinstance(value, str):
        return fnmatch.fnmatchcase(value.casefold(), str(wanted).casefold())
    return bool(value == wanted)


@pytest.mark.parametrize(
    "expression",
    [
        "input_words > 1500 OR task LIKE '%a%'",
        "NOT (agent = 'a') AND input_words BETWEEN 1 AND 3",
        "agent IN ('a', 'b') OR agent IS NULL",
        "LOWER(agent) = 'b' AND LENGTH(task) >= 2",
        "COALESCE(input_words, 0) * 2 + 1 < 6",
        "input_words % 2 = 1 OR -input_words < -4",
        "task ILIKE 'B%' OR STARTS_WITH(agent, 'a')",
        "(input_words <> 2) = (agent = 'a')",
        "ABS(input_words - 3) <= 1",
    ],
)
def test_an_expression_means_what_it_means_in_duckdb(expression: str):
    rng = np.random.default_rng(3)
    pick = np.array(["a", "b", "ab", "B", None], dtype=object)
    frame = pl.DataFrame(
        {
            "agent": pick[rng.integers(0, 5, 300)].tolist(),
            "task": pick[rng.integers(0, 5, 300)].tolist(),
            "input_words": [None if n == 6 else int(n) for n in rng.integers(0, 7, 300)],
        }
    )
    chosen = schema.Strategy.model_validate({"name": "x", "route": [{"when": expression, "model": "m"}]})
    ours = rule_evaluation.route(chosen, frame) >= 0
    with duckdb.connect() as con:
        con.register("frame", frame.to_arrow())
        theirs = [row[0] is True for row in con.execute(f"SELECT {expression} FROM frame").fetchall()]
    assert ours.tolist() == theirs


HOSTILE = {
    "(SELECT 1) = 1": "subquery",
    "input_words IN (SELECT 1)": "subquery",
    "EXISTS (SELECT * FROM calls)": "subquery",
    "input_words > (SELECT max(cost) FROM ledger)": "subquery",
    "task IN (SELECT content FROM read_text('/etc/passwd'))": "subquery",
    "SELECT 1": "subquery",
    "WITH x AS (SELECT 1) SELECT * FROM x": "subquery",
    "SELECT 1 UNION SELECT 2": "subquery",
    "read_csv('/etc/passwd') IS NOT NULL": "READ_CSV",
    "read_text('/etc/passwd') = ''": "READ_TEXT",
    "read_parquet('s3://bucket/x') IS NULL": "READ_PARQUET",
    "getenv('HOME') = 'x'": "GETENV",
    "ATTACH 'other.duckdb'": "not a boolean",
    "COPY calls TO '/tmp/out.csv'": "change data",
    "DROP TABLE calls": "change data",
    "DELETE FROM calls": "change data",
    "INSERT INTO calls VALUES (1)": "change data",
    "UPDATE calls SET model = 'x'": "change data",
    "CREATE TABLE x (a INT)": "change data",
    "SET enable_external_access = true": "command",
    "INSTALL httpfs": "",
    "PRAGMA database_list": "command",
    "task = 'a'; DROP TABLE calls": "more than one statement",
    "REGEXP_LIKE(task, '(a+)+$')": "regular expressions",
    "task ~ '((a{1000}){1000}){1000}'": "regular expressions",
    "task SIMILAR TO '(a|aa)*'": "regular expressions",
    "REPEAT('a', 1000000000) = task": "REPEAT",
    "calls.task = 'a'": "names a table",
    "count(*) > 1": "one call at a time",
    "row_number() OVER () = 1": "one call at a time",
    "task LIKE agent": "quoted pattern",
    "CAST(task AS INT) = 1": "not on the allow-list",
    "* = 1": "",
    "task = '" + "a" * 300 + "'": "longer than 200",
    "(" * 600 + "1" + ")" * 600: "",
    " OR ".join(["task = 'a'"] * 150): "",
    "task = 'a' " + " " * 3000: "longer than 2,000",
    "input_words + 1": "not true or false",
    "task > 3": "",
    "pg_sleep(100) IS NULL": "PG_SLEEP",
    "task = 'a' -- \x00": "NUL",
    "LENGTH(tags) > 1": "list",
}


@pytest.mark.parametrize("expression", list(HOSTILE))
def test_a_hostile_expression_is_refused_with_the_reason(expression: str):
    with pytest.raises(ExpressionError) as caught:
        check_expression(expression)
    assert HOSTILE[expression] in str(caught.value)
    assert str(caught.value)


def test_at_least_thirty_hostile_expressions_are_tried():
    assert len(HOSTILE) >= 30


def test_a_refusal_names_the_line_of_the_file(tmp_path: Path):
    path = tmp_path / "s.yaml"
    path.write_text("name: x\nroute:\n  - default: a\n  - when: read_csv('/etc/passwd') IS NULL\n    model: b\n")
    with pytest.raises(StrategyError, match=r"s\.yaml:4: .*READ_CSV") as caught:
        schema.load(path)
    assert "Allowed: LOWER" in str(caught.value)


@given(st.text(max_size=80))
def test_any_text_is_either_a_condition_or_refused(text: str):
    try:
        check_expression(text)
    except ExpressionError as error:
        assert str(error)  # noqa: PT017


@given(st.text("ab*?[]!.\n", max_size=8), st.text("abAB[]!.\n", max_size=12))
def test_a_glob_knows_stars_and_question_marks_alone(pattern: str, text: str):
    plain = fnmatch.fnmatchcase(text.lower(), pattern.lower().replace("[", "[[]"))
    assert bool(rule_evaluation.glob(pattern).fullmatch(text)) == plain


@pytest.mark.parametrize("pattern", ["*error*error*fix*", "*e*r*r*o*r*z", "*error*error*error*error*error*?fix"])
def test_a_glob_with_many_stars_takes_time_by_the_length_of_the_text(pattern: str):
    text = "error: line failed\n" * 20_000
    begin = time.process_time()
    assert not rule_evaluation.glob(pattern).fullmatch(text)
    assert time.process_time() - begin < 8  # a backtracking way takes hours
