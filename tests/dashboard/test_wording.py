"""The terminal, the page and the report say of one result the same sentence."""

from __future__ import annotations

from collections.abc import Callable
from html import unescape
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

import sample_logs
from cli.app import app
from dashboard.documents import html_report
from dashboard.documents.story import gather
from dashboard.render.tables import escape_markdown
from ingest.store.database import Store
from replay.advice.result_in_words import sentence
from replay.strategy.schema import load


@pytest.mark.slow
def test_terminal_page_and_report_say_the_same_sentence_of_the_demo(
    origin_story: Path, open_page: Callable[..., Any]
) -> None:
    files = [path for path in sample_logs.strategies() if path.stem in ("naive_downgrade", "combined")]
    findings = gather(Store(origin_story), [load(path) for path in files])
    assert findings.best is not None
    assert findings.replay is not None
    said = sentence(findings.best)
    assert said.startswith("combined would have cost ")
    days = [row.day.isoformat() for row in findings.replay.daily]
    shown = CliRunner().invoke(
        app, ["replay", *map(str, files), "--store", str(origin_story), "--since", days[0], "--until", days[-1]]
    )
    assert shown.stdout.splitlines()[0] == said
    for audience in html_report.AUDIENCES:
        assert said in plain(html_report.html(findings, audience))
    assert escape_markdown(said) in html_report.markdown(findings)
    chosen = [load(path).name for path in files]
    page = open_page(origin_story, "strategies", strategies=chosen, days=f"{days[0]}..{days[-1]}")
    assert plain(next(part.value for part in page.html if "<h1" in part.value)) == f'<h1 class="hc-finding">{said}</h1>'


def plain(html: str) -> str:
    return unescape(html).replace("\u00a0", " ")
