"""Answers in JSON are as much shorter as the log shows; where it does not, the number is told to be a person's."""

from __future__ import annotations

from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from builder import build_in_memory

from analysis.ledger.ledger import update
from replay.engine.run import run
from replay.stages.answer_shapes import LEAST_ANSWERS, shapes
from replay.strategy import schema as strategy


def call(number: int, agent: str, format: str | None, output: int, **more: Any) -> dict[str, Any]:
    return {
        "start_time": datetime(2026, 3, 2) + timedelta(minutes=number), "agent": agent, "task": "answer",
        "model": "gpt-4o-mini", "input_tokens": 1_000, "output_tokens": output, "response_format": format, **more,
    }  # fmt: skip


def replayed(folder: Path, rows: list[dict[str, Any]], spec: str) -> Any:
    store = build_in_memory(rows)
    update(store)
    return run(store, [strategy.parse(f"name: x\ncompress: {spec}\nprovider_cache: off")]).strategies[0]


def test_the_ratio_is_that_of_the_same_agent_task_and_model(tmp_path: Path) -> None:
    rows = [call(n, "extractor", "json_schema", 100) for n in range(40)]
    rows += [call(40 + n, "extractor", None, 400) for n in range(40)]
    rows += [call(80 + n, "writer", None, 1_000) for n in range(20)]
    found = replayed(tmp_path, rows, "[{structured_output: 0.5}]")
    after = 40 * 100 + 40 * 400 * 0.25 + 20 * 1_000 * 0.5
    price = 0.6 / 1e6
    assert found.cost_pico / 1e12 == pytest.approx(100 * 1_000 * 0.15 / 1e6 + after * price)
    lines = [line for line in found.limits if line.startswith("structured_output")]
    assert lines[0].startswith(
        "structured_output: answers of 40 calls are taken for 25 % as long, measured on 80 answers"
    )
    assert lines[1].startswith("structured_output: that answers of 20 calls become 50 % as long is your number")
    assert lines[2] == "structured_output: 40 calls were answered in JSON already, and stay as long"


def test_too_few_answers_of_either_kind_measure_nothing() -> None:
    few, enough = LEAST_ANSWERS - 1, LEAST_ANSWERS
    for with_shape, free, measured in ((few, enough, False), (enough, few, False), (enough, enough, True)):
        format = np.array(["json_object"] * with_shape + ["text"] * free, dtype=object)
        size = with_shape + free
        found = shapes(np.zeros(size, np.int64), format, np.full(size, 100, np.int64), np.ones(size, bool), 0.7)
        assert found.measured.any() == measured
        assert set(found.ratio[with_shape:].tolist()) == ({1.0} if measured else {0.7})
        assert set(found.ratio[:with_shape].tolist()) == {1.0}
