"""Sample logs: one small log per format, and the generator of the demo's log with the strategies it is replayed by."""

from __future__ import annotations

from importlib import resources
from pathlib import Path

# what was logged, the tempting mistake, the way out; then the way out stage by stage
STORY = ("logged", "naive_downgrade", "combined", "routed", "routed_cached")


def strategies() -> list[Path]:
    """The demo's strategy files, in the order of the story."""
    folder = Path(str(resources.files(__name__))) / "strategies"
    return [folder / f"{name}.yaml" for name in STORY]
