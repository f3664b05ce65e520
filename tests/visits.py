"""A dashboard on a free port, and a reader who looks at its pages and collects what goes wrong."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import time
import urllib.request
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
ARTIFACTS = ROOT / "artifacts"
TITLES = ("Overview", "Spike", "Compare", "Explore", "Strategies", "Cache lab", "Optimize", "Prices", "Data")
WIDE, NARROW = (1280, 1400), (390, 1400)
# Streamlit looks for its server below a page's own path before it looks at the root
PROBES = ("/_stcore/health", "/_stcore/host-config")


class Server:
    """A dashboard process on a free port; `ready` waits until it answers, so that several can start side by side."""

    def __init__(self, store: Path, folder: Path, *options: str) -> None:
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            self.port = free.getsockname()[1]
        self.url = f"http://127.0.0.1:{self.port}"
        self.log = folder / f"server-{self.port}.log"
        command = [sys.executable, "-P", "-m", "cli.entry", "dashboard", "--store", str(store), *options]
        command += [] if "--port" in options else ["--port", str(self.port)]
        self.process = subprocess.Popen(
            command,
            cwd=folder,
            stdout=self.log.open("wb"),
            stderr=subprocess.STDOUT,
            env={**os.environ, "HOME": str(folder)},
        )

    def ready(self) -> Server:
        deadline = time.monotonic() + 90
        while True:
            try:
                with urllib.request.urlopen(f"{self.url}/_stcore/health", timeout=2) as answer:
                    if answer.status == 200:
                        return self
            except OSError:
                pass
            assert self.process.poll() is None, self.log.read_text()
            assert time.monotonic() < deadline, self.log.read_text()
            time.sleep(0.05)

    def stop(self) -> None:
        """End the server; nobody answers at its port any more."""
        self.process.terminate()
        self.process.wait(20)
        with socket.socket() as port:
            assert port.connect_ex(("127.0.0.1", self.port)) != 0


class Visit:
    """One page in one window, with everything the browser complained of or asked other machines for."""

    def __init__(self, context: Any) -> None:
        self.page = context.new_page()
        self.look(WIDE, "light")
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
        return self.settle()

    def go(self, title: str) -> Visit:
        """To another page, as a reader goes there."""
        self.page.get_by_test_id("stSidebarNav").get_by_role("link", name=title, exact=True).click()
        self.page.wait_for_function("title => document.title.startsWith(title)", arg=f"{title} ·")
        return self.settle()

    def look(self, size: tuple[int, int], theme: str) -> None:
        """Change the window's size and the theme that the reader's system asks for."""
        self.page.set_viewport_size({"width": size[0], "height": size[1]})
        self.page.emulate_media(color_scheme=theme)

    def settle(self) -> Visit:
        """Wait until the page has been drawn to its end."""
        self.page.locator('[data-testid="stApp"][data-test-script-state="notRunning"]').wait_for(timeout=90_000)
        self.page.locator('[data-testid="stSkeleton"]').first.wait_for(state="detached", timeout=20_000)
        # what a run has yet to draw again is paler
        self.page.locator('[data-stale="true"]').first.wait_for(state="detached", timeout=20_000)
        return self

    def choose(self, label: str, text: str) -> None:
        """An option of a box, by what it says."""
        box, option = self.page.get_by_role("combobox", name=label).first, self.page.get_by_role("option")
        while not option.first.is_visible():  # a key that comes before the box listens is lost
            box.focus()
            self.page.keyboard.press("ArrowDown")
            self.page.wait_for_timeout(30)
        option.filter(has_text=text).first.click()
        self.settle()

    def text(self) -> str:
        return str(self.page.get_by_test_id("stMain").inner_text())

    def keep(self, name: str) -> None:
        """A screenshot, with every animation at its end."""
        ARTIFACTS.mkdir(exist_ok=True)
        self.page.screenshot(path=ARTIFACTS / f"{name}.png", animations="disabled")

    def sound(self) -> None:
        """No error on the page, none in the console, and no request to another machine."""
        assert self.page.locator('[data-testid="stException"]').count() == 0
        assert not self.complaints
        assert not self.elsewhere
        assert self.page.evaluate("window.hit") is None

    def close(self) -> None:
        self.page.close()
