"""The dashboard in a real browser: pages open without errors, interactions work, and nothing leaves this machine.

Screenshots go to artifacts/. With HINDCAST_PICTURE set, the README's picture is drawn from the demo's store.
"""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import spiky as made
from accessibility import violations

ROOT = Path(__file__).resolve().parents[2]
ARTIFACTS = ROOT / "artifacts"
TITLES = ("Overview", "Spike", "Explore", "Strategies", "Cache lab", "Optimise", "Prices", "Data")
SIZES = (("wide", 1280, 1400, "light"), ("narrow", 390, 1400, "dark"))
# Streamlit looks for its server below a page's own path before it looks at the root
PROBES = ("/_stcore/health", "/_stcore/host-config")

pytestmark = pytest.mark.browser


class Server:
    """A dashboard process on a free port."""

    def __init__(self, store: Path, folder: Path) -> None:
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            self.port = free.getsockname()[1]
        self.url = f"http://127.0.0.1:{self.port}"
        self.log = folder / f"server-{self.port}.log"
        command = [sys.executable, "-m", "cli.app", "dashboard", "--store", str(store), "--port", str(self.port)]
        self.process = subprocess.Popen(
            command,
            cwd=folder,
            stdout=self.log.open("wb"),
            stderr=subprocess.STDOUT,
            env={**os.environ, "HOME": str(folder)},
        )
        deadline = time.monotonic() + 90
        while True:
            try:
                with urllib.request.urlopen(f"{self.url}/_stcore/health", timeout=2) as answer:
                    if answer.status == 200:
                        return
            except OSError:
                pass
            assert self.process.poll() is None, self.log.read_text()
            assert time.monotonic() < deadline, self.log.read_text()
            time.sleep(0.1)

    def stop(self) -> None:
        self.process.terminate()
        self.process.wait(20)


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    folder = tmp_path_factory.mktemp("served")
    server = Server(made.make(folder / "spiky.duckdb").path, folder)
    yield server
    server.stop()


class Visit:
    """One page in one window, with everything the browser complained of or asked other machines for."""

    def __init__(self, context: Any) -> None:
        self.page = context.new_page()
        self.look("wide", 1280, 1400, "light")
        self.complaints: list[str] = []
        self.elsewhere: list[str] = []
        self.page.on("console", self._console)
        self.page.on("pageerror", lambda error: self.complaints.append(str(error)))
        self.page.on("request", self._request)

    def _console(self, message: Any) -> None:
        if message.type == "error" and not str(message.location.get("url", "")).endswith(PROBES):
            self.complaints.append(f"{message.text} {message.location.get('url')}")

    def _request(self, request: Any) -> None:
        if not request.url.startswith(("http://127.0.0.1", "ws://127.0.0.1", "data:", "blob:")):
            self.elsewhere.append(request.url)

    def open(self, url: str) -> Visit:
        self.page.goto(url)
        self.page.locator(".hc-finding").first.wait_for(timeout=60_000)
        self.settle()
        return self

    def go(self, title: str) -> Visit:
        """To another page, as a reader goes there."""
        self.page.get_by_test_id("stSidebarNav").get_by_role("link", name=title, exact=True).click()
        self.page.wait_for_function("title => document.title.startsWith(title)", arg=f"{title} ·")
        return self.settle()

    def look(self, _size: str, width: int, height: int, theme: str) -> None:
        """Change the window's size and the theme that the reader's system asks for."""
        self.page.set_viewport_size({"width": width, "height": height})
        self.page.emulate_media(color_scheme=theme)

    def settle(self) -> Visit:
        """Wait until the page has been drawn to its end."""
        self.page.locator('[data-testid="stApp"][data-test-script-state="notRunning"]').wait_for(timeout=60_000)
        self.page.locator('[data-testid="stSkeleton"]').first.wait_for(state="detached", timeout=20_000)
        return self

    def text(self) -> str:
        return str(self.page.get_by_test_id("stMain").inner_text())

    def keep(self, name: str) -> None:
        ARTIFACTS.mkdir(exist_ok=True)
        self.page.screenshot(path=ARTIFACTS / f"{name}.png")

    def sound(self) -> None:
        """No error on the page, none in the console, and no request to another machine."""
        assert self.page.locator('[data-testid="stException"]').count() == 0
        assert not self.complaints
        assert not self.elsewhere
        assert self.page.evaluate("window.hit") is None

    def close(self) -> None:
        self.page.close()


@pytest.fixture(scope="module")
def context(browser: Any) -> Iterator[Any]:
    """One for all tests: pages of it share what the browser has fetched and compiled."""
    opened = browser.new_context()
    yield opened
    opened.close()


@pytest.fixture
def visit(context: Any) -> Iterator[Visit]:
    visited = Visit(context)
    yield visited
    visited.close()


