"""Effects and their errors are those of the textbook estimators, and hold where days and clusters are alike."""

from __future__ import annotations

import numpy as np
import pytest
import statsmodels.api as sm

from replay.rollout import arms, daily_series, regression
from replay.rollout.effects import Estimate, claimed

SETS = range(20)


def days(seed: int, *, before: int = 0, after: int = 0, step: float = 0.7) -> tuple[daily_series.Series, int]:
    """A series with weekends, a trend and errors that go on; and the day of the rollout."""
    rng = np.random.default_rng(seed)
    before, after = before or int(rng.integers(10, 40)), after or int(rng.integers(3, 25))
    number = before + after
    day = 20_000 + int(rng.integers(0, 7)) + np.arange(number)
    error = rng.standard_normal(number)
    rho = rng.uniform(0, 0.7)
    for place in range(1, number):
        error[place] += rho * error[place - 1]
    weekend = (day + 3) % 7 >= 5
    value = 2 + 0.3 * weekend + 0.01 * np.arange(number) + 0.1 * error + step * (np.arange(number) >= before)
    return daily_series.Series(day, value, rng.integers(20, 200, number).astype(float)), int(day[before])


@pytest.mark.parametrize("seed", SETS)
def test_the_interrupted_series_equals_statsmodels(seed: int):
    series, rollout = days(seed)
    found = daily_series.step(series, rollout, draws=200)
    x, _ = daily_series.design(series.day, rollout, trend=True)
    lags = regression.usual_lags(len(x))
    oracle = sm.WLS(series.value, x, weights=series.weight).fit(
        cov_type="HAC", cov_kwds={"maxlags": lags, "use_correction": True}
    )
    assert found is not None
    assert found.effect == pytest.approx(oracle.params[-1], abs=1e-6)
    assert found.error == pytest.approx(oracle.bse[-1], abs=1e-6)


@pytest.mark.parametrize("seed", SETS)
def test_the_difference_in_differences_equals_a_level_per_day_and_segment(seed: int):
    one, rollout = days(seed)
    rng = np.random.default_rng(seed + 100)
    other = daily_series.Series(one.day, 5 + rng.standard_normal(len(one.day)), rng.uniform(10, 90, len(one.day)))
    both = daily_series.against(one, other, rollout)
    assert both is not None
    before = one.day < rollout
    y = np.concatenate([s.value / np.average(s.value[before], weights=s.weight[before]) for s in (one, other)])
    count = len(one.day)
    treated = np.repeat([1.0, 0.0], count)
    levels = np.tile(np.eye(count), (2, 1))
    after = np.tile(~before, 2)
    allowed, _ = daily_series.design(one.day, rollout, trend=False)
    x = np.column_stack([levels, np.tile(allowed, (2, 1))[:, :-1] * treated[:, None], treated * after])
    oracle = sm.WLS(y, x, weights=np.concatenate([one.weight, other.weight])).fit()
    found = daily_series.step(both, rollout, trend=False, draws=200)
    assert found is not None
    assert found.effect == pytest.approx(oracle.params[-1], abs=1e-6)


