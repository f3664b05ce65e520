"""Sample logs: one small log per format, and the generator of the demo's log with the strategies it is replayed by."""

from __future__ import annotations

import shlex
from contextlib import suppress
from importlib import resources
from pathlib import Path

# what was logged, the tempting mistake, the way out; then the way out stage by stage
STORY = ("logged", "naive_downgrade", "combined", "routed", "routed_cached")


def strategies() -> list[Path]:
    """The demo's strategy files, in the order of the story."""
    return [_strategy_folder() / f"{name}.yaml" for name in STORY]


def strategy_pattern() -> str:
    """A shell pattern for the demo's strategy files where they are installed, below the working folder as relative."""
    folder = _strategy_folder()
    with suppress(ValueError):
        folder = folder.relative_to(Path.cwd())
    return f"{shlex.quote(str(folder))}/*.yaml"


def _strategy_folder() -> Path:
    return Path(str(resources.files(__name__))) / "strategies"
