"""How estimated probabilities read."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from analysis.formatting import certainty


@given(st.floats(0, 1))
def test_no_estimate_reads_as_certain(probability: float) -> None:
    text = certainty(probability)
    assert text not in ("100.0 %", "0.0 %", "100 %", "0 %")
    if 0.01 <= probability <= 0.99:
        assert abs(float(text.removesuffix(" %")) - 100 * probability) <= 0.0501


def test_bounds_and_what_is_unknown() -> None:
    assert certainty(1.0) == "over 99 %"
    assert certainty(0.0) == "under 1 %"
    assert certainty(None) == "-"
