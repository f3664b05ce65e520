"""Shared fixtures: where real data and system programs are, and how their absence is told."""

from __future__ import annotations

import os
import shutil
import sys
from pathlib import Path

import pytest
from hypothesis import settings

sys.path.insert(0, str(Path(__file__).parent))  # `from builder import build_store`

# the same examples in every run; HINDCAST_FUZZ=1 looks for new ones
settings.register_profile("house", derandomize=not os.environ.get("HINDCAST_FUZZ"))
settings.load_profile("house")

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
    """The store of the demo, seed 7: made once for all tests, which must not write to it."""
    from cli.demo import build

    return build(tmp_path_factory.mktemp("origin"), 7)
