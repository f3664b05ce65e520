"""The dashboard in a browser over ten million calls: first paint, each interaction, memory of the server.

The store is made by SQL (30 days, 8 agents x 5 tasks x 4 models, 1.7 M sessions), or HINDCAST_BENCH_STORE names one.
A paint is timed from the request until the figures of merit and the picture stand, first as a sketch of its bars, then
as the figure that answers the mouse; an interaction from the click until the page is drawn to its end. Each interaction
is timed twice: as the first reader finds it, and again. Asked: paint below 3 s after the server is up, an interaction
below 1 s, server below 1 GB. Needs Chromium.
"""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

CALLS = int(os.environ.get("HINDCAST_BENCH_SCALE", "10000000"))
# the browser's own clock, frame by frame: asking it from outside waits for whatever keeps its one thread busy
MARKS = """
window.marks = {};
const look = () => {
    const seen = {words: ".hc-kpi", sketch: ".hc-columns i", figure: ".barlayer .point"};
    for (const [name, what] of Object.entries(seen))
        if (!(name in marks) && document.querySelector(what)) marks[name] = performance.now() / 1000;
    requestAnimationFrame(look);
};
requestAnimationFrame(look);
"""
DRAWN = '[data-testid="stApp"][data-test-script-state="notRunning"]'


class Served:
    """A dashboard on a free port, and the process that answers."""

    def __init__(self, store: Path, folder: Path) -> None:
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            port = free.getsockname()[1]
        self.url = f"http://127.0.0.1:{port}"
        command = [sys.executable, "-m", "cli.app", "dashboard", "--store", str(store), "--port", str(port)]
        root = Path(__file__).resolve().parents[1]
        environment = {**os.environ, "PYTHONPATH": str(root)}
        self.process = subprocess.Popen(
            command, cwd=folder, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
        )
        began = time.perf_counter()
        while True:
            try:
                urllib.request.urlopen(f"{self.url}/_stcore/health", timeout=2)
                break
            except OSError:
                if self.process.poll() is not None:
                    raise SystemExit("  the server ended before it answered") from None
                time.sleep(0.05)
        print(f"  {'server up':52} {time.perf_counter() - began:6.2f} s", flush=True)

    def peak_mb(self) -> int:
        """Peak resident memory of the process that serves, in MB; long work in processes of its own is not in it."""
        status = Path(f"/proc/{self.process.pid}/status").read_text()
        said = dict(line.split(":\t", 1) for line in status.splitlines() if ":\t" in line)
        return int(said["VmHWM"].split()[0]) // 1024

    def stop(self) -> None:
        self.process.terminate()
        self.process.wait(20)


def settle(page: Any) -> None:
    """Until the page is drawn to its end."""
    page.locator(DRAWN).wait_for(timeout=120_000)
    page.locator('[data-testid="stSkeleton"]').first.wait_for(state="detached", timeout=20_000)


def timed(page: Any, name: str, act: Callable[[], None], seen: Callable[[], None] | None = None) -> float:
    """Act, wait for the server to begin, then for the page to be drawn; prints and gives the seconds."""
    settle(page)
    began = time.perf_counter()
    act()
    if seen:
        seen()
    else:
        page.wait_for_timeout(40)  # the click reaches the server
    settle(page)
    spent = time.perf_counter() - began
    print(f"  {name:52} {spent:6.2f} s", flush=True)
    return spent


