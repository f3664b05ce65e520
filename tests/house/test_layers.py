"""The layers of every package point downward only, nothing imports in a circle, and the checks that say so fail when
they must."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tomllib
from copy import deepcopy
from graphlib import CycleError, TopologicalSorter
from pathlib import Path
from typing import Any

import grimp
import pytest
from importlinter.contracts.layers import LayersContract

ROOT = Path(__file__).resolve().parents[2]
PACKAGES = ("ingest", "analysis", "replay", "dashboard", "cli")
CONTRACTS = {
    options["name"]: options
    for options in tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["importlinter"]["contracts"]
}


@pytest.fixture(scope="module")
def imports() -> grimp.ImportGraph:
    """Which module imports which, imports for type checkers counted."""
    return grimp.build_graph(*PACKAGES, cache_dir=None)


def lint(folder: Path) -> subprocess.CompletedProcess[str]:
    command = [str(Path(sys.executable).with_name("lint-imports")), "--no-cache"]
    environment = {**os.environ, "PYTHONPATH": str(folder)}
    return subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, check=False)


def is_kept(package: str, graph: grimp.ImportGraph) -> bool:
    """Whether the contract of the package, as pyproject.toml states it, holds for these imports."""
    stated = {name: value for name, value in CONTRACTS[package].items() if name not in ("name", "type")}
    options: dict[str, Any] = {name: str(value) if value is True else value for name, value in stated.items()}
    contract = LayersContract(package, {"root_packages": list(PACKAGES)}, options)
    return bool(contract.check(graph, verbose=False).kept)


def circle(graph: grimp.ImportGraph) -> list[str] | None:
    """Modules that import each other in a circle; None where there are none."""
    try:
        TopologicalSorter({one: graph.find_modules_directly_imported_by(one) for one in graph.modules}).prepare()
    except CycleError as error:
        return list(error.args[1])
    return None


def downward_import(package: str, graph: grimp.ImportGraph) -> tuple[str, str]:
    """A module of the package and another that it imports from a layer below."""
    for importer in sorted(graph.find_descendants(package)):
        for imported in sorted(graph.find_modules_directly_imported_by(importer)):
            parts = importer.split("."), imported.split(".")
            if parts[1][0] == package and len(parts[1]) > 1 and parts[0][1] != parts[1][1]:
                return importer, imported
    raise AssertionError(f"no layer of {package} imports another")


def test_the_layers_are_kept() -> None:
    found = lint(ROOT)
    assert found.returncode == 0, found.stdout


def test_an_upward_import_between_packages_is_caught(tmp_path: Path) -> None:
    for package in PACKAGES:
        shutil.copytree(ROOT / package, tmp_path / package, ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copy(ROOT / "pyproject.toml", tmp_path)
    (tmp_path / "ingest" / "wrong_way.py").write_text("import replay.engine.run\n")
    found = lint(tmp_path)
    assert found.returncode == 1
    assert "ingest.wrong_way -> replay.engine.run" in found.stdout


def test_no_module_imports_itself_through_others(imports: grimp.ImportGraph) -> None:
    assert circle(imports) is None


@pytest.mark.parametrize("package", PACKAGES)
def test_an_upward_and_circular_import_inside_a_package_is_caught(package: str, imports: grimp.ImportGraph) -> None:
    assert is_kept(package, imports)
    above, below = downward_import(package, imports)
    changed = deepcopy(imports)
    changed.add_import(importer=below, imported=above)
    assert not is_kept(package, changed)
    found = circle(changed)
    assert found is not None
    assert {above, below} <= set(found)


@pytest.mark.parametrize("package", PACKAGES)
def test_a_module_that_no_layer_names_is_caught(package: str, imports: grimp.ImportGraph) -> None:
    changed = deepcopy(imports)
    changed.add_module(f"{package}.unplaced")
    assert not is_kept(package, changed)


def test_help_imports_nothing_heavy() -> None:
    heavy = ("duckdb", "polars", "numpy", "numba", "streamlit", "plotly", "scipy", "tiktoken", "openai", "pandas")
    code = f"import sys, cli.app; print([name for name in {heavy} if name in sys.modules])"
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert found.stdout.strip() == "[]"
