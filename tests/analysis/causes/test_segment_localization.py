"""The best partial segment is that of a plain search over all of them, by the formula written out."""

from __future__ import annotations

from math import log, sqrt
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from analysis.causes.segment_localization import (
    ALIKE,
    HOT,
    MAX_LOG_LIKELIHOOD,
    MAX_OPPOSED,
    Effect,
    Elements,
    holds,
    place,
    stands_out,
)

VALUES = st.sampled_from([None, "a", "b", "c"])
SEGMENTS = st.integers(0, 3).flatmap(lambda n: st.sets(st.tuples(*[VALUES] * n), min_size=1, max_size=20))
FIGURES = st.tuples(
    st.sampled_from([-0.7, 0.0, 0.05, 0.6, 0.62, 1.0]), st.sampled_from([0.02, 0.1, 0.2]), st.integers(-9, 9)
)


def plainly(element: dict[str, Any], hot: list[Effect], members: dict[Any, tuple[float, float]]) -> float:
    inside = sorted((e for e in hot if holds(element, e.segment)), key=lambda e: e.change)
    half = sum(abs(e.delta) for e in inside) / 2
    level = next(e.change for i, e in enumerate(inside) if sum(abs(o.delta) for o in inside[: i + 1]) >= half)
    told = []
    for key, (change, spread) in members.items():
        if holds(element, dict(key)):
            wide = sqrt(spread**2 + (ALIKE * level) ** 2)
            said = ((change / spread) ** 2 - ((change - level) / wide) ** 2) / 2 - log(wide / spread)
            told.append(
                min(max(said, -MAX_LOG_LIKELIHOOD), MAX_LOG_LIKELIHOOD if abs(change - level) < abs(change) else 0.0)
            )
    for_it, against = sum(max(said, 0.0) for said in told), -sum(min(said, 0.0) for said in told)
    kinds = {tuple(dict(key)[name] for name in element) for key in members}
    if against > MAX_OPPOSED * for_it:
        return -MAX_LOG_LIKELIHOOD * len(members) - against
    return for_it - against - log(max(len(kinds), 1))


@given(SEGMENTS, st.data())
def test_the_best_of_all_elements(segments: set[tuple[Any, ...]], data: st.DataObject) -> None:
    figures = {s: data.draw(FIGURES) for s in sorted(segments, key=str)}
    named = {tuple((f"d{i}", value) for i, value in enumerate(s)): f for s, f in figures.items()}
    members = {key: (change, spread) for key, (change, spread, _) in named.items()}
    hot = [Effect(dict(key), "volume", size, change, spread, 0.0) for key, (change, spread, size) in named.items()]
    every = [
        {name: value for i, (name, value) in enumerate(key) if mask >> i & 1}
        for key in named
        for mask in range(1 << len(key))
    ]
    gains = [plainly(element, hot, members) for element in every]
    best = Elements(members).best(hot)
    assert best in every
    assert abs(plainly(best, hot, members) - max(gains)) < 1e-9


def test_an_effect_outside_the_members_names_an_element_but_says_nothing() -> None:
    hot = [Effect({"agent": "new"}, "volume", 5, 1.0, 0.1, 0.0)]
    assert Elements({(("agent", "old"),): (0.0, 0.1)}, [{"agent": "new"}]).best(hot) == {"agent": "new"}


@given(SEGMENTS.filter(lambda found: len(found) > 1), st.data())
def test_a_member_that_was_explained_counts_no_more(segments: set[tuple[Any, ...]], data: st.DataObject) -> None:
    keys = [tuple((f"d{i}", value) for i, value in enumerate(s)) for s in sorted(segments, key=str)]
    members = {key: data.draw(FIGURES)[:2] for key in keys}
    gone = set(data.draw(st.lists(st.sampled_from(keys), max_size=len(keys) - 1)))
    hot = [Effect(dict(key), "volume", 1, *members[key], 0.0) for key in keys if key not in gone]
    elements = Elements(members)
    elements.exclude(gone)
    assert elements.best(hot) == Elements({k: v for k, v in members.items() if k not in gone}).best(hot)


def test_among_thousands_of_segments_a_place_needs_more_to_start() -> None:
    assert stands_out(2) == stands_out(40) == HOT
    assert stands_out(16_000) > 4.0


def test_a_place_reaches_no_further_than_its_evidence() -> None:
    members = {(("agent", a), ("task", t)): (0.0, 0.1) for a in "ab" for t in "xyz"}
    members[("agent", "a"), ("task", "x")] = (1.0, 0.1)
    effects = [
        Effect(dict(key), "volume", 9 if change else 1, change, 0.1, 0.0) for key, (change, _) in members.items()
    ]
    (segments, inside, stood), (rest, others, calm) = place(effects, {"volume": members})
    assert (segments, len(inside), stood) == ([{"agent": "a", "task": "x"}], 1, True)
    assert (rest, len(others), calm) == ([{}], 5, False)
