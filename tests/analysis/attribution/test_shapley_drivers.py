"""Drivers sum to the change exactly, equal a brute force over all orders, and call things by their names."""

from __future__ import annotations

import math
import os
from itertools import permutations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from analysis.attribution.factors import FACTORS, MEASURES, PARTS, Cells, segment_values, states
from analysis.attribution.shapley_drivers import Game, explain, order_range, round_to, shapley, undoing

CASES = int(os.environ.get("HINDCAST_DRIVER_CASES", "150"))
COUNT = {name: i for i, name in enumerate(MEASURES)}


def make_cells(rows, requests=None, repriced=None):
    """`rows`: (segment, model, tier, hit, before measures or None, after measures or None) with measures as dicts."""
    segments = max(row[0] for row in rows) + 1

    def side(at):
        out = np.zeros((len(MEASURES), len(rows)))
        for i, row in enumerate(rows):
            for name, value in (row[at] or {}).items():
                out[COUNT[name], i] = value
        return out

    return Cells(
        segment=np.array([r[0] for r in rows]),
        model=np.array([r[1] for r in rows]),
        tier=np.array([r[2] for r in rows]),
        hit=np.array([r[3] for r in rows], bool),
        sums=(side(4), side(5)),
        repriced=np.array(repriced if repriced is not None else [False] * len(rows)),
        segments=segments,
        requests=np.full((2, segments), np.nan) if requests is None else np.array(requests, float),
    )


def dollars(cells, side):
    per_cell = sum(cells.of(side, name) for name in MEASURES if name.endswith("_usd"))
    return np.bincount(cells.segment, per_cell, cells.segments)


def simple(calls, tokens, usd_per_token=10_000_000, out=0, out_price=30_000_000):
    return {
        "calls": calls, "uncached": calls * tokens, "uncached_usd": calls * tokens * usd_per_token,
        "output": calls * out, "output_usd": calls * out * out_price,
    }  # fmt: skip


def drivers_of(cells):
    before = [round(v) for v in dollars(cells, 0)]
    after = [round(v) for v in dollars(cells, 1)]
    found, _, _ = explain(cells, before, after)
    return before, after, found


def amounts(found):
    return {(d.segment, d.factor): d.delta for d in found}


measure = st.one_of(st.just(0), st.integers(1, 10**7))
price = st.integers(0, 10**8)


@st.composite
def sides(draw):
    calls = draw(st.integers(0, 10**5))
    if not calls:
        return None
    found = {"calls": float(calls)}
    for name in ("uncached", "read", "write", "output", "reasoning"):
        tokens = draw(measure)
        found[name] = float(tokens)
        found[f"{name}_usd"] = float(tokens * draw(price)) if tokens else 0.0
    found["other_usd"] = float(draw(st.one_of(st.just(0), st.integers(0, 10**12))))
    return found


@st.composite
def worlds(draw):
    rows, seen = [], set()
    for _ in range(draw(st.integers(1, 7))):
        key = (draw(st.integers(0, 2)), draw(st.integers(0, 2)), draw(st.integers(0, 1)), draw(st.booleans()))
        if key not in seen:
            seen.add(key)
            rows.append((*key, draw(sides()), draw(sides())))
    numbers = sorted({row[0] for row in rows})
    rows = [(numbers.index(row[0]), *row[1:]) for row in rows]
    requests = [[draw(st.one_of(st.just(math.nan), st.integers(1, 10**5))) for _ in numbers] for _ in (0, 1)]
    repriced = [draw(st.booleans()) for _ in rows]
    return make_cells(rows, requests, repriced)


@settings(max_examples=CASES)
@given(worlds())
def test_drivers_sum_to_the_change_of_every_segment_with_nothing_left(cells):
    before, after, found = drivers_of(cells)
    for k in range(cells.segments):
        assert sum(d.delta for d in found if d.segment == k) == after[k] - before[k]
    assert sum(d.delta for d in found) == sum(after) - sum(before)


@settings(max_examples=CASES)
@given(worlds())
def test_the_formula_gives_back_the_ledger_on_both_sides(cells):
    state = states(cells)
    for side, on in ((0, False), (1, True)):
        calls = np.bincount(cells.segment, cells.of(side, "calls"), cells.segments)
        rebuilt = sum(segment_values(state, dict.fromkeys(FACTORS, on), part) for part in PARTS)
        rebuilt = rebuilt * state.requests[side] * state.calls_per_request[side]
        present = calls > 0
        np.testing.assert_allclose(rebuilt[present], dollars(cells, side)[present], rtol=1e-9, atol=1e-3)


@settings(max_examples=12)
@given(worlds())
def test_shapley_equals_brute_force_over_all_orders(cells):
    """Over the orders of the factors that move the segment: one that moves nothing changes nobody's value."""
    game = Game.of(states(cells))
    phi = shapley(game)
    for k in range(cells.segments):
        table = game.segment(k)
        values = {
            frozenset(f for i, f in enumerate(FACTORS) if mask >> i & 1): float(v) for mask, v in enumerate(table)
        }
        scale = max(1.0, float(np.abs(table).max()))
        moving = [f for f in FACTORS if any(abs(values[s | {f}] - values[s]) > 0 for s in values if f not in s)]
        if len(moving) > 6:
            continue
        brute = dict.fromkeys(FACTORS, 0.0)
        for order in permutations(moving):
            on = frozenset()
            for factor in order:
                brute[factor] += values[on | {factor}] - values[on]
                on |= {factor}
        for i, factor in enumerate(FACTORS):
            assert phi[i, k] == pytest.approx(brute[factor] / math.factorial(len(moving)), rel=1e-6, abs=1e-9 * scale)


