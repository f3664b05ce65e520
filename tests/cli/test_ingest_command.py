"""`hindcast ingest` and `hindcast mapping init` as a user types them."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path
from typing import Any

import pytest
from terminal import hindcast

ROOT = Path(__file__).resolve().parents[2]
SAMPLES = ROOT / "sample_logs" / "formats"


def document(done: subprocess.CompletedProcess[str]) -> dict[str, Any]:
    assert done.returncode == 0, done.stderr
    found: dict[str, Any] = json.loads(done.stdout)
    return found


def test_the_report_keeps_its_shape_and_prices_the_calls(tmp_path: Path) -> None:
    first = document(hindcast(tmp_path, "ingest", str(SAMPLES / "litellm.jsonl"), "--json"))
    assert (first["calls"], first["duplicates"], first["quarantined"], first["unpriced_calls"]) == (6, 0, 0, 0)
    assert first["cost_usd"] == first["logged_cost_usd"]
    file = first["files"][0]
    assert {"path", "format", "rows", "calls", "duplicates", "quarantined"} <= file.keys()
    assert (file["format"], file["rows"]) == ("litellm", 6)
    again = document(hindcast(tmp_path, "ingest", str(SAMPLES / "litellm.jsonl"), "--json"))
    assert (again["calls"], again["duplicates"], again["cost_usd"]) == (0, 6, first["cost_usd"])


def test_the_answer_comes_first_and_a_next_step_last(tmp_path: Path) -> None:
    done = hindcast(tmp_path, "ingest", str(SAMPLES / "otlp.jsonl"))
    lines = [line for line in done.stdout.splitlines() if line.strip()]
    assert lines[0].startswith("6 new calls from 1 file")
    assert lines[-1].startswith("Next: hindcast")
    assert done.stderr == ""


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["ingest", "nowhere.jsonl"], "no such file"),
        (["ingest", str(SAMPLES / "litellm.jsonl"), "--format", "litelm"], "Did you mean 'litellm'?"),
        (["ingest", str(SAMPLES / "gateway.csv")], "hindcast mapping init"),
        (["ingest", str(SAMPLES / "litellm.jsonl"), "--timezone", "Mars/Base"], "no time zone"),
        (["ingest", str(SAMPLES / "litellm.jsonl"), "--mapping", "none.yaml"], "no such mapping file"),
    ],
)
def test_bad_input_is_one_clear_error_and_exit_code_2(tmp_path: Path, arguments: list[str], says: str) -> None:
    done = hindcast(tmp_path, *arguments)
    assert done.returncode == 2
    assert done.stdout == ""
    assert says in done.stderr
    assert "Traceback" not in done.stderr
    assert len(done.stderr.strip().splitlines()) <= 3


def test_the_gate_exits_1_after_storing_what_is_good(tmp_path: Path) -> None:
    log = tmp_path / "log.jsonl"
    log.write_text((SAMPLES / "hindcast.jsonl").read_text() + "{broken\n")
    done = hindcast(tmp_path, "ingest", str(log), "--max-bad-ratio", "0.1")
    assert done.returncode == 1
    assert "1 of 7 rows" in done.stderr
    assert "log.jsonl:7" in done.stdout


def test_a_file_is_explained_without_a_store(tmp_path: Path) -> None:
    done = hindcast(tmp_path, "ingest", "--explain", str(SAMPLES / "langfuse.jsonl"))
    assert done.returncode == 0
    assert "langfuse.jsonl is Langfuse export, because its records have" in done.stdout
    assert not list(tmp_path.glob("*.duckdb*"))
    found = json.loads(hindcast(tmp_path, "ingest", "--explain", str(SAMPLES / "azure.jsonl"), "--json").stdout)
    assert found["files"][0]["format"] == "azure"
    assert any("no price" in text for text in found["files"][0]["cannot"])


def test_without_a_path_the_logs_of_this_machine_are_offered(tmp_path: Path) -> None:
    folder = tmp_path / ".claude" / "projects" / "-home-dev-atlas"
    folder.mkdir(parents=True)
    (folder / "session.jsonl").write_text((SAMPLES / "claude_code.jsonl").read_text())
    done = hindcast(tmp_path, "ingest", HOME=str(tmp_path), CLAUDE_CONFIG_DIR="", CODEX_HOME="")
    assert done.returncode == 0
    assert f"hindcast ingest {tmp_path / '.claude' / 'projects'}" in done.stdout
    read = document(hindcast(tmp_path, "ingest", str(tmp_path / ".claude" / "projects"), "--json"))
    assert read["calls"] == 6


def test_a_mapping_is_drafted_and_used(tmp_path: Path) -> None:
    done = hindcast(tmp_path, "mapping", "init", str(SAMPLES / "gateway.csv"), "-o", "draft.yaml")
    assert done.returncode == 0
    assert (tmp_path / "draft.yaml").read_text().startswith("# A draft")
    mapping = str(ROOT / "sample_logs" / "mappings" / "gateway.yaml")
    found = document(hindcast(tmp_path, "ingest", str(SAMPLES / "gateway.csv"), "--mapping", mapping, "--json"))
    assert (found["calls"], found["files"][0]["format"]) == (6, "mapping:gateway")


def test_no_text_and_count_tokens_run_from_the_command_line(tmp_path: Path) -> None:
    found = document(hindcast(tmp_path, "ingest", str(SAMPLES / "hindcast.jsonl"), "--no-text", "--json"))
    assert found["calls"] == 6
    assert (tmp_path / "hindcast.duckdb.key").exists()
    other = hindcast(tmp_path, "ingest", str(SAMPLES / "hindcast.jsonl"), "--count-tokens", "--store", "t.duckdb")
    assert other.returncode == 0
