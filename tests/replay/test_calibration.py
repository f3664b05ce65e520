"""The simulated prompt cache against what real bills say was cached, and the key figures of two real logs."""

from __future__ import annotations

from collections import defaultdict
from pathlib import Path

import pytest

from analysis.ledger.ledger import update
from analysis.pricing.overrides import parse_override
from analysis.pricing.stored_overrides import store_overrides
from ingest.contents.tokenizer import ensure_counted
from ingest.pipeline.run import ingest
from ingest.store.database import Store
from replay.provider_cache import calibration
from replay.response_cache import key_policies
from replay.traffic import load_traffic

ROOT = Path(__file__).resolve().parents[2]


def real(data: Path, folder: Path, name: str) -> Store:
    """A store of one of the real logs, with token counts."""
    path = data / name
    if not path.exists():
        pytest.skip(f"{name} is absent")
    built = Store(folder / "s.duckdb")
    ingest(built, [path], mapping=ROOT / "sample_logs" / "mappings" / f"{name.split('_')[0]}.yaml")
    update(built)
    return built


@pytest.fixture(scope="module")
def tau2(data: Path, tmp_path_factory: pytest.TempPathFactory) -> list[calibration.Agreement]:
    store = real(data, tmp_path_factory.mktemp("tau2"), "tau2_dev_calls.jsonl.zst")
    regional = parse_override(match={"model": "azure/gpt-4o*"}, input="2.75", cache_read="1.25", output="11")
    with store.write() as con:
        store_overrides(con, [regional], replace_all=True)
    update(store, rebuild=True)
    ensure_counted(store, ["o200k_base"])
    return calibration.agreement(load_traffic.load(store))


@pytest.mark.data
def test_cached_tokens_of_each_run_are_predicted_within_five_percent_and_better_than_by_the_rule_of_thumb(tau2):
    runs: dict[str | None, list[int]] = defaultdict(lambda: [0, 0, 0])
    for row in tau2:
        for number, value in enumerate((row.logged, row.predicted, row.naive)):
            runs[row.workflow][number] += value
    assert len(runs) == 6
    for logged, predicted, naive in runs.values():
        assert abs(predicted / logged - 1) <= 0.05
        assert abs(predicted - logged) < abs(naive - logged)


@pytest.mark.data
def test_the_correction_is_shown_with_the_band_of_its_folds(tau2):
    assert sum(row.calls for row in tau2) == 2862
    for row in tau2:
        assert row.low <= row.factor <= row.high
        assert row.simulated > 0


@pytest.mark.data
def test_chatdev_repeats_258_calls_in_133_groups_and_few_got_the_same_answer(data, tmp_path):
    store = real(data, tmp_path, "chatdev_calls.jsonl.zst")
    found = {one.name: one for one in key_policies.compare(load_traffic.load(store))}
    canonical = found["canonical"]
    assert (canonical.asked, canonical.hits, canonical.repeats.groups) == (1933, 258, 133)
    # 43 groups without two different answers: in one of them no answer was logged at all
    assert (canonical.repeats.groups_one_answer, canonical.repeats.groups_unanswered) == (42, 1)
    assert found["canonical+mask"].hits == 258  # masking dates, ids and numbers adds no hit here, and no risk
    assert canonical.repeats.false_share == pytest.approx(1 - 73 / 256)
