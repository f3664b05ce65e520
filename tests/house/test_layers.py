"""The layers point downward only, and the test that says so bites."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
PACKAGES = ("ingest", "analysis", "replay", "dashboard", "cli")


def lint(folder: Path) -> subprocess.CompletedProcess[str]:
    command = [str(Path(sys.executable).with_name("lint-imports")), "--no-cache"]
    environment = {**os.environ, "PYTHONPATH": str(folder)}
    return subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, check=False)


def test_the_layers_are_kept() -> None:
    found = lint(ROOT)
    assert found.returncode == 0, found.stdout


def test_an_upward_import_is_caught(tmp_path: Path) -> None:
    for package in PACKAGES:
        shutil.copytree(ROOT / package, tmp_path / package, ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copy(ROOT / "pyproject.toml", tmp_path)
    (tmp_path / "ingest" / "wrong_way.py").write_text("import replay.engine.run\n")
    found = lint(tmp_path)
    assert found.returncode == 1
    assert "ingest.wrong_way -> replay.engine.run" in found.stdout


def test_help_imports_nothing_heavy() -> None:
    heavy = ("duckdb", "polars", "numpy", "numba", "streamlit", "plotly", "scipy", "tiktoken", "openai", "pandas")
    code = f"import sys, cli.app; print([name for name in {heavy} if name in sys.modules])"
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert found.stdout.strip() == "[]"
