"""Reports of real logs say what these lack. (In a browser every page is opened on them, in tests/e2e.)"""

from __future__ import annotations

from html import unescape
from pathlib import Path

import pytest

import sample_logs
from analysis.ledger import ledger
from dashboard.documents import html_report
from dashboard.documents.story import gather
from ingest.pipeline.run import ingest
from ingest.store.database import Store
from replay.strategy.schema import load

MAPPINGS = Path(sample_logs.__file__).parent / "mappings"
UNPRICED = {"chatdev": "219 of 1,933 calls", "tau2": "732 of 4,018 calls"}


@pytest.fixture(scope="module", params=sorted(UNPRICED))
def real(request: pytest.FixtureRequest, data: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[str, Store]:
    name = str(request.param)
    store = Store(tmp_path_factory.mktemp(name) / f"{name}.duckdb")
    file = {"chatdev": "chatdev_calls.jsonl.zst", "tau2": "tau2_dev_calls.jsonl.zst"}[name]
    ingest(store, [data / file], mapping=MAPPINGS / f"{name}.yaml")
    ledger.update(store)
    return name, store


def test_reports_of_real_logs_say_what_they_lack(real: tuple[str, Store]) -> None:
    name, store = real
    findings = gather(store, [load(path) for path in sample_logs.strategies()[1:2]])
    for audience in html_report.AUDIENCES:
        assert UNPRICED[name] in unescape(html_report.html(findings, audience))
    assert "the log holds too few quality scores" in html_report.markdown(findings)
