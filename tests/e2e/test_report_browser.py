"""The report in a real browser: it opens from a file without a network, is accessible, and prints on few pages."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import spiky as made
from accessibility import violations

import sample_logs
from dashboard.documents import html_report
from dashboard.documents.story import gather
from replay.strategy.schema import load

ROOT = Path(__file__).resolve().parents[2]
ARTIFACTS = ROOT / "artifacts"

pytestmark = pytest.mark.browser


@pytest.fixture(scope="module")
def written(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """The report for each audience, as files."""
    folder = tmp_path_factory.mktemp("report")
    store = made.make(folder / "spiky.duckdb")
    findings = gather(store, [load(path) for path in sample_logs.strategies()[1:3]], finance=True)
    found = {}
    for audience in html_report.AUDIENCES:
        found[audience] = folder / f"{audience}.html"
        found[audience].write_text(html_report.html(findings, audience))
    return found


@pytest.mark.parametrize(("width", "theme"), [(1280, "light"), pytest.param(390, "dark", marks=pytest.mark.slow)])
def test_it_opens_offline_without_a_complaint(written: dict[str, Path], browser: Any, width: int, theme: str) -> None:
    context = browser.new_context(viewport={"width": width, "height": 1000}, color_scheme=theme, offline=True)
    page = context.new_page()
    complaints: list[str] = []
    asked: list[str] = []
    page.on(
        "console", lambda message: complaints.append(message.text) if message.type in ("error", "warning") else None
    )
    page.on("pageerror", lambda error: complaints.append(str(error)))
    page.on("request", lambda request: asked.append(request.url))
    ARTIFACTS.mkdir(exist_ok=True)
    for audience, path in written.items():
        page.goto(path.as_uri())
        page.locator(".hc-picture .main-svg").first.wait_for()
        assert page.locator(".hc-picture").count() == page.locator(".hc-picture > .plot-container").count()
        assert page.evaluate("document.documentElement.scrollWidth") <= width
        assert page.evaluate("window.hit") is None
        page.screenshot(path=ARTIFACTS / f"report-{audience}-{width}-{theme}.png", full_page=True)
    assert not [said for said in complaints if said.startswith(("error", "warning"))]
    assert not [url for url in asked if not url.startswith(("file:", "data:", "blob:"))]
    context.close()


@pytest.mark.parametrize("theme", ["light", pytest.param("dark", marks=pytest.mark.slow)])
def test_it_passes_the_accessibility_check(written: dict[str, Path], browser: Any, axe: str, theme: str) -> None:
    context = browser.new_context(color_scheme=theme, bypass_csp=True)
    page = context.new_page()
    for path in written.values():
        page.goto(path.as_uri())
        page.locator(".hc-picture .main-svg").first.wait_for()
        assert not violations(page, axe)
    context.close()


def test_the_stakeholders_page_prints_on_one_page(written: dict[str, Path], chromium: str, tmp_path: Path) -> None:
    from dashboard.documents import pdf

    for audience, most in (("stakeholders", 1), ("finance", 2), ("everyone", 6)):
        pdf.print_page(chromium, written[audience].read_text(), tmp_path / f"{audience}.pdf")
        printed = (tmp_path / f"{audience}.pdf").read_bytes()
        assert printed.startswith(b"%PDF")
        assert 1 <= len(re.findall(rb"/Type\s*/Page[^s]", printed)) <= most


def test_without_a_browser_pdf_says_what_to_do(tmp_path: Path) -> None:
    (tmp_path / "hindcast.duckdb").write_bytes(b"")
    done = subprocess.run(
        [sys.executable, "-m", "cli.app", "report", "--pdf", "--store", str(tmp_path / "hindcast.duckdb")],
        env={"PATH": str(tmp_path), "PYTHONPATH": str(ROOT), "HOME": str(tmp_path)},
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 2
    assert "needs Chromium or Chrome" in done.stderr