def visit(browser: Any, url: str) -> None:
    """One reader's way through the pages."""
    page = browser.new_page(viewport={"width": 1280, "height": 1400})

    def go(title: str) -> Callable[[], None]:
        return page.get_by_test_id("stSidebarNav").get_by_role("link", name=title, exact=True).click

    def named(title: str) -> Callable[[], None]:
        return lambda: page.wait_for_function("title => document.title.startsWith(title)", arg=f"{title} ·")

    def says(text: str) -> Callable[[], None]:
        return lambda: page.get_by_text(text).first.wait_for(timeout=120_000)

    def gone(text: str) -> Callable[[], None]:
        return lambda: page.get_by_text(text).first.wait_for(state="detached", timeout=120_000)

    def radio(name: str) -> Callable[[], None]:
        return page.get_by_role("radio", name=name, exact=True).click

    def choose(name: str, label: str, option: int) -> None:
        """Open a box of choices, then take one: two interactions."""
        chosen = page.get_by_role("option").nth(option)

        def unfold() -> None:
            while not chosen.is_visible():  # a key that comes before the box listens is lost
                page.get_by_role("combobox", name=label).first.focus()
                page.keyboard.press("ArrowDown")
                page.wait_for_timeout(30)

        timed(page, f"  the box of choices for: {label}", unfold)
        timed(page, name, chosen.click, other_calls())

    def other_calls() -> Callable[[], None]:
        """Waits until the last table, of calls, is another one than now."""
        last = "[...document.querySelectorAll('.hc-table')].at(-1)?.innerText"
        now = page.evaluate(last)
        return lambda: page.wait_for_function(f"now => {last} && {last} !== now", arg=now)

    def filtered(agent: int) -> None:
        box = page.get_by_role("combobox", name="Calls")
        box.fill(f"agent=agent_{agent}")
        page.get_by_role("option").first.wait_for()
        box.press("Enter")
        page.keyboard.press("Escape")

    def unfiltered() -> None:
        page.get_by_role("combobox", name="Calls").focus()
        page.keyboard.press("Backspace")

    def days(preset: str) -> None:
        page.get_by_role("combobox", name="Days").fill(preset)
        page.get_by_role("option").first.wait_for()
        page.keyboard.press("Enter")

    page.add_init_script(MARKS)
    began = time.perf_counter()
    page.goto(url)
    page.locator(".barlayer .point").first.wait_for(timeout=60_000)
    marks = page.evaluate("marks")
    first = max(marks["words"], marks.get("sketch", marks["figure"]))
    print(f"  {'FIRST PAINT: figures and picture':52} {first:6.2f} s", flush=True)
    print(f"  {'  with the picture answering the mouse':52} {marks['figure']:6.2f} s", flush=True)
    page.get_by_role("heading", name="expected").first.wait_for(timeout=120_000)
    print(f"  {'  with the newest day explained':52} {time.perf_counter() - began:6.2f} s", flush=True)
    for agent, again in ((1, ""), (2, ", again")):
        timed(page, f"Overview by model{again}", radio("model"), says("model 'model_"))
        timed(page, f"Overview by task{again}", radio("task"), says("task 'task_"))
        timed(page, f"Overview by agent{again}", radio("agent"), says("agent 'agent_"))
        timed(page, f"Overview of one agent{again}", partial(filtered, agent), says("Only calls with"))
        timed(page, f"Overview of all calls{again}", unfiltered, gone("Only calls with"))
        timed(page, f"Overview of the last 7 days{again}", lambda: days("last 7 days"), says("7 days:"))
        timed(page, f"Overview of all days{again}", lambda: days("all days"), says("30 days:"))
        timed(page, f"to Spike{again}", go("Spike"), named("Spike"))
        choose(f"another driver's sessions{again}", "Driver", 1)
        choose(f"another session, call by call{again}", "Session", 1)
        choose(f"the first driver's sessions{again}", "Driver", 0)
        timed(page, f"to Explore{again}", go("Explore"), named("Explore"))
        timed(page, f"Explore: areas{again}", radio("areas"), says("Click an area"))
        timed(page, f"Explore: sessions{again}", radio("sessions"), says("dearest sessions"))
        choose(f"Explore: sessions of agent {agent}", "agent", agent)
        timed(page, f"to Prices{again}", go("Prices"), named("Prices"))
        timed(page, f"to Data{again}", go("Data"), named("Data"))
        timed(page, f"to Overview{again}", go("Overview"), named("Overview"))
    page.close()


def main() -> None:
    from playwright.sync_api import sync_playwright

    chromium = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
    if chromium is None:
        print("  needs Chromium")
        return
    with tempfile.TemporaryDirectory() as folder:
        store = Path(os.environ.get("HINDCAST_BENCH_STORE", f"{folder}/calls.duckdb"))
        if not store.exists():
            from benchmarks.diagnosis.speed import build

            build(store, CALLS)
        served = Served(store, Path(folder))
        try:
            with sync_playwright() as playwright:
                browser = playwright.chromium.launch(executable_path=chromium, args=["--no-sandbox"])
                visit(browser, served.url)
                browser.close()
            print(f"  {'peak memory of the server':52} {served.peak_mb():6,} MB")
        finally:
            served.stop()


if __name__ == "__main__":
    main()
