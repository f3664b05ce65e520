"""The wheel in a clean environment away from the checkout: what starts, how fast, and that the page runs."""

from __future__ import annotations

import json
import os
import re
import resource
import shutil
import site
import subprocess
import sys
import venv
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
IMPORT_CPU_S = 0.15

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def python(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The interpreter of an environment that has the built wheel, and the dependencies of this one beside it."""
    folder = tmp_path_factory.mktemp("wheel")
    pip = [sys.executable, "-m", "pip"]
    if subprocess.run([*pip, "--version"], capture_output=True, check=False).returncode:
        pytest.skip("this environment has no pip")
    source = folder / "source"
    left_out = shutil.ignore_patterns(".git", ".venv", "__pycache__", ".*_cache", "tests", "benchmarks")
    shutil.copytree(ROOT, source, ignore=left_out)
    built = subprocess.run([*pip, "wheel", "-q", "--no-deps", "-w", folder, source], capture_output=True, text=True,
                           check=False)  # fmt: skip
    if built.returncode and "hatchling" in built.stderr:
        pytest.skip("hatchling, which builds the wheel, cannot be had here")
    assert not built.returncode, built.stderr
    venv.create(folder / "env", symlinks=True)
    interpreter = folder / "env" / "bin" / "python"
    where = subprocess.run([interpreter, "-c", "import site; print(site.getsitepackages()[0])"], capture_output=True,
                           text=True, check=True).stdout.strip()  # fmt: skip
    # a folder named in a .pth file brings no .pth files of its own: the checkout stays out
    (Path(where) / "dependencies.pth").write_text(site.getsitepackages()[0] + "\n")
    (wheel,) = folder.glob("*.whl")
    subprocess.run([*pip, "--python", interpreter, "install", "-q", "--no-deps", wheel], check=True)
    return interpreter


def clean(python: Path, folder: Path, *arguments: str) -> str:
    environment = {name: value for name, value in os.environ.items() if name not in ("PYTHONPATH", "HINDCAST_STORE")}
    return subprocess.run(
        [python, *arguments], cwd=folder, env=environment, capture_output=True, text=True, check=True
    ).stdout


def test_the_module_is_that_of_the_wheel_and_starts_at_once(python: Path, tmp_path: Path) -> None:
    where = clean(python, tmp_path, "-c", "import hindcast, cli; print(hindcast.__file__); print(cli.__file__)")
    assert all(Path(line).is_relative_to(python.parents[1]) for line in where.splitlines())
    used = []
    for _ in range(5):
        before = resource.getrusage(resource.RUSAGE_CHILDREN).ru_utime
        clean(python, tmp_path, "-c", "import hindcast")
        used.append(resource.getrusage(resource.RUSAGE_CHILDREN).ru_utime - before)
    assert min(used) < IMPORT_CPU_S  # CPU time of the whole process: another's work does not count


def test_a_module_that_hides_a_package_of_the_wheel_is_named(python: Path, tmp_path: Path) -> None:
    (tmp_path / "analysis.py").write_text("")
    caught = "try:\n    import hindcast\nexcept ImportError as error:\n    print(error)"
    assert str(tmp_path / "analysis.py") in clean(python, tmp_path, "-c", caught)


def test_the_page_and_the_notebook_run(python: Path, tmp_path: Path, origin_story: Path) -> None:
    shutil.copytree(ROOT / "sample_logs" / "strategies", tmp_path / "strategies")
    shutil.copy(origin_story, tmp_path / "hindcast.duckdb")
    page = re.findall(r"^```python\n(.*?)^```", (ROOT / "docs" / "python.md").read_text("utf-8"), re.M | re.S)
    cells = json.loads((ROOT / "docs" / "spike.ipynb").read_text("utf-8"))["cells"]
    notebook = ["".join(cell["source"]) for cell in cells if cell["cell_type"] == "code"]
    for code in (page, notebook):
        (tmp_path / "run.py").write_text("\n".join(code))
        clean(python, tmp_path, "run.py")
    hindcast = python.with_name("hindcast")
    assert "diagnose" in subprocess.run([hindcast, "--help"], capture_output=True, text=True, check=True).stdout
