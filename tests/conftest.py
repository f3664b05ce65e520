"""Shared fixtures: where real data and system programs are, and how their absence is told."""

from __future__ import annotations

import fcntl
import functools
import os
import shutil
import sys
import tempfile
from pathlib import Path

import pytest
import typer.testing
from hypothesis import settings
from typer.main import get_command

sys.path.insert(0, str(Path(__file__).parent))  # `from builder import build_store`

# the same examples in every run, few enough for a run of minutes; HINDCAST_FUZZ=1 looks for new ones, and for more
settings.register_profile("house", deadline=None, max_examples=40, derandomize=True)
settings.register_profile("fuzz", deadline=None, max_examples=400)
settings.load_profile("fuzz" if os.environ.get("HINDCAST_FUZZ") else "house")

# what the program keeps between runs is kept among the tests alone
os.environ["HINDCAST_CACHE"] = str(Path(tempfile.gettempdir()) / f"hindcast-tests-{os.getuid()}")

# a CliRunner reads the options of all commands at each invocation, which takes longer than most commands
typer.testing._get_command = functools.cache(get_command)  # type: ignore[attr-defined]

ROOT = Path(__file__).resolve().parent.parent
DATA = Path(os.environ.get("HINDCAST_DATA", ROOT.parent / "shared" / "data"))


@pytest.fixture(scope="session")
def data() -> Path:
    """The folder of real logs; tests that need it skip where it is absent."""
    if not DATA.is_dir():
        pytest.skip(f"the real logs are not at {DATA} (set HINDCAST_DATA)")
    return DATA


def _program(*names: str) -> str:
    for name in names:
        found = shutil.which(name)
        if found:
            return found
    reason = f"{names[0]} is not installed"
    if os.environ.get("HINDCAST_REQUIRE_SYSTEM"):
        pytest.fail(f"{reason}, and HINDCAST_REQUIRE_SYSTEM asks for it")
    pytest.skip(reason)


@pytest.fixture(scope="session")
def redis_server() -> str:
    return _program("redis-server")


@pytest.fixture(scope="session")
def chromium() -> str:
    return _program("chromium", "chromium-browser", "google-chrome")


@pytest.fixture(scope="session")
def origin_story(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The store of the demo, seed 7: made once for all tests and workers, which must not write to it."""
    from cli.share.demo import build

    base = tmp_path_factory.getbasetemp()
    folder = (base.parent if "PYTEST_XDIST_WORKER" in os.environ else base) / "origin"
    folder.mkdir(exist_ok=True)
    with (folder / "lock").open("w") as lock:  # the first worker builds, the others wait for it
        fcntl.flock(lock, fcntl.LOCK_EX)
        told = folder / "store"
        if not told.exists():
            told.write_text(str(build(folder, 7)))
        return Path(told.read_text())


def pytest_xdist_auto_num_workers(config: pytest.Config) -> int:
    """A worker per core for the whole suite, none where test files are named: those start at once."""
    named = any(Path(argument.split("::")[0]).is_file() for argument in config.args)
    return 0 if named else os.cpu_count() or 1


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Tests of one file share its fixtures and so a worker; the parts of a `spread` test may run on any."""
    for item in items:
        name = item.name if item.get_closest_marker("spread") else ""
        item.add_marker(pytest.mark.xdist_group(f"{item.path.stem}{name}"))
