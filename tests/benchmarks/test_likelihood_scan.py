"""The likelihood scan finds exactly the combinations that moved, at the granularity at which they moved."""

from __future__ import annotations

from itertools import product

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from benchmarks.diagnosis.leaf_family import FAMILIES, case
from benchmarks.diagnosis.likelihood_scan import localise
from benchmarks.diagnosis.localisation import public_cases, score

CARDS = (6, 8, 5, 4)


def grid(seed, noise=0.05):
    rng = np.random.default_rng(seed)
    leaves = np.array(list(product(*(range(c) for c in CARDS))))
    expected = rng.weibull(0.8, len(leaves)) * 100 + 0.01
    actual = expected * np.maximum(1 + rng.normal(0, noise, len(leaves)), 0)
    return [leaves[:, d] for d in range(len(CARDS))], actual, expected


def inside(codes, element):
    return np.logical_and.reduce([codes[d] == value for d, value in element.items()])


elements = st.dictionaries(st.integers(0, 3), st.integers(0, 3), min_size=1, max_size=3)


@settings(max_examples=40)
@given(elements, st.floats(0.35, 0.9), st.booleans(), st.integers(0, 10**6))
def test_one_element_is_found_at_its_own_granularity(element, severity, rising, seed):
    codes, actual, expected = grid(seed)
    mask = inside(codes, element)
    if rising:
        actual[mask] = expected[mask] / (1 - severity)
    else:
        actual[mask] = expected[mask] * (1 - severity)
    found = localise(codes, actual, expected)
    assert [one.values for one in found][:1] == [element]
    assert found[0].leaves == mask.sum()
    assert found[0].change == pytest.approx((actual - expected)[mask].sum())
    assert found[0].level == pytest.approx(severity, abs=0.03)


def test_a_rise_and_a_fall_are_both_found():
    codes, actual, expected = grid(5)
    actual[inside(codes, {0: 2})] *= 3
    actual[inside(codes, {1: 4, 2: 1})] *= 0.2
    assert {tuple(sorted(e.values.items())) for e in localise(codes, actual, expected)} == {
        ((0, 2),), ((1, 4), (2, 1)),
    }  # fmt: skip


def test_noise_alone_is_hardly_ever_a_finding():
    found = [localise(*grid(seed, noise=0.15)) for seed in range(20)]
    assert sum(bool(one) for one in found) <= 1
    assert all(element.gain < 3 for one in found for element in one)


def test_new_and_vanished_leaves_are_full_deviations():
    codes, actual, expected = grid(3)
    expected[inside(codes, {3: 1})] = 0
    actual[inside(codes, {0: 4, 1: 2})] = 0
    found = {tuple(sorted(e.values.items())): e.level for e in localise(codes, actual, expected)}
    assert found[((3, 1),)] == pytest.approx(1.0)
    assert found[((0, 4), (1, 2))] == pytest.approx(1.0)


def test_degenerate_leaves_are_no_trouble():
    nothing = np.zeros(0)
    assert localise([nothing.astype(int)], nothing, nothing) == []
    one = np.array([0])
    assert isinstance(localise([one, one], np.array([5.0]), np.array([1.0])), list)


def test_equal_input_gives_equal_output():
    drawn = case(FAMILIES["L"], 3)
    first = localise(drawn.codes, drawn.actual, drawn.expected)
    assert first == localise(drawn.codes, drawn.actual, drawn.expected)


@pytest.mark.data
@pytest.mark.parametrize(("name", "bar"), [("S", 0.85), ("L", 0.80)])
def test_the_frozen_setting_holds_on_the_public_cases(data, name, bar):
    assert score(public_cases(data / "localization", name))["f1"] >= bar


def test_specks_beside_a_cause_are_no_findings():
    codes, actual, expected = grid(9)
    cause, speck = inside(codes, {0: 2}), inside(codes, {0: 4, 1: 7})
    expected[speck] *= 1e-6
    actual[speck] = expected[speck] * 5
    actual[cause] *= 3
    moved = abs((actual - expected)[cause].sum())
    every = localise(codes, actual, expected, least_share=0.0)
    found = localise(codes, actual, expected)
    assert min(abs(one.change) for one in every) < 1e-4 * moved
    assert [one.values for one in found] == [{0: 2}]
