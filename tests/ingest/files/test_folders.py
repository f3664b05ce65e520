"""What of a folder is read: links are followed once, what is hidden is told."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from ingest.errors import InputError
from ingest.files.folders import files_below
from ingest.pipeline.run import ingest
from ingest.store.database import Store


def written(path: Path, name: str) -> Path:
    usage = {"prompt_tokens": 10, "completion_tokens": 2, "total_tokens": 12}
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps({"timestamp": "2026-06-01T09:00:00Z", "id": name, "object": "chat.completion",
                                "model": "gpt-5.2", "choices": [], "usage": usage}) + "\n")  # fmt: skip
    return path


def test_links_are_followed_once_and_in_no_circle(tmp_path: Path) -> None:
    logs = tmp_path / "logs"
    plain, linked = written(logs / "a.jsonl", "a"), written(tmp_path / "data" / "b.jsonl", "b")
    (logs / "linked").symlink_to(tmp_path / "data")
    (logs / "linked again").symlink_to(tmp_path / "data")
    (logs / "circle").symlink_to(logs)
    (logs / "dangling.jsonl").symlink_to(logs / "nothing")
    assert files_below(logs).files == [plain, logs / "linked" / linked.name]
    assert ingest(Store(tmp_path / "s.duckdb"), [logs]).calls == 2


def test_what_is_hidden_is_told_and_read_only_where_it_is_named(tmp_path: Path) -> None:
    logs = tmp_path / "home"
    written(logs / "a.jsonl", "a")
    hidden = written(logs / ".claude" / "b.jsonl", "b").parent
    (logs / ".git").mkdir()
    store = Store(tmp_path / "s.duckdb")
    report = ingest(store, [logs])
    assert (report.calls, report.hidden) == (1, [str(hidden)])
    assert ingest(store, [hidden]).calls == 1


def test_a_folder_of_hidden_logs_alone_says_so(tmp_path: Path) -> None:
    written(tmp_path / "home" / ".claude" / "b.jsonl", "b")
    with pytest.raises(InputError, match=r"no file was found; hidden and not read: .claude"):
        ingest(Store(tmp_path / "s.duckdb"), [tmp_path / "home"])
