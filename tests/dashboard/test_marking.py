"""What a person says of a day on the Spike page is written, shown, respected, and can be taken back."""

from __future__ import annotations

from collections.abc import Callable
from html import unescape
from pathlib import Path
from typing import Any

import pytest
import spiky as made

from analysis.diagnosis.diagnose import diagnose
from analysis.diagnosis.document import to_json
from ingest.store.database import Store

Opened = Callable[..., Any]


def said(page: Any) -> str:
    return unescape("\n".join(part.value for part in page.html)).replace("\u00a0", " ")


@pytest.fixture
def own(tmp_path: Path) -> Store:
    return made.make(tmp_path / "own.duckdb")


def opened_form(page: Any, day: str) -> Any:
    page.session_state[f"marking-{day}"] = True
    return page.run()


def test_a_day_marked_as_planned_raises_no_flag_until_it_is_taken_back(own: Store, open_page: Opened) -> None:
    before = to_json(diagnose(own))
    assert before["flagged"]
    page = opened_form(open_page(own, "spike"), before["day"])
    page.text_input(key="why").set_value("**launch** <b>day</b>")
    next(button for button in page.button if button.label == "Remember").click().run()
    assert not page.exception
    marked = to_json(diagnose(own, day=made.SPIKE.date().fromisoformat(before["day"])))
    assert marked["feedback"] == {"verdict": "planned", "note": "**launch** <b>day</b>"}
    assert not marked["flagged"]
    assert "is marked as planned" in said(page)
    assert "**launch** <b>day</b>" in said(page)
    assert "does not stand out" in said(page)
    newest = to_json(diagnose(own))
    assert (newest["day"], newest["flagged"]) == (before["day"], False)
    next(button for button in page.button if button.label == "Take it back").click().run()
    assert not page.exception
    assert to_json(diagnose(own)) == before
    assert "stands out" in said(page)


def test_a_store_that_cannot_be_written_says_so(own: Store, open_page: Opened, monkeypatch: pytest.MonkeyPatch) -> None:
    from dashboard.widgets import mark_day
    from ingest.errors import StoreBusyError

    page = opened_form(open_page(own, "spike"), to_json(diagnose(own))["day"])

    def busy(*_arguments: Any) -> None:
        raise StoreBusyError("process 7 is using the store")

    monkeypatch.setattr(mark_day, "mark", busy)
    next(button for button in page.button if button.label == "Remember").click().run()
    assert not page.exception
    assert "Not written: process 7 is using the store" in said(page)
