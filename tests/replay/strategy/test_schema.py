"""A strategy file says what it means, and a mistake in it names the key, the line and the right word."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from ingest.errors import StrategyError
from replay.strategy import schema as strategy
from replay.strategy.fields import duration_ms, size_bytes

DESIGN = """
name: routed-cached-compressed
route:                                   # first match wins; default: the logged model
  - {match: {task: "summar*", input_words: {lt: 500}}, model: gpt-3.5-turbo}
  - {match: {agent: refinement_agent, task: [critique, rewrite]}, model: gpt-4-turbo}
  - {when: "input_words > 1500 OR task LIKE '%complex_reasoning%'", model: gpt-4-turbo}
  - {default: gpt-3.5-turbo}
cache:
  key: canonical
  tiers:
    - {name: memory, scope: process, ttl: 5m, max_entries: 10000, policy: lru}
    - {name: redis, scope: shared, ttl: 24h, max_memory: 2GB, policy: allkeys-lru}
provider_cache: auto
compress: [whitespace, json_minify, dedup_paragraphs, {history_window: 10}]
batch: [{match: {agent: research_agent, online: false}}]
quality: {floor: 0.95, relative_to: logged}
"""


def test_the_design_example_is_read_with_its_units():
    chosen = strategy.parse(DESIGN)
    assert chosen.stages() == ("compress", "route", "cache", "batch")
    assert chosen.cache is not None
    memory, redis = chosen.cache.tiers
    assert (memory.scope, memory.ttl_ms, memory.max_entries) == ("process", 300_000, 10_000)
    assert (redis.ttl_ms, redis.max_bytes, redis.policy) == (86_400_000, 2 * 1024**3, "allkeys-lru")
    assert [part.name for part in chosen.compress] == [
        "whitespace",
        "json_minify",
        "dedup_paragraphs",
        "history_window",
    ]
    assert chosen.compress[3].parameters == {"messages": 10}
    assert [part.lossless for part in chosen.compress] == [True, True, True, False]


def test_a_strategy_that_says_nothing_declares_no_stage():
    assert strategy.parse("name: logged").stages() == ()


@pytest.mark.parametrize(
    ("text", "line", "words", "hint"),
    [
        ("name: x\nrout: []", 2, "'rout'", "'route'"),
        ("name: x\nroute:\n  - {mach: {task: a}, model: b}", 3, "'mach'", "'match'"),
        ("name: x\nroute:\n  - match: {tsk: a}\n    model: b", 3, "'tsk'", "'task'"),
        ("name: x\nroute:\n - default: a\n - {match: {taks: a}, model: b}", 4, "'taks'", "'task'"),
        ("name: x\ncompress:\n  - whitespace\n  - whitspace", 4, "'whitspace'", "'whitespace'"),
        ("name: x\ncompress:\n  - {history_window: {mesages: 3}}", 3, "'mesages'", "'messages'"),
        ("name: x\ncache:\n  tiers:\n    - {name: a,\n       ttl: 5 parsecs}", 5, "5 parsecs", ""),
        ("name: x\ncache: {tiers: []}", 2, "tiers", ""),
        ("name: x\nquality:\n  flor: 1", 3, "'flor'", "'floor'"),
        ("name: x\nquality: {floor: high}", 2, "number", ""),
        ("name: x\nprovider_cache: sometimes", 2, "'auto'", ""),
        ("name: x\nroute:\n - {when: 'input_wrds > 3', model: a}", 3, "'input_wrds'", "'input_words'"),
        ("name: x\nroute:\n - {match: {task: a}}", 3, "exactly one of", ""),
        ("name: x\nroute:\n - {model: a}", 3, "needs match or when", ""),
        ("name: x\nroute:\n - {match: {input_words: {less: 3}}, model: b}", 3, "'less'", "'le'"),
        ("name: x\nroute:\n - {match: {input_words: many}, model: b}", 3, "number", ""),
        ("name: x\nname: y", 2, "given twice", ""),
        ("name: [", 1, "not valid YAML", ""),
        ("- a", 1, "not a strategy", "shortest"),
        ("route: []", 1, "'name' is missing", ""),
    ],
)
def test_a_mistake_names_its_line_and_the_nearest_right_name(text: str, line: int, words: str, hint: str):
    with pytest.raises(StrategyError) as caught:
        strategy.parse(text, "s.yaml")
    told = str(caught.value)
    assert told.startswith(f"s.yaml:{line}: "), told
    assert words in told
    assert hint in told
    assert len(told.splitlines()) <= 3


def test_of_several_mistakes_the_first_in_the_file_is_told():
    with pytest.raises(StrategyError, match=r"s:2: unknown key 'rout'"):
        strategy.parse("name: x\nrout: []\nquality: {flor: 1}", "s")


def test_a_missing_empty_or_binary_file_is_one_clear_error(tmp_path: Path):
    for name, content in {"empty.yaml": b"", "binary.yaml": b"\x00\xff\xfe\x01"}.items():
        (tmp_path / name).write_bytes(content)
        with pytest.raises(StrategyError, match=name):
            strategy.load(tmp_path / name)
    with pytest.raises(StrategyError, match="no such file"):
        strategy.load(tmp_path / "absent.yaml")


def test_a_document_that_unfolds_without_end_is_refused():
    bomb = "a: &a [x,x,x,x,x,x,x,x,x,x]\n"
    for previous, letter in zip("abcdefg", "bcdefgh", strict=True):
        bomb += f"{letter}: &{letter} [{','.join([f'*{previous}'] * 10)}]\n"
    with pytest.raises(StrategyError, match="unfolds into more"):
        strategy.parse(bomb)
    with pytest.raises(StrategyError):
        strategy.parse("a: " + "[" * 5000 + "]" * 5000)


def test_a_bare_off_means_off():
    assert strategy.parse("name: x\nprovider_cache: off").provider_cache.mode == "off"
    assert strategy.parse("name: x\nprovider_cache: off").stages() == ("provider_cache",)


def test_a_bare_word_is_a_name_and_only_true_and_false_are_not():
    chosen = strategy.parse("{name: off, route: [{match: {task: on}, model: no}], quality: {accept_priors: true}}")
    assert (chosen.name, chosen.route[0].match["task"], chosen.route[0].model) == ("off", "on", "no")
    assert chosen.quality.accept_priors is True


def test_a_written_strategy_reads_back_the_same():
    chosen = strategy.parse(DESIGN)
    again = strategy.parse(yaml.safe_dump(chosen.document(), sort_keys=False))
    assert again == chosen
    assert again.canonical_json() == chosen.canonical_json()


def test_the_published_schema_knows_every_key():
    schema = strategy.schema()
    assert set(schema["properties"]) == set(strategy.Strategy.model_fields)
    json.dumps(schema)


@given(st.integers(1, 10_000), st.sampled_from(["ms", "s", "m", "h", "d"]))
def test_durations_are_exact_milliseconds(amount: int, unit: str):
    factor = {"ms": 1, "s": 1000, "m": 60_000, "h": 3_600_000, "d": 86_400_000}[unit]
    assert duration_ms(f"{amount}{unit}") == amount * factor == duration_ms(f" {amount} {unit.upper()} ")


def test_sizes_are_read_as_redis_reads_them():
    assert size_bytes("2GB") == 2 * 1024**3
    assert size_bytes("1.5mb") == 1_572_864
    assert size_bytes(512) == 512
    for wrong in ("2 furlongs", "", "-1", True, None, "1e9"):
        with pytest.raises(ValueError, match="size"):
            size_bytes(wrong)


@given(st.text(max_size=300))
def test_no_text_at_all_breaks_the_reader(text: str):
    try:
        strategy.parse(text, "s")
    except StrategyError as error:
        assert str(error)  # noqa: PT017
