"""No module of the folder that a command is run in is ever executed, and nothing is fetched for a foreign file."""

from __future__ import annotations

import os
import shutil
import sqlite3
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest
from visits import ROOT

from ingest.store.database import connect

OWN = ("ingest", "analysis", "replay", "dashboard", "cli", "hindcast", "sample_logs")
LIBRARIES = ("duckdb", "polars", "pyarrow", "numpy", "streamlit", "plotly", "typer", "rich", "yaml", "msgspec", "numba")
# what Python's own modules import in a process that multiprocessing starts
STANDARD = ("socket", "threading", "signal", "selectors", "random", "queue", "pickle", "struct", "sitecustomize")
LOG = ROOT / "sample_logs" / "formats" / "openai_chat.jsonl"


def hostile(folder: Path, names: tuple[str, ...]) -> Path:
    """A folder whose modules leave a file `ran-NAME` when they are executed; half of them are packages."""
    for place, name in enumerate(names):
        code = f"open({str(folder / ('ran-' + name))!r}, 'w').close()\nraise SystemExit('hostile {name}')\n"
        target = folder / name / "__init__.py" if place % 2 else folder / f"{name}.py"
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_text(code)
    return folder


def executed(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.glob("ran-*"))


def python(folder: Path, *arguments: str, path: str = str(ROOT), safe: bool = True) -> subprocess.CompletedProcess[str]:
    environment = {**os.environ, "PYTHONPATH": path}
    environment.pop("PYTHONSAFEPATH", None)
    command = [sys.executable, *(["-P"] if safe else []), *arguments]
    return subprocess.run(
        command, cwd=folder, env=environment, capture_output=True, text=True, check=False, timeout=240
    )


def test_a_command_in_a_hostile_folder_runs_nothing_of_it(tmp_path: Path) -> None:
    folder = hostile(tmp_path, (*OWN, *LIBRARIES, *STANDARD))
    for arguments in (["ingest", str(LOG)], ["cost", "--json"], ["calls", "--json"]):
        done = python(folder, "-m", "cli.entry", *arguments)
        assert done.returncode == 0, done.stderr
    assert executed(folder) == []


@pytest.mark.parametrize("path", [f":{ROOT}", f".:{ROOT}", f"{ROOT}:"])
def test_an_entry_of_pythonpath_that_means_the_working_folder_is_forgotten(tmp_path: Path, path: str) -> None:
    names = tuple(name for name in (*OWN, *LIBRARIES) if name != "cli")  # Python looks for `cli` before we run
    folder = hostile(tmp_path, names)
    done = python(folder, "-m", "cli.entry", "ingest", str(LOG), path=path)
    assert done.returncode == 0, done.stderr
    assert executed(folder) == []


def test_parsers_of_an_application_run_nothing_of_its_working_folder(tmp_path: Path) -> None:
    folder = hostile(tmp_path / "folder", (*OWN, *STANDARD))
    script = tmp_path / "application.py"
    script.write_text(
        textwrap.dedent(f"""
        import os, sys
        sys.path[0] = {str(ROOT)!r}
        from ingest.pipeline import workers

        if __name__ == "__main__":
            with workers.pool(1) as pool, workers.starting():
                print(pool.submit(os.getpid).result())
            assert "PYTHONSAFEPATH" not in os.environ  # what the application itself starts is its own affair
        """)
    )
    done = python(folder, str(script), safe=False)
    assert done.returncode == 0, done.stderr
    assert done.stdout.strip().isdigit()
    assert executed(folder) == []


def test_a_job_of_the_dashboard_runs_nothing_of_the_working_folder(tmp_path: Path) -> None:
    folder = hostile(tmp_path / "folder", (*OWN, *STANDARD))
    script = tmp_path / "page.py"
    script.write_text(
        textwrap.dedent(f"""
        import sys
        from pathlib import Path
        sys.path[0] = {str(ROOT)!r}
        from dashboard.data import job_process

        job_process.run("no such job", Path("a"), Path("b"), {{}}, lambda found: None)
        """)
    )
    done = python(folder, str(script), safe=False)
    assert "KeyError: 'no such job'" in done.stderr  # the child came as far as looking for it
    assert executed(folder) == []


def test_no_connection_downloads_or_loads_an_extension() -> None:
    with connect() as con:
        settings = dict(
            con.execute(
                "SELECT name, value FROM duckdb_settings() WHERE name IN "
                "('autoinstall_known_extensions', 'autoload_known_extensions')"
            ).fetchall()
        )
    assert settings == {"autoinstall_known_extensions": "false", "autoload_known_extensions": "false"}


def test_a_sqlite_file_is_no_store_and_needs_no_network(tmp_path: Path) -> None:
    store = tmp_path / "other.sqlite"
    with sqlite3.connect(store) as con:
        con.execute("CREATE TABLE calls (id INTEGER)")
    home = tmp_path / "home"  # where DuckDB would keep what it downloads
    home.mkdir()
    command = [sys.executable, "-P", "-m", "cli.entry", "cost", "--store", str(store)]
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "HOME": str(home)}
    done = subprocess.run(
        command, cwd=tmp_path, env=environment, capture_output=True, text=True, check=False, timeout=120
    )
    assert done.returncode == 2
    assert "not a Hindcast store" in done.stderr
    assert "extension" not in done.stderr.lower()
    assert not list(home.rglob("*.duckdb_extension*"))


@pytest.mark.skipif(shutil.which("unshare") is None, reason="unshare is not installed")
def test_commands_answer_without_any_network(tmp_path: Path) -> None:
    if subprocess.run(["unshare", "-rn", "true"], check=False, capture_output=True).returncode:
        pytest.skip("this machine allows no network namespace")
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "HINDCAST_CACHE": str(tmp_path / "cache")}
    program = textwrap.dedent(f"""
        import sys
        from cli import app
        for arguments in (["ingest", {str(LOG)!r}], ["cost"], ["calls"], ["prices", "list"], ["export", "focus"]):
            sys.argv = ["hindcast", *arguments]
            try:
                app.main()
            except SystemExit as end:
                assert not end.code, arguments
        """)
    done = subprocess.run(
        ["unshare", "-rn", sys.executable, "-P", "-c", program],
        cwd=tmp_path, env=environment, capture_output=True, text=True, check=False, timeout=240,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert list(tmp_path.glob("*.duckdb"))
