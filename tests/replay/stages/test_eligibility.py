"""A call goes only to a model that can serve it; the reasons are told, and what nobody knows holds nothing back."""

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from analysis.pricing.model_info import ModelInfo, model_info
from replay.stages.eligibility import REASONS, Needs, fits

SMALL = ModelInfo(context_window=16_385, max_output_tokens=4_096, supports_tools=False, supports_vision=False)


def needs(rows: list[tuple[int, int, int, bool, bool, bool, bool]]) -> Needs:
    columns = list(zip(*rows, strict=True))
    numbers = [np.array(column, np.int64) for column in columns[:3]]
    return Needs(*numbers, *(np.array(column, bool) for column in columns[3:]))


def test_each_reason_holds_back_what_it_names():
    asked = needs(
        [
            (1_000, 100, -1, False, False, False, False),  # fits
            (16_300, 100, -1, False, False, False, False),  # 15 tokens too long with its answer
            (16_000, 100, 2_000, False, False, False, False),  # the reserved answer does not fit
            (1_000, 5_000, -1, False, False, False, False),  # the logged answer is longer than the model can write
            (1_000, 100, 100_000, False, False, False, False),  # a limit above the model's own counts as the model's
            (1_000, 100, -1, True, False, False, False),
            (1_000, 100, -1, False, True, False, False),
            (-1, 100, -1, False, False, True, False),  # unknown prompt length, unknown format support
            (1_000, 100, -1, False, False, False, True),  # stands for several calls
        ]
    )
    found = fits(SMALL, asked)
    assert set(found) == set(REASONS)
    assert np.flatnonzero(found["window"]).tolist() == [1, 2]
    assert np.flatnonzero(found["answer"]).tolist() == [3]
    assert np.flatnonzero(found["tools"]).tolist() == [5]
    assert np.flatnonzero(found["images"]).tolist() == [6]
    assert not found["format"].any()
    assert np.flatnonzero(found["sum of calls"]).tolist() == [8]


@given(st.integers(0, 10**6), st.integers(0, 10**5), st.integers(-1, 10**6))
def test_an_unknown_model_holds_nothing_back(tokens: int, output: int, limit: int):
    found = fits(ModelInfo(), needs([(tokens, output, limit, True, True, True, False)]))
    assert not any(mask.any() for mask in found.values())


def test_the_book_knows_who_answers_in_a_schema():
    asked = needs([(1_000, 100, -1, False, False, True, False)])
    for model, refused in (
        ("gpt-4-turbo", True), ("gpt-3.5-turbo", True), ("gpt-4o-2024-05-13", True),
        ("gpt-4o-2024-08-06", False), ("gpt-4o-mini", False), ("a model of our own", False),
    ):  # fmt: skip
        assert fits(model_info("openai", model), asked)["format"].tolist() == [refused], model


def test_the_book_knows_the_window_that_the_naive_downgrade_runs_into():
    info = model_info("openai", "gpt-3.5-turbo")
    assert info.context_window == 16_385
    asked = needs([(16_384, 1, -1, False, False, False, False), (16_385, 1, -1, False, False, False, False)])
    assert fits(info, asked)["window"].tolist() == [False, True]