@settings(max_examples=20)
@given(worlds())
def test_a_driver_lies_within_its_order_range(cells):
    game = Game.of(states(cells))
    phi = shapley(game)
    for k in range(cells.segments):
        values = game.segment(k)
        slack = 1e-9 * max(1.0, float(np.abs(values).max()))
        for i, factor in enumerate(FACTORS):
            low, high = order_range(values, factor)
            assert low - slack <= phi[i, k] <= high + slack


@settings(max_examples=300)
@given(st.lists(st.floats(-1e12, 1e12), min_size=1, max_size=12))
def test_rounding_moves_no_part_by_a_whole_unit_and_keeps_the_sum(parts):
    total = round(sum(parts))
    whole = round_to(parts, total)
    assert sum(whole) == total
    slack = 1 + 1e-3 * len(parts)
    assert all(abs(a - b) <= slack for a, b in zip(whole, parts, strict=True))
    assert all(b == 0 for a, b in zip(parts, whole, strict=True) if a == 0) or len(parts) == parts.count(0)


def test_more_calls_alone_are_volume():
    cells = make_cells([(0, 0, 0, False, simple(100, 1000), simple(250, 1000))])
    before, after, found = drivers_of(cells)
    assert amounts(found) == {(0, "volume"): after[0] - before[0]}


def test_more_calls_of_each_request_are_calls_per_request():
    cells = make_cells([(0, 0, 0, False, simple(100, 1000), simple(320, 1000))], requests=[[100], [100]])
    before, after, found = drivers_of(cells)
    assert amounts(found) == {(0, "calls_per_request"): after[0] - before[0]}


def test_moving_to_another_model_is_mix_and_not_price_or_a_new_segment():
    cheap, dear = simple(100, 1000, 10**6), simple(100, 1000, 10**7)
    cells = make_cells([(0, 0, 0, False, cheap, None), (0, 1, 0, False, None, dear)])
    before, after, found = drivers_of(cells)
    assert amounts(found) == {(0, "model_mix"): after[0] - before[0]}


def test_a_new_price_list_is_price_and_the_same_list_is_not():
    rows = [(0, 0, 0, False, simple(100, 1000, 10**6), simple(100, 1000, 3 * 10**6))]
    assert set(amounts(drivers_of(make_cells(rows, repriced=[True]))[2])) == {(0, "price")}
    # dearer tokens of an unchanged list are those of longer prompts
    assert set(amounts(drivers_of(make_cells(rows))[2])) == {(0, "input_tokens")}


def test_a_broken_cache_is_the_cache_share():
    def side(read, write=0):
        fresh = 1000 - read - write
        return {
            "calls": 10, "uncached": fresh * 10, "read": read * 10, "write": write * 10,
            "uncached_usd": fresh * 10 * 1e7, "read_usd": read * 10 * 1e6, "write_usd": write * 10 * 1.25e7,
        }  # fmt: skip

    fell = drivers_of(make_cells([(0, 0, 0, False, side(900), side(0))]))[2]
    assert set(amounts(fell)) == {(0, "cache_read_share")}
    rewritten = amounts(drivers_of(make_cells([(0, 0, 0, False, side(900, 50), side(0, 950))]))[2])
    assert set(rewritten) == {(0, "cache_read_share"), (0, "cache_write_share")}
    assert all(delta > 0 for delta in rewritten.values())


def test_leaving_the_batch_tier_is_batch_share():
    batch, live = simple(100, 1000, 5 * 10**6), simple(100, 1000, 10**7)
    cells = make_cells([(0, 0, 0, False, batch, None), (0, 0, 1, False, None, live)])
    before, after, found = drivers_of(cells)
    assert amounts(found) == {(0, "batch_share"): after[0] - before[0]}


def test_new_and_vanished_segments_are_lines_of_their_own():
    cells = make_cells([(0, 0, 0, False, None, simple(5, 10)), (1, 0, 0, False, simple(7, 10), None)])
    before, after, found = drivers_of(cells)
    assert amounts(found) == {(0, "new_segment"): after[0], (1, "vanished_segment"): -before[1]}


def test_undoing_one_factor_saves_its_own_dollars():
    cells = make_cells([(0, 0, 0, False, simple(100, 1000), simple(200, 3000))])
    game = Game.of(states(cells))
    values = game.segment(0)
    assert undoing(values, "input_tokens") == pytest.approx(200 * 2000 * 10**7)
    assert undoing(values, "volume") == pytest.approx(100 * 3000 * 10**7)
    assert game.undoing([0], {"input_tokens"}) == pytest.approx(undoing(values, "input_tokens"))
    assert game.undoing([0], {"input_tokens", "volume"}) == pytest.approx(500_000 * 10**7)
    assert order_range(values, "volume") == pytest.approx((100 * 1000 * 10**7, 100 * 3000 * 10**7))
