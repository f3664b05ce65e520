"""A folder as a home directory is, logs among all else: every file is read, told as passed over, or told as hidden."""

from __future__ import annotations

import gzip
import json
import os
import sqlite3
import zipfile
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from ingest.errors import InputError
from ingest.pipeline.report import IngestReport
from ingest.pipeline.run import ingest
from ingest.store.database import Store

PNG = b"\x89PNG\r\n\x1a\n" + bytes(range(256))
CALL = {"hindcast": 1, "start_time": "2026-03-02T10:00:00Z", "request_model": "gpt-5-mini", "input_tokens": 10,
        "output_tokens": 5}  # fmt: skip


def calls(*numbers: int) -> bytes:
    return "".join(json.dumps({**CALL, "call_id": f"c{number}"}) + "\n" for number in numbers).encode()


# name -> (bytes, calls in it, whether it names usage that nothing reads)
FILES: dict[str, tuple[bytes, int, bool]] = {
    "log.jsonl": (calls(1, 2), 0, False),
    "deep/er/older.jsonl.gz": (gzip.compress(calls(3)), 1, False),
    "a copy of log.jsonl": (calls(1, 2), 2, False),  # read before the other
    "no end.jsonl": (calls(4) + b'{"hindcast": 1, "call_id": "c5", "input_tok', 1, False),
    "between.log": (b"starting\n" + calls(6) + b"Traceback (most recent call last):\n", 1, False),
    "utf16.jsonl": (calls(7).decode().encode("utf-16"), 1, False),
    "nothing": (b"", 0, False),
    "blank.jsonl": (b"\n\n \n", 0, False),
    "photo.png": (PNG, 0, False),
    "notes.md": (b"# To do\n\n- the model costs too much, 1,000 tokens a call\n", 0, False),
    "page.html": (b"<html><body>usage: 3</body></html>", 0, False),
    "script.py": (b"print({'usage': {'prompt_tokens': 3}})\n", 0, False),
    "package.json": (b'{"name": "x", "version": "1.0.0", "dependencies": {}}', 0, False),
    "list.json": (b"[1, 2, 3]", 0, False),
    "word.json": (b'"hello"', 0, False),
    "sales.csv": (b"date,product,amount\n2026-03-02,tea,3\n2026-03-03,tea,4\n", 0, False),
    "cut.json": (b'{"a": [1, 2, {"b": ', 0, False),
    "cut.jsonl.gz": (gzip.compress(calls(*range(100, 4000)))[:900], -1, False),
    "lies.gz": (b"not packed at all", 0, False),
    "lies.parquet": (b"PAR1 and no more", 0, False),
    "lies.zst": (b"\x28\xb5\x2f\xfd rubbish", 0, False),
    "own.jsonl": (b'{"when": "2026-03-02", "engine": "x", "usage": {"prompt_tokens": 90, "completion_tokens": 9}}\n', 0,
                  True),
    "own.csv": (b"when,engine,prompt_tokens,completion_tokens,cost_usd\n2026-03-02,x,90,9,0.5\n", 0, True),
    "trace.txt": (b"2026-03-02 INFO done\n2026-03-02 INFO done\n", 0, False),
    "odd\nname.jsonl": (calls(8), 1, False),
    "--store": (b"rubbish", 0, False),
}  # fmt: skip


def read(folder: Path, store: Path) -> IngestReport:
    return ingest(Store(store), [folder], workers=1)


@pytest.fixture
def home(tmp_path: Path) -> Path:
    folder = tmp_path / "home"
    for name, (data, *_) in FILES.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data)
    pq.write_table(pa.table({"product": ["tea"], "amount": [3]}), folder / "sales.parquet")
    with zipfile.ZipFile(folder / "logs.zip", "w") as packed:
        packed.writestr("inner.txt", "rubbish")
    with sqlite3.connect(folder / "cookies.sqlite") as database:
        database.execute("CREATE TABLE cookies (name TEXT)")
    (folder / ".cache").mkdir()
    (folder / ".cache" / "hidden.jsonl").write_bytes(calls(9))
    (folder / "gone").symlink_to(folder / "nowhere")
    (folder / "round").symlink_to(folder / "round")
    (folder / "up").symlink_to(folder)
    os.mkfifo(folder / "pipe")
    return folder


def test_every_file_of_a_mixed_folder_is_accounted_for(home: Path, tmp_path: Path) -> None:
    report = read(home, tmp_path / "s.duckdb")
    by_name = {str(Path(file["path"]).relative_to(home)): file for file in report.files}
    for name, (_, expected, usage) in FILES.items():
        passed = any(Path(name).name.splitlines()[0] in told for told in report.passed_over)
        assert name in by_name or passed, f"{name} is told nowhere"
        if expected > 0:
            assert by_name[name]["calls"] == expected, name
        if usage:
            assert str(home / name) in report.passed_over_usage, name
    assert by_name["log.jsonl"]["duplicates"] == 2
    assert by_name["no end.jsonl"]["quarantined"] == 1
    assert any("hidden" in str(path) or ".cache" in str(path) for path in report.hidden)
    for name in ("sales.parquet", "logs.zip", "cookies.sqlite"):
        assert any(name in told for told in report.passed_over), name


def test_a_folder_of_rubbish_alone_says_so(tmp_path: Path) -> None:
    folder = tmp_path / "rubbish"
    folder.mkdir()
    for name in ("photo.png", "notes.md", "package.json", "nothing", "lies.gz"):
        (folder / name).write_bytes(FILES[name][0])
    with pytest.raises(InputError, match="no log was recognised"):
        read(folder, tmp_path / "s.duckdb")
