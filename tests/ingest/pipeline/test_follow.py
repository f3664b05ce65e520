"""Following logs that grow, rotate and appear."""

from __future__ import annotations

import json
import threading
import time
from pathlib import Path

from ingest.pipeline.follow import follow
from ingest.store.database import Store


def line(number: int) -> str:
    return json.dumps({"hindcast": 1, "call_id": f"c{number}", "start_time": "2026-03-02T10:00:00Z",
                       "request_model": "gpt-4o", "input_tokens": number, "output_tokens": 1}) + "\n"  # fmt: skip


def test_growing_rotating_and_new_files_are_taken_in_once(tmp_path: Path) -> None:
    folder = tmp_path / "logs"
    folder.mkdir()
    path = folder / "calls.jsonl"
    store = Store(tmp_path / "s.duckdb")
    steps = [
        lambda: path.write_text(line(0)),
        lambda: path.write_text(line(0) + line(1)[:20]),  # a line that is still being written
        lambda: path.write_text(line(0) + line(1) + line(2)),
        lambda: (path.rename(folder / "calls.1.jsonl"), path.write_text(line(3))),
        lambda: (folder / "deep").mkdir(),
        lambda: (folder / "deep" / "more.jsonl").write_text(line(4)),
    ]
    total = 0
    for step in steps:
        step()
        total += follow(store, [folder], rounds=1)
    assert total == 5
    with store.read() as con:
        assert con.execute("SELECT input_tokens FROM calls ORDER BY 1").fetchall() == [(n,) for n in range(5)]
        assert con.execute("SELECT count(*) FROM quarantine").fetchall() == [(0,)]


def test_following_goes_on_while_another_writes(tmp_path: Path) -> None:
    path = tmp_path / "calls.jsonl"
    store = Store(tmp_path / "s.duckdb")

    def write() -> None:
        with path.open("a") as out:
            for number in range(200):
                out.write(line(number))
                out.flush()
                time.sleep(0.005)

    writer = threading.Thread(target=write)
    writer.start()
    seen = 0
    while writer.is_alive():
        seen += follow(store, [path], rounds=1)
        time.sleep(0.05)
    writer.join()
    seen += follow(store, [path], rounds=1)
    assert seen == 200


def test_an_empty_or_foreign_folder_is_waited_on(tmp_path: Path) -> None:
    (tmp_path / "notes.txt").write_text("nothing here")
    assert follow(Store(tmp_path / "s" / "s.duckdb"), [tmp_path], rounds=2, every=0.01) == 0
