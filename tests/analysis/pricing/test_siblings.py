"""The table of today's models: each has a price, steps descend in price, and names stand at the right step."""

from __future__ import annotations

from datetime import date
from itertools import pairwise

import pytest
import yaml

from analysis.price_book.book import compile_book
from analysis.pricing.siblings import TABLE, rates_on, siblings, table_date

MAKERS = yaml.safe_load(TABLE.read_text())["makers"]


@pytest.mark.parametrize("maker", MAKERS, ids=lambda maker: maker["provider"])
def test_every_step_is_in_the_price_book_and_cheaper_than_the_one_above(maker: dict) -> None:  # type: ignore[type-arg]
    book = compile_book()
    rates = [
        rates_on(list(enumerate(book.of((maker["provider"], step["model"])))), table_date()) for step in maker["steps"]
    ]
    known = [found for found in rates if found is not None]
    assert len(known) == len(rates)
    for above, below in pairwise(known):
        assert below.below(above)


@pytest.mark.parametrize(
    ("provider", "model", "names"),
    [
        ("openai", "gpt-4-turbo", ("gpt-6.1-sol", "gpt-6.1-terra", "gpt-6-luna")),
        ("openai", "gpt-4o-mini", ("gpt-6-luna",)),
        ("anthropic", "claude-sonnet-4-0", ("claude-sonnet-5-5", "claude-haiku-5-5")),
        ("anthropic", "claude-haiku-5-5", ()),
        ("google", "gemini-2.5-flash-lite", ("gemini-3.5-flash-lite",)),
        ("openai", "text-embedding-3-small", ()),
        ("somebody", "gpt-4", ()),
    ],
)
def test_a_model_has_those_at_its_step_and_below(provider: str, model: str, names: tuple[str, ...]) -> None:
    assert siblings((provider, model)) == names


def test_a_model_without_an_answer_price_has_no_rates() -> None:
    rows = list(enumerate(compile_book().of(("openai", "text-embedding-3-small"))))
    assert rates_on(rows, date(2026, 1, 1)) is None
