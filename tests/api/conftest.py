"""The module `hindcast` as the checkout has it, whatever is installed."""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path
from types import ModuleType

import pytest

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture(scope="session")
def hc() -> ModuleType:
    """Also what `import hindcast` gives in the code of the pages."""
    spec = importlib.util.spec_from_file_location("hindcast", ROOT / "cli" / "public_api.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules["hindcast"] = module
    spec.loader.exec_module(module)
    return module
