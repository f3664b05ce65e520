"""Where the index says that no clause can match, none does."""

from __future__ import annotations

from genai_prices.data import providers
from hypothesis import given
from hypothesis import strategies as st

from analysis.pricing.clause_index import ClauseIndex

SOLD = [provider for provider in providers if provider.models]
IDS = [model.id for provider in SOLD for model in provider.models]


def test_every_model_that_matches_is_among_those_that_may() -> None:
    common = IDS[:: max(1, len(IDS) // 100)]
    matched, missed = 0, []
    for provider in SOLD:
        index = ClauseIndex(model.match for model in provider.models)
        names = {name for model_id in common for name in _spellings(model_id.lower())}
        names |= {name for model in provider.models for name in _spellings(model.id.lower())}
        fits = [name for name in names if any(model.is_match(name) for model in provider.models)]
        matched += len(fits)
        missed += [(provider.id, name) for name in fits if not index.may_match(name)]
    assert missed == []
    assert matched > len(IDS)


@given(st.text("abcdefgo-134.:/", max_size=12), st.sampled_from(IDS))
def test_a_name_of_nobody_is_matched_by_nobody(text: str, model_id: str) -> None:
    for name in (text, text + model_id.lower()):
        for provider in SOLD[:6]:
            if not ClauseIndex(model.match for model in provider.models).may_match(name):
                assert not any(model.is_match(name) for model in provider.models)


def _spellings(name: str) -> tuple[str, ...]:
    return name, f"{name}-2025-01-01", f"x{name}", name[1:]
