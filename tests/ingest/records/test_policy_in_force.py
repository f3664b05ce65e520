"""How the model was chosen, as each kind of log says it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from ingest.pipeline.run import ingest
from ingest.store.memory import MemoryStore

SAID: dict[str, Any] = {
    "propensity": 0.9, "assignment": "random", "score_scope": "conversation", "rollout": "r1", "arm": "treated",
}  # fmt: skip
PREFIXED = {f"hindcast_{name}": value for name, value in SAID.items()}
COUNTS = {"input_tokens": 10, "output_tokens": 2}
NATIVE = {"hindcast": 1, "start_time": "2026-03-02T10:00:00Z", "request_model": "gpt-4o", "score": 0.5, **COUNTS}
PAIR = {
    "timestamp": "2026-03-02T10:00:00Z", "agent": "a", "task": "t",
    "request": {"model": "gpt-4o", "messages": [{"role": "user", "content": "hi"}]},
    "response": {
        "object": "chat.completion", "id": "x", "model": "gpt-4o", "choices": [],
        "usage": {"prompt_tokens": 10, "completion_tokens": 2},
    },
}  # fmt: skip
LITELLM = {
    "call_type": "acompletion", "response_cost": 0.001, "custom_llm_provider": "openai", "startTime": 1772445600.0,
    "model": "gpt-4o", "model_group": "gpt-4o", "prompt_tokens": 10, "completion_tokens": 2, "total_tokens": 12,
    "hidden_params": {}, "id": "x",
}  # fmt: skip


def _stored(tmp_path: Path, record: dict[str, Any], **options: Any) -> tuple[dict[str, Any], list[str]]:
    """(the columns, the codes of the issues) of the one call that the record becomes."""
    log = tmp_path / "log.jsonl"
    log.write_text(json.dumps(record) + "\n")
    store = MemoryStore(tmp_path / "s.duckdb")
    assert ingest(store, [log], workers=1, **options).calls == 1
    with store.read() as con:
        row = con.execute(f"SELECT {', '.join(SAID)} FROM calls").fetchone()
        issues = con.execute("SELECT code FROM import_issues ORDER BY code").fetchall()
    assert row is not None
    return dict(zip(SAID, row, strict=True)), [code for (code,) in issues]


@pytest.mark.parametrize(
    "record",
    [
        {**NATIVE, **SAID},
        {**PAIR, **PREFIXED},
        {**PAIR, "metadata": PREFIXED},
        {**LITELLM, "metadata": {"requester_metadata": PREFIXED}},
        {**LITELLM, "request_tags": [f"{name}:{value}" for name, value in PREFIXED.items()]},
    ],
    ids=["native", "beside a pair", "metadata of a pair", "LiteLLM metadata", "LiteLLM tags"],
)
@pytest.mark.parametrize("keep", [{}, {"metadata_only": True}], ids=["texts", "columns only"])
def test_each_log_that_says_how_the_model_was_chosen_is_believed(
    tmp_path: Path, record: dict[str, Any], keep: dict[str, Any]
) -> None:
    said, _ = _stored(tmp_path, record, **keep)
    assert said == SAID


def test_a_mapping_fills_the_columns(tmp_path: Path) -> None:
    fields = "\n".join(f"  {name}: x.{name}" for name in SAID)
    mapping = tmp_path / "mapping.yaml"
    mapping.write_text(
        "name: own\nconstants: {request_model: gpt-4o}\nfields:\n  start_time: at\n  input_tokens: n\n" + fields
    )
    said, issues = _stored(tmp_path, {"at": "2026-03-02T10:00:00Z", "n": 5, "x": SAID}, mapping=mapping)
    assert (said, issues) == (SAID, [])


@pytest.mark.parametrize("propensity", [0, -0.1, 1.01])
def test_what_cannot_be_meant_is_dropped_and_flagged(tmp_path: Path, propensity: float) -> None:
    wrong = {"propensity": propensity, "assignment": "coin", "score_scope": "word", "arm": "left", "rollout": "r"}
    said, issues = _stored(tmp_path, {**NATIVE, **wrong})
    assert said == {**dict.fromkeys(SAID), "rollout": "r"}
    assert issues == ["impossible_propensity", "unknown_arm", "unknown_assignment", "unknown_score_scope"]


def test_words_that_metadata_uses_for_something_else_stay_out(tmp_path: Path) -> None:
    said, issues = _stored(tmp_path, {**PAIR, "metadata": {"rollout": "x", "arm": "left", "assignment": "homework"}})
    assert said == dict.fromkeys(SAID)
    assert issues == []
