"""Every key that a strategy file may have is explained, and every line to copy is a strategy that loads."""

from __future__ import annotations

import json
from typing import Any

import pytest
from typer.testing import CliRunner

from cli.app import app
from ingest.errors import StrategyError
from replay import compressors as compress
from replay.strategy import key_reference
from replay.strategy.conditions import COLUMNS
from replay.strategy.schema import Strategy, parse, schema


def properties(part: Any) -> Any:
    """(key, entry) of every property below a part of a JSON schema."""
    if isinstance(part, list):
        for one in part:
            yield from properties(one)
    elif isinstance(part, dict):
        yield from part.get("properties", {}).items()
        for one in part.values():
            yield from properties(one)


def test_every_key_of_the_schema_says_what_it_means() -> None:
    document = schema()
    silent = {
        name
        for part in (document, *document["$defs"].values())
        for name, entry in part.get("properties", {}).items()
        if not entry.get("description")
    }
    assert silent == set()
    assert {name for name, _ in properties(document["$defs"]["Match"])} >= set(COLUMNS)
    assert {name for name, _ in properties(document["$defs"]["Compressor"])} >= set(compress.names())
    assert len(json.dumps(document)) < 100_000


TOP = {path: line for path, (_, line) in key_reference.keys().items() if line and path in Strategy.model_fields}


@pytest.mark.parametrize("path", TOP)
def test_a_line_to_copy_is_a_strategy(path: str) -> None:
    text = TOP[path] if path == "name" else f"name: x\n{TOP[path]}"
    assert path in parse(text).model_fields_set


@pytest.mark.parametrize("name", [*compress.names(), *COLUMNS])
def test_compressors_and_columns_are_explained_with_a_line_that_loads(name: str) -> None:
    found = [one for one in key_reference.explain(name) if one.kind != "key"]
    assert found
    for one in found:
        line = one.example if one.kind != "column" else f"route: [{{{one.example}, model: m}}]"
        assert parse(f"name: x\n{line}").name == "x"


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("name: x\nroute: gpt-4o", "For example: route: [{"),
        ("name: x\ncache: redis", "For example: cache: {tiers:"),
        ("name: x\ncache: {ttl: 24h}", "'ttl' belongs to cache.tiers[]"),
        ("name: x\nroutes: []", "Did you mean 'route'?"),
        ("name: x\nquality: {floor: 95}", "floor: 0.95 keeps 95 %"),
        ('name: x\nroute: [{when: "prompt = 1", model: m}]', "Did you mean 'text'?"),
        ("name: x\nroute: [{match: {length: 5}, model: m}]", "Did you mean 'input_words'?"),
        ("default_model: a\nmodel_map: {a: {cost_per_token: 0.0000015}}", "prices set a --input 1.5 --output 1.5"),
        ("model_map: {draft: big, tag: small}", "route: [{match: {task: draft}, model: big}, {match: {task: tag}"),
    ],
)
def test_a_mistake_in_a_file_is_answered_with_a_line_to_write(text: str, says: str) -> None:
    with pytest.raises(StrategyError) as error:
        parse(text)
    assert says in str(error.value)
    assert len(str(error.value).splitlines()) <= 3


def test_explain_names_the_nearest_word() -> None:
    shown = CliRunner().invoke(app, ["strategy", "explain", "chunks"])
    assert "chunk_cap.chunks (parameter)" in shown.stdout
    missed = CliRunner().invoke(app, ["strategy", "explain", "chanks"])
    assert "Did you mean 'chunks'?" in str(missed.exception)
    everything = json.loads(CliRunner().invoke(app, ["strategy", "explain", "--json"]).stdout)["found"]
    assert {"route", "compress: chunk_cap", "match.text"} <= {one["path"] for one in everything}
