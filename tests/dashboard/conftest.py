"""Pages opened as a browser would open them, on a small store with a spike."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import spiky as spiky_store

from ingest.store.database import Store

APP = Path(__file__).resolve().parents[2] / "dashboard" / "app.py"


@pytest.fixture(scope="session")
def spiky(tmp_path_factory: pytest.TempPathFactory) -> Store:
    """One store for all tests that only read."""
    return spiky_store.make(tmp_path_factory.mktemp("dashboard") / "spiky.duckdb")


@pytest.fixture(scope="session")
def components() -> list[Any]:
    """Streamlit's components among the installed packages."""
    from streamlit.components.v2 import manifest_scanner

    return list(manifest_scanner.scan_component_manifests())


@pytest.fixture
def open_page(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, components: list[Any]) -> Callable[..., Any]:
    """Opens a page of the dashboard on a store, as a browser would at its URL."""
    from streamlit.components.v2 import manifest_scanner
    from streamlit.testing.v1 import AppTest
    from streamlit.util import calc_hash

    monkeypatch.chdir(tmp_path)
    # a server looks for components once, an AppTest at each run, which takes as long as a page
    monkeypatch.setattr(manifest_scanner, "scan_component_manifests", lambda: components)

    def opened(store: Path | Store, page: str = "overview", **query: str) -> Any:
        path = store.path if isinstance(store, Store) else store
        monkeypatch.setenv("HINDCAST_STORE", str(path))
        test = AppTest.from_file(str(APP), default_timeout=120)
        for name, value in query.items():
            test.query_params[name] = value
        if page != "overview":
            test._page_hash = calc_hash(page)  # AppTest.switch_page knows pages that are files only
        test.run()
        assert not test.exception, [(error.message, error.stack_trace) for error in test.exception]
        return test

    return opened
