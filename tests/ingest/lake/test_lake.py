"""The laws of a lake: it holds what a file holds, whatever the buckets, the executor, the order and what fails."""

from __future__ import annotations

import hashlib
import json
import pickle
import shutil
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import msgspec
import pytest

import sample_logs
from analysis.diagnosis.diagnose import diagnose
from analysis.diagnosis.document import to_json
from analysis.ledger.lake_pricing import LakePricing
from analysis.ledger.update import update
from analysis.reports.cost import cost
from ingest.errors import InputError, StoreError
from ingest.lake.executors import Here
from ingest.lake.run import ingest_into_lake
from ingest.pipeline.report import IngestReport
from ingest.pipeline.run import ingest
from ingest.places.folder import Folder
from ingest.store.database import Store
from ingest.store.lake import LakeStore
from ingest.store.lake_parts import SPREAD_COSTS

SAMPLES = ("claude_code", "codex", "litellm", "openai_chat", "provider_usage", "langfuse", "hindcast")
SECRET = "the secret of the sea"


def line(number: int, **fields: Any) -> str:
    return json.dumps({
        "hindcast": 1, "start_time": f"2026-03-{2 + number % 5:02}T10:{number % 60:02}:00Z", "duration_ms": 900,
        "request_model": ("gpt-4o", "gpt-4o-mini")[number % 2], "input_tokens": 100 + number % 13, "output_tokens": 7,
        "agent": f"agent_{number % 3}", "task": "draft", "conversation_id": f"s{number // 4}",
        "input_messages": [{"role": "system", "content": "Be brief."},
                           {"role": "user", "content": f"{SECRET} {number % 9}"}],
        "output_messages": [{"role": "assistant", "content": "Fine."}], **fields,
    })  # fmt: skip


def as_hash(message: dict[str, Any]) -> dict[str, Any]:
    """The message as a log names it that keeps no text."""
    raw = msgspec.json.encode(message, order="sorted")
    return {"role": message["role"], "sha256": hashlib.sha256(raw).hexdigest(), "tokens": 9, "words": 6}


