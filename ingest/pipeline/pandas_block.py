"""Keep pandas out of a process: pyarrow imports it at its first conversion if it can, which takes 0.3 s."""

from __future__ import annotations

import sys
from importlib.machinery import ModuleSpec
from typing import Any


class PandasBlock:
    """A finder with which `import pandas` raises ModuleNotFoundError; what takes it as an option does without."""

    def find_spec(self, fullname: str, *_: Any) -> ModuleSpec | None:
        """A spec for pandas that this class loads; None for every other module."""
        loader: Any = self
        return ModuleSpec(fullname, loader) if fullname == "pandas" else None

    def create_module(self, spec: ModuleSpec) -> None:
        """Raises ModuleNotFoundError."""
        raise ModuleNotFoundError("pandas is kept out of this process", name=spec.name)

    def exec_module(self, module: Any) -> None:
        """Never called: `create_module` raises."""


def block_pandas() -> None:
    """Let nothing import pandas into this process from now on."""
    sys.meta_path.insert(0, PandasBlock())
