"""Paths: whatever is nested, with dots in its keys or as JSON in a text, is found where it was put."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ingest.records.json_paths import all_values, getter, rows_at

KEYS = st.text(st.sampled_from("ab0"), min_size=1, max_size=2)


@settings(deadline=None)
@given(keys=st.lists(KEYS, min_size=1, max_size=6), joints=st.lists(st.sampled_from("./t"), min_size=6, max_size=6))
def test_a_value_is_found_through_dots_in_keys_and_json_in_texts(keys: list[str], joints: list[str]) -> None:
    # build from the inside: the next key is joined to this one by a dot, or holds it, as an object or as JSON text
    value: Any = {keys[-1]: 7}
    for key, joint in zip(reversed(keys[:-1]), joints, strict=False):
        if joint == ".":
            ((inner, found),) = value.items()
            value = {f"{key}.{inner}": found}
        else:
            value = {key: json.dumps(value) if joint == "t" else value}
    assert getter(".".join(keys))((value,)) == 7


def test_a_key_with_dots_does_not_hide_what_lies_beside_it() -> None:
    record = {"a.b": {"x": 1}, "a": {"b": {"y": 2}, "b.c": [3, {"d": 4}]}}
    assert [getter(path)((record,)) for path in ("a.b.x", "a.b.y", "a.b.c.0", "a.b.c.-1.d", "a.b.z")] == [
        1,
        2,
        3,
        4,
        None,
    ]


def test_records_in_arrays_know_what_is_around_them() -> None:
    document = {"id": "run", "samples": [{"id": "s1", "events": [{"id": 1}, {"id": 2}]}, {"id": "s2"},
                                         {"id": "s3", "events": "[{\"id\": 3}]"}]}  # fmt: skip
    scopes = list(rows_at("samples.*.events")((document,)))
    read = [tuple(getter(path)(scope) for path in ("$.id", "^.id", "id", "^^.id", "^^^.id")) for scope in scopes]
    assert read == [("run", "s1", 1, "run", None), ("run", "s1", 2, "run", None), ("run", "s3", 3, "run", None)]


@pytest.mark.parametrize(
    ("path", "found"),
    [("usages.*.in", [1, 2]), ("by_model.*.in", [4, 5]), ("usages", [[{"in": 1}, {"in": 2}]]), ("none.*.in", [])],
)
def test_a_star_stands_for_each_element(path: str, found: list[Any]) -> None:
    record = {"usages": [{"in": 1}, {"in": 2}], "by_model": {"a": {"in": 4}, "b": {"in": 5}}}
    assert all_values(path)((record,)) == found