def test_every_page_opens_wide_and_narrow_in_both_themes(served: Server, visit: Visit) -> None:
    visit.open(served.url)
    for title in TITLES:
        visit.look(*SIZES[0])
        visit.go(title)
        for size, width, height, theme in SIZES:
            visit.look(size, width, height, theme)
            visit.keep(f"{title.lower().replace(' ', '-')}-{size}-{theme}")
            wide = visit.page.evaluate("document.documentElement.scrollWidth")
            assert wide <= width, (title, size, wide)
        visit.sound()


def test_a_page_opens_at_its_own_address(served: Server, visit: Visit) -> None:
    assert "stands out" in visit.open(f"{served.url}/spike").text()
    visit.sound()


def test_the_address_carries_what_was_chosen(served: Server, visit: Visit) -> None:
    visit.open(served.url)
    visit.page.get_by_role("radio", name="model").click()
    visit.page.get_by_role("heading", name="Daily cost by model").wait_for()
    assert "by=model" in visit.page.url
    other = visit.page.url
    visit.open(other)
    assert "Daily cost by model" in visit.text()
    visit.sound()


def test_the_pages_pass_the_accessibility_check(served: Server, visit: Visit, axe: str) -> None:
    visit.open(served.url)
    found = []
    for theme, titles in (("light", TITLES), ("dark", ("Spike", "Strategies", "Optimise"))):
        visit.look("wide", 1280, 1400, theme)
        for title in titles:
            visit.go(title)
            found += [
                f"{title}, {theme}: {line}" for line in violations(visit.page, axe, within="[data-testid=stMain]")
            ]
    assert not found, "\n".join(found)


def test_an_optimum_is_searched_and_its_point_clicked(served: Server, visit: Visit) -> None:
    visit.open(f"{served.url}/optimise")
    visit.page.get_by_role("button", name="Search").click()
    visit.page.get_by_role("heading", name="instead of").first.wait_for(timeout=60_000)
    visit.settle()
    visit.page.locator(".scatterlayer .point").first.wait_for()
    visit.keep("optimise-found")
    visit.sound()


def test_a_wrong_strategy_says_where_and_what_is_right(served: Server, visit: Visit) -> None:
    visit.open(f"{served.url}/strategies")
    visit.page.locator("summary").filter(has_text="Edit a strategy").click()
    editor = visit.page.get_by_role("textbox", name="YAML")
    editor.fill("name: mine\nrout:\n  - {default: gpt-3.5-turbo}\n")
    editor.press("Control+Enter")
    visit.page.get_by_text("Did you mean 'route'?").wait_for()
    editor.fill("name: mine\nroute:\n  - {default: gpt-3.5-turbo}\n")
    editor.press("Control+Enter")
    visit.page.get_by_role("button", name="Run it").click()
    visit.page.get_by_role("cell", name="mine edited").wait_for(timeout=60_000)
    visit.settle()
    visit.sound()


def test_a_table_is_exported_as_csv(served: Server, visit: Visit) -> None:
    visit.open(f"{served.url}/spike")
    with visit.page.expect_download() as download:
        visit.page.get_by_role("button", name="CSV").first.click()
    lines = Path(download.value.path()).read_text().splitlines()
    assert lines[0] == "USD,cause,where,evidence,what to do,undo saves a day,confidence"
    assert "drafting_agent" in lines[1]


def test_a_hostile_prompt_is_drilled_to_and_does_nothing(served: Server, visit: Visit) -> None:
    visit.open(f"{served.url}/spike")
    visit.page.get_by_role("combobox", name="Driver").click()
    visit.page.keyboard.type("script")
    visit.page.get_by_role("option").filter(has_text="script").first.click()
    visit.settle()
    visit.page.locator("summary").filter(has_text="user").first.click()
    assert visit.page.get_by_text("onerror=window.hit=1").first.is_visible()
    visit.sound()


def test_the_demo_tells_its_story_on_the_page(origin_story: Path, visit: Visit, tmp_path: Path) -> None:
    server = Server(origin_story, tmp_path)
    try:
        visit.look("wide", 1280, 800, "light")
        visit.open(server.url)
        assert "Tue 5 Mar" in visit.text()
        visit.page.locator(".js-plotly-plot .barlayer .point").first.wait_for()
        if os.environ.get("HINDCAST_PICTURE"):
            visit.page.screenshot(path=ROOT / "docs" / "dashboard.png")
        visit.keep("demo-overview")
        visit.look("wide", 1280, 1400, "light")
        visit.go("Strategies")
        visit.page.get_by_role("heading", name="would have cost").wait_for(timeout=90_000)
        visit.settle()
        assert "fails 0.95" in visit.text()
        assert "passes 0.95" in visit.text()
        visit.keep("demo-strategies")
        visit.sound()
    finally:
        server.stop()