def clusters(seed: int) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Rows of (value, size, treated, cluster, known before), several rows to a cluster."""
    rng = np.random.default_rng(seed)
    groups = int(rng.integers(8, 40))
    cluster = np.repeat(np.arange(groups), rng.integers(1, 6, groups))
    treated = (np.arange(groups) % 2 == 0)[cluster]
    known = rng.gamma(3, 1, groups)[cluster]
    size = rng.integers(1, 4, len(cluster)).astype(float)
    value = size * (known + 0.5 * treated + rng.normal(0, 1, groups)[cluster] + rng.standard_normal(len(cluster)))
    return value, size, treated, cluster, known


@pytest.mark.parametrize("seed", SETS)
def test_the_difference_of_arms_equals_a_regression_on_the_arm_and_what_was_known(seed: int):
    value, size, treated, cluster, known = clusters(seed)
    x = np.column_stack([np.ones(len(value)), treated, known])
    oracle = sm.WLS(value / size, x, weights=size).fit()
    found = arms.difference(value, size, treated, cluster, known)
    assert found is not None
    assert found.effect == pytest.approx(oracle.params[1], abs=1e-6)
    plain = arms.difference(value, size, treated, cluster)
    assert plain is not None
    assert plain.effect == pytest.approx(sm.WLS(value / size, x[:, :2], weights=size).fit().params[1], abs=1e-6)


@pytest.mark.parametrize("seed", SETS)
def test_the_variance_of_a_mean_is_cr2(seed: int):
    """Pustejovsky & Tipton 2018: residuals times (I - H_gg)^(-1/2) in each cluster, observations of equal weight."""
    value, size, _, cluster, _ = clusters(seed)
    y, code = np.repeat(value / size, size.astype(int)), np.repeat(cluster, size.astype(int))
    residual, total = y - y.mean(), len(y)
    meat = 0.0
    for group in np.unique(code):
        mine = code == group
        leverage = np.full((mine.sum(), mine.sum()), 1 / total)
        root, vectors = np.linalg.eigh(np.eye(mine.sum()) - leverage)
        meat += float((vectors @ np.diag(root**-0.5) @ vectors.T @ residual[mine]).sum()) ** 2
    found = arms.mean(value, size, cluster)
    assert found.variance == pytest.approx(meat / total**2, rel=1e-9)
    assert found.value == pytest.approx(y.mean())


@pytest.mark.parametrize("seed", SETS)
def test_with_one_row_a_cluster_the_error_is_hc2(seed: int):
    value, _, treated, _, _ = clusters(seed)
    rows = np.arange(len(value))
    sides = [arms.mean(value[side], np.ones(side.sum()), rows[side]) for side in (treated, ~treated)]
    oracle = sm.OLS(value, np.column_stack([np.ones(len(value)), treated])).fit(cov_type="HC2")
    assert np.sqrt(sides[0].variance + sides[1].variance) == pytest.approx(oracle.bse[1], abs=1e-6)
    assert sides[0].freedom == pytest.approx(treated.sum() - 1)


def test_days_that_are_all_alike_leave_no_doubt_and_no_division_by_zero():
    day = np.arange(20_000, 20_019)
    flat = daily_series.Series(day, np.where(day < 20_014, 3.0, 6.0), np.full(19, 60.0))
    found = daily_series.step(flat, 20_014)
    assert found is not None
    assert (found.effect, found.p_value) == (pytest.approx(3.0), 0.0)
    same = daily_series.step(daily_series.Series(day, np.full(19, 3.0), np.full(19, 60.0)), 20_014)
    assert same is not None
    assert same.p_value == 1.0


def test_too_few_days_or_clusters_are_no_estimate():
    series, _ = days(1, before=20, after=10)
    assert daily_series.step(series, int(series.day[6])) is None
    assert daily_series.step(series, int(series.day[-2])) is None
    value, size, _, cluster, _ = clusters(1)
    assert arms.difference(value, size, cluster == 0, cluster) is None


def test_a_placebo_date_sees_nothing_of_the_rollout():
    series, rollout = days(3, before=25, after=10)
    shifted = daily_series.Series(series.day, series.value + 100 * (series.day >= rollout), series.weight)
    one, two = (list(daily_series.placebos(each, rollout)) for each in (series, shifted))
    assert len(one) >= 4
    assert [(day, found.effect) for day, found in one] == [(day, found.effect) for day, found in two]


def test_claims_share_one_error_rate():
    def with_p(p: float) -> Estimate:
        return Estimate(1, 1, 0, 2, p, 1, 1, 2, 10)

    assert claimed({"a": with_p(0.03), "b": with_p(0.03)}) == frozenset()
    assert claimed({"a": with_p(0.024), "b": with_p(0.04)}) == {"a", "b"}
    assert claimed({"a": with_p(0.2), "b": with_p(0.001)}) == {"b"}


def test_the_interval_holds_where_days_go_on_and_weekends_differ():
    """60 worlds without an effect: a 95 % interval misses 3 on average, 9 or more once in two hundred."""
    missed = 0
    for seed in range(60):
        series, rollout = days(seed, before=21, after=7, step=0.0)
        found = daily_series.step(series, rollout, draws=800)
        assert found is not None
        missed += not found.low <= 0 <= found.high
    assert missed <= 8
