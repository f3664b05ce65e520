"""A choice of models reads back from the file that it is written to as the same choice."""

from __future__ import annotations

import polars as pl
from hypothesis import given, settings
from hypothesis import strategies as st

from replay.optimize.write_strategy import Group, policy_of, written
from replay.stages import rule_evaluation
from replay.strategy import schema
from replay.strategy.quality_schema import Quality

NAMES = st.none() | st.text(st.characters(exclude_categories=["Cc", "Cs"]), max_size=8)


@settings(deadline=None, max_examples=50)
@given(st.lists(st.tuples(NAMES, NAMES), min_size=1, max_size=5, unique_by=lambda g: str(g).casefold()))
def test_every_name_survives_being_written_as_a_rule(names: list[tuple[str | None, str | None]]):
    groups = [Group(*name) for name in names]
    chosen = policy_of("x", groups, ["m"] * len(groups), cache=None, compress=(), judged=Quality())
    again = schema.parse(written(chosen))
    assert again == chosen
    frame = pl.DataFrame(names, schema={"agent": pl.String, "task": pl.String}, orient="row")
    assert (rule_evaluation.route(again, frame) == 0).all()