@pytest.fixture(scope="module")
def logs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Several formats; ids that come again in other files, equal lines without an id, a row that cannot be used."""
    folder = tmp_path_factory.mktemp("logs")
    for name in SAMPLES:
        for path in Path(sample_logs.__file__).parent.glob(f"formats/{name}.json*"):
            shutil.copy(path, folder)
    first = (
        [line(n, call_id=f"c{n}") for n in range(60)] + [line(7)] * 3 + ["{cut", line(8, score=0.5, scores={"m": 1})]
    )
    second = [line(n, call_id=f"c{n}") for n in range(40, 90)] + [line(7)] * 2
    (folder / "a.jsonl").write_text("\n".join(first) + "\n")
    (folder / "b.jsonl").write_text("\n".join(second) + "\n")
    return folder


@pytest.fixture(scope="module")
def file(logs: Path, tmp_path_factory: pytest.TempPathFactory) -> Store:
    store = Store(tmp_path_factory.mktemp("file") / "s.duckdb")
    ingest(store, [logs], workers=1, match_formats=False)
    update(store)
    return store


def read(lake: LakeStore, *paths: Path, executor: Any = None, **options: Any) -> IngestReport:
    return ingest_into_lake(lake, list(paths), executor or Here(), LakePricing, **options)


def tables(store: Store) -> dict[str, list[Any]]:
    """Every table and view with its rows; without what an ingest leaves for its own next time."""
    own = {"sources": "EXCLUDE (published, byte_offset)", "meta": "EXCLUDE (value)"}
    with store.read() as con:
        names = con.execute(
            "SELECT table_name FROM duckdb_tables() UNION SELECT view_name FROM duckdb_views() WHERE NOT internal"
        ).fetchall()
        return {
            name: con.execute(f'SELECT * {own.get(name, "")} FROM "{name}" ORDER BY ALL').fetchall()
            for (name,) in names
            if name != SPREAD_COSTS  # a lake alone has it
        }


def objects(folder: Path) -> dict[str, str]:
    """The hash of every object but of those whose names or contents tell of one writer: commits and small tables."""
    return {
        path.relative_to(folder).as_posix(): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in folder.rglob("*")
        if path.is_file() and path.relative_to(folder).parts[0] not in ("commits", "side") and path.suffix != ".duckdb"
    }


class Backwards(Here):
    """Another order of tasks and results."""

    def map(self, work: Callable[[int], Any], items: Sequence[int]) -> Iterator[Any]:
        yield from [work(item) for item in reversed(items)]


class Twice(Here):
    """Every task is done twice, as after a worker that was lost."""

    def map(self, work: Callable[[int], Any], items: Sequence[int]) -> Iterator[Any]:
        for item in items:
            work(item)
            yield work(item)


class Weighing(Here):
    """Notes the size of what tasks take and give."""

    most = 0

    def map(self, work: Callable[[int], Any], items: Sequence[int]) -> Iterator[Any]:
        for result, item in zip(super().map(work, items), items, strict=True):
            self.most = max(self.most, len(pickle.dumps((work, item))), len(pickle.dumps(result)))
            yield result


def stage(work: Any) -> str:
    """The name of the stage that a function given to an executor belongs to."""
    inner = work.args[0] if work.args and callable(work.args[0]) else work.func
    return str(inner.__name__)


class Ending(Here):
    """The driver ends in the middle of a stage."""

    def __init__(self, name: str) -> None:
        self.name = name

    def map(self, work: Callable[[int], Any], items: Sequence[int]) -> Iterator[Any]:
        for number, result in enumerate(super().map(work, items)):
            if stage(work) == self.name and number == len(items) // 2:
                raise KeyboardInterrupt
            yield result


@pytest.mark.parametrize(
    ("buckets", "task_bytes"), [(1, 1 << 25), (4, 30_000), pytest.param(16, 1 << 25, marks=pytest.mark.slow)]
)
def test_a_lake_holds_what_a_file_holds(logs: Path, file: Store, tmp_path: Path, buckets: int, task_bytes: int) -> None:
    lake = LakeStore(f"{tmp_path}/lake/")
    report = read(lake, logs, executor=Backwards(), buckets=buckets, task_bytes=task_bytes)
    assert report.calls > 100
    assert report.quarantined == 1
    assert tables(lake) == tables(file)
    by = ("day", "agent", "model", "cost_status")
    assert cost(lake, by=by).to_json() == cost(file, by=by).to_json()
    assert to_json(diagnose(lake)) == to_json(diagnose(file))
    again = read(lake, logs, task_bytes=task_bytes)
    assert (again.calls, again.rows) == (0, report.rows)
    assert tables(lake) == tables(file)


def test_tasks_done_twice_make_the_same_objects(logs: Path, tmp_path: Path) -> None:
    once, twice = LakeStore(f"{tmp_path}/once/"), LakeStore(f"{tmp_path}/twice/")
    read(once, logs / "a.jsonl", logs / "b.jsonl", buckets=4)
    read(twice, logs / "a.jsonl", logs / "b.jsonl", buckets=4, executor=Twice())
    assert objects(tmp_path / "once") == objects(tmp_path / "twice")
    assert len(objects(tmp_path / "once")) > 10


def test_of_two_ingests_at_once_each_call_is_kept_once(logs: Path, tmp_path: Path) -> None:
    class Meanwhile(Here):
        done = False

        def map(self, work: Callable[[int], Any], items: Sequence[int]) -> Iterator[Any]:
            yield from super().map(work, items)
            if stage(work) == "write" and not self.done:
                self.done = True
                other.append(read(LakeStore(f"{tmp_path}/lake/"), logs / "b.jsonl"))

    other: list[IngestReport] = []
    lake, whole = LakeStore(f"{tmp_path}/lake/"), LakeStore(f"{tmp_path}/whole/")
    mine = read(lake, logs / "a.jsonl", executor=Meanwhile(), buckets=2)
    read(whole, logs / "b.jsonl")
    expected = mine.calls + other[0].calls
    assert read(whole, logs / "a.jsonl").calls == mine.calls
    assert tables(lake)["costs"] == tables(whole)["costs"]
    assert len(tables(lake)["calls"]) == expected


def test_after_an_end_in_any_stage_the_next_run_goes_on(logs: Path, tmp_path: Path) -> None:
    lake, whole = LakeStore(f"{tmp_path}/lake/"), LakeStore(f"{tmp_path}/whole/")
    given = [logs / "a.jsonl"]
    for name in ("parse", "deduplicate", "settle", "number", "write"):
        with pytest.raises(KeyboardInterrupt):
            read(lake, *given, executor=Ending(name), buckets=2, task_bytes=20_000)
        assert not tables(lake)["calls"]
    parsed = {path: path.stat().st_mtime_ns for path in (tmp_path / "lake/run/parse").rglob("done.json")}
    assert len(parsed) > 1
    read(lake, *given, task_bytes=20_000)
    read(whole, *given, buckets=2, task_bytes=20_000)
    assert all(path.stat().st_mtime_ns == time for path, time in parsed.items())
    assert tables(lake)["costs"] == tables(whole)["costs"]


def test_a_text_that_was_met_as_a_hash_is_completed_by_a_later_commit(tmp_path: Path) -> None:
    bare, told = tmp_path / "a.jsonl", tmp_path / "b.jsonl"
    message = {"role": "user", "content": "What is in the box?"}
    bare.write_text(line(1, call_id="c1", input_messages=[as_hash(message)]) + "\n")
    told.write_text(line(2, call_id="c2", input_messages=[message]) + "\n")
    lake, file = LakeStore(f"{tmp_path}/lake/"), Store(tmp_path / "s.duckdb")
    for log in (bare, told):
        read(lake, log)
        ingest(file, [log], workers=1)
    update(file)
    assert [row for row in tables(lake)["contents"] if "What is in the box?" in str(row)]
    assert tables(lake) == tables(file)


def test_no_task_takes_or_gives_more_with_more_files(tmp_path: Path) -> None:
    folder = tmp_path / "logs"
    folder.mkdir()
    for number in range(120):
        (folder / f"{number:04}.jsonl").write_text(line(number, call_id=f"c{number}") + "\n")
    weighing = Weighing()
    read(LakeStore(f"{tmp_path}/lake/"), folder, executor=weighing, buckets=2)
    assert 0 < weighing.most < 8000


def test_a_bucket_that_fits_no_worker_is_refused_with_the_number_that_would(logs: Path, tmp_path: Path) -> None:
    small = Here()
    small.memory = 250_000_000 + 100_000
    lake = LakeStore(f"{tmp_path}/lake/")
    with pytest.raises(StoreError, match=r"a bucket of 1\d\d calls needs about 250 MB") as refused:
        read(lake, logs / "a.jsonl", logs / "b.jsonl", executor=small)
    assert "store split --buckets 2" in str(refused.value)


def test_a_place_that_overwrites_is_refused(tmp_path: Path) -> None:
    class Overwriting(Folder):
        def create(self, name: str, data: bytes) -> bool:
            self.write(name, data)
            return True

    lake = LakeStore(f"{tmp_path}/lake/")
    lake.place = Overwriting(f"{tmp_path}/lake/")
    with pytest.raises(StoreError, match="could undo each other"):
        lake.make()
    assert not lake.exists()


def test_hashed_texts_need_one_key_and_leave_no_text(logs: Path, tmp_path: Path) -> None:
    lake = LakeStore(f"{tmp_path}/lake/")
    read(lake, logs / "a.jsonl", keep="hashes", hash_key=tmp_path / "key")
    assert not [
        path for path in (tmp_path / "lake").rglob("*") if path.is_file() and SECRET.encode() in path.read_bytes()
    ]
    with pytest.raises(InputError, match="another key"):
        read(lake, logs / "b.jsonl", keep="hashes", hash_key=tmp_path / "other")
    with pytest.raises(InputError, match="keyed hashes"):
        read(lake, logs / "b.jsonl")
    key = bytes.fromhex((tmp_path / "key").read_text())
    kept = [path for path in (tmp_path / "lake").rglob("*") if path.is_file()]
    assert not [path for path in kept if key in path.read_bytes() or key.hex().encode() in path.read_bytes()]


def test_calls_of_a_lake_are_not_changed(logs: Path, tmp_path: Path) -> None:
    lake = LakeStore(f"{tmp_path}/lake/")
    read(lake, logs / "a.jsonl")
    before = lake.publish_number()
    with lake.write() as con:
        con.execute("INSERT INTO annotations VALUES (TIMESTAMP '2026-03-02', 'deployed', 'test')")
    assert lake.publish_number() == before + 1
    assert len(tables(lake)["annotations"]) == 1
    for statement in ("DELETE FROM calls", "UPDATE ledger SET cost_usd = 0", "INSERT INTO calls (call_no) VALUES (1)"):
        with pytest.raises(StoreError, match="stay as they were written"), lake.write() as con:
            con.execute(statement)
    assert lake.publish_number() == before + 1


def test_counts_of_stored_calls_that_have_grown_are_refused(tmp_path: Path) -> None:
    lake = LakeStore(f"{tmp_path}/lake/")
    sample = Path(sample_logs.__file__).parent / "formats/claude_code.jsonl"
    rows = sample.read_text().splitlines()
    log = tmp_path / "session.jsonl"

    def with_output(tokens: int) -> str:
        record = json.loads(next(row for row in rows if '"output_tokens"' in row))
        record["message"]["usage"]["output_tokens"] = tokens
        return json.dumps(record) + "\n"

    log.write_text(with_output(5))
    assert read(lake, log).calls == 1
    log.write_text(with_output(5) + with_output(50))
    with pytest.raises(StoreError, match="fuller counts"):
        read(lake, log)
    whole = LakeStore(f"{tmp_path}/whole/")
    assert read(whole, log).calls == 1
    with whole.read() as con:
        assert con.execute("SELECT output_tokens FROM calls").fetchall() == [(50,)]
