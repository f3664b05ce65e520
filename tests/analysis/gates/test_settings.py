"""`hindcast.toml`: what it says is what the gates hold to, and what it cannot mean is refused by name."""

from __future__ import annotations

from datetime import date
from decimal import Decimal

import pytest

from analysis.gates.settings import Settings, read
from ingest.errors import InputError


def settings(folder, text: str) -> Settings:
    path = folder / "hindcast.toml"
    path.write_text(text)
    return read(path)


def test_without_a_file_no_budget_is_set_and_the_shares_have_their_limits(tmp_path):
    found = read(tmp_path / "hindcast.toml")
    assert found.budgets == ()
    assert found.flagged_days
    assert (found.unpriced_share, found.unusable_share, found.ambiguous_share) == (Decimal("0.01"),) * 3


def test_budgets_of_the_bill_and_of_values(tmp_path):
    found = settings(
        tmp_path,
        """
        [budget]
        usd_per_day = 200
        [budget.agent.writer]
        tokens_per_week = 5_000
        rule = "forecast"
        [budget.user."(none)"]
        usd_per_month = 9.5
        """,
    )
    assert [(one.name, one.limit, one.rule) for one in found.budgets] == [
        ("budget usd_per_day", 200, "hard"),
        ("budget tokens_per_week agent=writer", 5000, "forecast"),
        ("budget usd_per_month user=(none)", Decimal("9.5"), "hard"),
    ]
    assert found.daily == 200


def test_a_share_that_is_false_leaves_the_gate_out(tmp_path):
    assert settings(tmp_path, "[gates]\nunpriced_share = false\n").unpriced_share is None


def test_the_strategy_in_force_lies_beside_the_file(tmp_path):
    found = settings(tmp_path, '[rollout]\nstrategy = "s/x.yaml"\nsince = 2026-03-12\n').rollout
    assert found is not None
    assert (found.strategy, found.since) == (tmp_path / "s/x.yaml", date(2026, 3, 12))


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("[budgt]\nusd_per_day = 1", "no section [budgt]\nDid you mean 'budget'?"),
        ("[budget]\nusd_per_fortnight = 1", "has no key 'usd_per_fortnight'\nDid you mean 'usd_per_month'?"),
        ("[budget]\nusd_per_day = 0", "usd_per_day = 0 is not an amount of dollars above 0"),
        ("[budget]\nusd_per_day = true", "usd_per_day = True is not"),
        ("[budget]\nusd_per_day = nan", "usd_per_day = nan is not"),
        ("[budget]\nrule = 'soft'\nusd_per_day = 1", "rule = 'soft' is none of hard, forecast"),
        ("[budget.agent]\nusd_per_day = 1", "[budget.agent] names no value of 'agent'"),
        ("[budget.agent.x]\nrule = 'hard'", "[budget.agent.x] sets no limit"),
        ("[budget.agnt.x]\nusd_per_day = 1", "no dimension 'agnt'\nDid you mean 'agent'?"),
        ("[budget.week.'2024-W10']\nusd_per_day = 1", "[budget.week]: a budget has its own period"),
        ("[gates]\nunpriced = 0.1", "[gates] has no key 'unpriced'\nDid you mean 'unpriced_share'?"),
        ("[gates]\nunpriced_share = 2", "is not a share above 0 up to 1"),
        ("[gates]\ndays = 1.5", "is not a whole number"),
        ("[gates]\nflagged_days = 1", "neither true nor false"),
        ("[gates]\ncannot_say = ['latency']", "cannot_say names no gate 'latency'\nDid you mean 'latency p95'?"),
        ("[gates]\ncannot_say = 3", "neither 'show' nor 'fail'"),
        ("[rollout]\nsince = 2026-03-12", "[rollout] lacks 'strategy'"),
        ("[rollout]\nstrategy = 'x'\nsince = 'May'", "is not a day"),
        ("[budget\n", "not valid TOML"),
        ("budget = 3", "budget must be a table"),
    ],
)
def test_what_cannot_be_meant_is_one_clear_line(tmp_path, text, said):
    with pytest.raises(InputError) as error:
        settings(tmp_path, text)
    assert said in str(error.value)
    assert len(str(error.value).splitlines()) <= 2
