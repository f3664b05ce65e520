"""The code of docs/python.md and of the notebook runs, and prints what they show."""

from __future__ import annotations

import ast
import contextlib
import io
import json
import re
import shutil
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

ROOT = Path(__file__).resolve().parents[2]
BLOCK = re.compile(r"^```python\n(.*?)^```\n(?:```text\n(.*?)^```)?", re.MULTILINE | re.DOTALL)


@pytest.fixture
def folder(tmp_path: Path, origin_story: Path, hc: ModuleType, monkeypatch: pytest.MonkeyPatch) -> Path:
    """What the demo leaves: a store and strategies."""
    shutil.copytree(ROOT / "sample_logs" / "strategies", tmp_path / "strategies")
    shutil.copy(origin_story, tmp_path / "hindcast.duckdb")
    monkeypatch.chdir(tmp_path)
    return tmp_path


def run(code: str, names: dict[str, Any]) -> tuple[str, Any]:
    """What the code prints, and the value of its last expression, as in a cell of a notebook."""
    tree = ast.parse(code)
    last = tree.body.pop() if isinstance(tree.body[-1], ast.Expr) else None
    with contextlib.redirect_stdout(io.StringIO()) as printed:
        exec(compile(tree, "cell", "exec"), names)
        value = eval(compile(ast.Expression(last.value), "cell", "eval"), names) if isinstance(last, ast.Expr) else None
    return printed.getvalue(), value


@pytest.mark.slow
def test_the_page_runs_and_prints_what_it_shows(folder: Path) -> None:
    names: dict[str, Any] = {}
    blocks = BLOCK.findall((ROOT / "docs" / "python.md").read_text("utf-8"))
    assert sum(bool(shown) for _, shown in blocks) >= 5
    for code, shown in blocks:
        printed = [line.rstrip() for line in run(code, names)[0].splitlines()]
        place = 0
        for line in (line.rstrip() for line in shown.splitlines() if line.strip() not in ("", "...")):
            assert line in printed[place:], "\n".join([code, "not printed:", line, *printed])
            place = printed.index(line, place) + 1


def test_the_notebook_runs_and_shows_what_it_holds(folder: Path) -> None:
    names: dict[str, Any] = {}
    notebook = json.loads((ROOT / "docs" / "spike.ipynb").read_text("utf-8"))
    assert notebook["nbformat"] == 4
    compared = 0
    for cell in notebook["cells"]:
        if cell["cell_type"] != "code":
            continue
        printed, value = run("".join(cell["source"]), names)
        shown = {name: "".join(text) for output in cell["outputs"] for name, text in output["data"].items()}
        if "text/plain" in shown:
            assert repr(value) == shown["text/plain"]
            assert value._repr_html_() == shown["text/html"]
            compared += 1
        elif hasattr(value, "to_plotly_json"):
            assert value.data
            compared += 1
        assert not printed
    assert compared >= 5
