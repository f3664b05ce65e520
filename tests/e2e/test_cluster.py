"""A lake in an S3-compatible store, made by a Dask cluster of which workers, scheduler and driver are killed."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from analysis.ledger import ledger
from benchmarks._local_cluster import BUCKET, LocalCluster
from ingest.pipeline.run import ingest
from ingest.store.database import Store

pytestmark = [pytest.mark.slow, pytest.mark.timeout(1500)]
STAGES = ("parse", "deduplicate", "settle", "number", "write")
# reads the logs on the cluster; after the first result of a stage it kills the process that is named
DRIVER = """
import os, signal, sys
from collections.abc import Iterator
from distributed import Client
from analysis.ledger.lake_pricing import LakePricing
from ingest.lake.executors import OnDask
from ingest.lake.run import ingest_into_lake
from ingest.store.lake import LakeStore

logs, lake, scheduler, victim, stages = sys.argv[1:6]

class Killing(OnDask):
    left = set(stages.split(",")) - {""}
    def map(self, work, items):
        inner = work.args[0] if work.args and callable(work.args[0]) else work.func
        for result in super().map(work, items):
            if inner.__name__ in self.left:
                self.left.discard(inner.__name__)
                if victim == "driver":
                    os.kill(os.getpid(), signal.SIGKILL)
                pids = self._client.run(os.getpid)
                if victim == "worker":
                    os.kill(sorted(pids.values())[0], signal.SIGKILL)
                else:
                    pid = self._client.run_on_scheduler(os.getpid)
                    os.kill(pid, signal.SIGKILL)
            yield result

with Client(scheduler, timeout=60, set_as_default=False) as client:
    client.wait_for_workers(2, timeout=120)
    report = ingest_into_lake(LakeStore(lake), [logs], Killing(client), LakePricing, task_bytes=60_000, buckets=4)
    print(report.calls, report.duplicates)
"""


@pytest.fixture(scope="module")
def cluster() -> Iterator[LocalCluster]:
    for name in ("moto", "distributed", "obstore", "fsspec"):
        pytest.importorskip(name, reason="needs llm-hindcast[cluster] and moto[server]")
    with LocalCluster() as running:
        os.environ.update(running.environment)
        yield running
    for name in running.environment:
        os.environ.pop(name, None)


@pytest.fixture(scope="module")
def logs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("logs")
    for name, numbers in (("a", range(800)), ("b", range(600, 1400)), ("c", range(1300, 1500))):
        (folder / f"{name}.jsonl").write_text("".join(line(number) + "\n" for number in numbers))
    return folder


def line(number: int) -> str:
    return json.dumps({
        "hindcast": 1, "call_id": f"c{number}", "start_time": f"2026-03-{2 + number % 5:02}T10:{number % 60:02}:00Z",
        "request_model": ("gpt-4o", "gpt-4o-mini")[number % 2], "input_tokens": 100 + number % 13, "output_tokens": 7,
        "agent": f"agent_{number % 3}", "input_messages": [{"role": "user", "content": f"Item {number % 97}"}],
    })  # fmt: skip


def rows(store: Store) -> list[Any]:
    with store.read() as con:
        return con.execute("SELECT * EXCLUDE (source_id) FROM costs ORDER BY call_no").fetchall()


def drive(cluster: LocalCluster, lake: str, victim: str, stages: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-c", DRIVER, f"s3://{BUCKET}/logs/", lake, cluster.scheduler, victim, stages],
        capture_output=True, text=True, timeout=600, check=False,
    )  # fmt: skip


def test_whatever_is_killed_in_any_stage_the_lake_ends_as_a_file(
    cluster: LocalCluster, logs: Path, tmp_path: Path
) -> None:
    from ingest.places.open_place import open_place
    from ingest.store.lake import LakeStore

    file = Store(tmp_path / "s.duckdb")
    ingest(file, [logs], workers=1, match_formats=False)
    ledger.update(file)
    place = open_place(f"s3://{BUCKET}/logs/")
    for path in sorted(logs.iterdir()):
        place.write(path.name, path.read_bytes())

    workers = drive(cluster, f"s3://{BUCKET}/workers/", "worker", ",".join(STAGES))
    assert workers.stdout.split() == ["1500", "300"], workers.stderr
    assert rows(LakeStore(f"s3://{BUCKET}/workers/")) == rows(file)

    for stage in STAGES:
        killed = drive(cluster, f"s3://{BUCKET}/driver/", "driver", stage)
        assert killed.returncode == -signal.SIGKILL, killed.stderr
    assert drive(cluster, f"s3://{BUCKET}/driver/", "none", "").stdout.split() == ["1500", "300"]
    assert rows(LakeStore(f"s3://{BUCKET}/driver/")) == rows(file)

    for stage in STAGES:
        failed = drive(cluster, f"s3://{BUCKET}/scheduler/", "scheduler", stage)
        assert failed.returncode == 1, failed.stdout
        cluster.start_dask()
    assert drive(cluster, f"s3://{BUCKET}/scheduler/", "none", "").stdout.split() == ["1500", "300"]
    assert rows(LakeStore(f"s3://{BUCKET}/scheduler/")) == rows(file)
    assert drive(cluster, f"s3://{BUCKET}/scheduler/", "none", "").stdout.split() == ["0", "1800"]
