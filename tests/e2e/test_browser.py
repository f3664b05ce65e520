"""The dashboard in a real browser: pages open without errors, interactions work, and nothing leaves this machine.

Screenshots go to artifacts/. With HINDCAST_PICTURE set, the README's picture is drawn from the demo's store; with
HINDCAST_LOOK set, every page of every store is kept wide and narrow, light and dark.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import spiky as made
from accessibility import violations
from processes import children
from visits import NARROW, ROOT, TITLES, WIDE, Server, Visit

import sample_logs
from analysis.ledger import ledger
from ingest.pipeline.run import ingest
from ingest.store.database import Store

LOOKS = ((WIDE, "light"), (NARROW, "dark")) + (
    ((WIDE, "dark"), (NARROW, "light")) if "HINDCAST_LOOK" in os.environ else ()
)
REAL = {"chatdev": "chatdev_calls.jsonl.zst", "tau2": "tau2_dev_calls.jsonl.zst"}

pytestmark = pytest.mark.browser


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    folder = tmp_path_factory.mktemp("served")
    server = Server(made.make(folder / "spiky.duckdb").path, folder).ready()
    yield server
    server.stop()


@pytest.fixture(scope="module")
def context(browser: Any) -> Iterator[Any]:
    """One for all tests: pages of it share what the browser has fetched and compiled."""
    opened = browser.new_context()
    yield opened
    opened.close()


@pytest.fixture(scope="module")
def window(context: Any, served: Server) -> Iterator[Visit]:
    """One reader who goes from page to page without loading the program anew."""
    visited = Visit(context)
    visited.open(served.url)
    yield visited
    visited.close()


@pytest.fixture
def visit(window: Visit) -> Iterator[Visit]:
    """The reader at a desk, at the Overview."""
    window.look(WIDE, "light")
    window.go("Overview")
    yield window
    window.sound()


def test_every_page_opens_wide_and_narrow_in_both_themes_and_passes_the_accessibility_check(
    visit: Visit, axe: str
) -> None:
    found = []
    for title in TITLES:
        visit.look(WIDE, "light")
        visit.go(title)
        for size, theme in LOOKS:
            visit.look(size, theme)
            width = "wide" if size == WIDE else "narrow"
            visit.keep(f"{title.lower().replace(' ', '-')}-{width}-{theme}")
            reach = visit.page.evaluate("document.documentElement.scrollWidth")
            assert reach <= size[0], (title, size, reach)
            if theme == "light" or title in ("Spike", "Strategies", "Optimize"):
                found += [
                    f"{title}, {theme}: {line}" for line in violations(visit.page, axe, within="[data-testid=stMain]")
                ]
        visit.sound()
    assert not found, "\n".join(found)


def test_a_page_opens_at_its_own_address(served: Server, visit: Visit) -> None:
    assert "stands out" in visit.open(f"{served.url}/spike").text()


def test_the_address_carries_what_was_chosen(visit: Visit) -> None:
    visit.page.get_by_role("radio", name="model").click()
    visit.page.get_by_role("heading", name="of the change is model 'gpt").wait_for()
    assert "by=model" in visit.page.url
    visit.open(visit.page.url)
    assert "of the change is model 'gpt" in visit.text()


def test_what_was_chosen_holds_on_the_way_through_the_pages_and_back(visit: Visit, served: Server) -> None:
    visit.open(f"{served.url}/?days=2024-03-01..2024-03-03&by=model")
    visit.go("Explore")
    assert "of $18.43)" in visit.text()  # of those days
    visit.page.get_by_role("radio", name="areas").click()
    visit.page.get_by_text("Click an area").wait_for()
    visit.go("Spike")
    visit.page.go_back()
    visit.page.get_by_text("Click an area").wait_for()
    visit.settle()
    assert "look=areas" in visit.page.url
    visit.open(served.url)


def test_the_reader_chooses_the_theme(visit: Visit) -> None:
    colour = "getComputedStyle(document.querySelector('.stApp')).backgroundColor"
    light = visit.page.evaluate(colour)
    assert _lightness(light) > 200
    visit.page.get_by_test_id("stMainMenu").click()
    visit.page.get_by_role("menuitemradio", name="Dark").click()
    visit.page.wait_for_function(f"{colour} != '{light}'")
    assert _lightness(visit.page.evaluate(colour)) < 60
    visit.page.get_by_role("menuitemradio", name="System").click()
    visit.page.wait_for_function(f"{colour} == '{light}'")
    visit.page.keyboard.press("Escape")
    assert visit.page.get_by_role("menuitemradio", name="Dark").count() == 0


def _lightness(colour: str) -> float:
    """Mean of red, green and blue, 0 to 255, of `rgb(r, g, b)`."""
    parts = [float(part) for part in colour[colour.index("(") + 1 : -1].split(",")[:3]]
    return sum(parts) / 3


def test_days_are_filtered(visit: Visit) -> None:
    visit.open(f"{visit.page.url.split('?')[0]}?days=2024-03-01..2024-03-03")
    visit.page.get_by_text("Every day in figures").click()
    visit.page.get_by_role("cell", name="Sat 2 Mar 2024").wait_for()
    assert "Thu 29 Feb" not in visit.text()
    visit.open(visit.page.url.split("?")[0])


def test_a_click_on_a_bar_opens_its_day_and_back_keeps_the_filter(visit: Visit, served: Server) -> None:
    visit.open(f"{served.url}/?days=2024-02-25..2024-03-08&where=agent!%3Dresearch_agent")
    bar = visit.page.locator(".barlayer .trace").first.locator(".point").nth(3)
    bar.wait_for()
    box = bar.bounding_box()
    assert box is not None
    visit.page.mouse.click(box["x"] + box["width"] / 2, box["y"] + box["height"] / 2)
    visit.page.wait_for_function("title => document.title.startsWith(title)", arg="Spike ·")
    visit.settle()
    assert "day=2024-02-28" in visit.page.url
    assert visit.page.locator("h1").inner_text().startswith("Wed 28 Feb cost ")
    visit.page.go_back()
    visit.settle()
    if "/spike" in visit.page.url:  # on a busy machine the page writes its filter into the address as a step of its own
        visit.page.go_back()
    visit.page.get_by_text("13 days: Sun 25 Feb to Fri 8 Mar 2024, UTC. Only calls with").wait_for()
    visit.open(served.url)


def test_a_typed_condition_filters_every_page(visit: Visit, served: Server) -> None:
    box = visit.page.get_by_role("combobox", name="Calls")
    box.fill("agent=research*")
    box.press("Enter")
    visit.page.get_by_text("Only calls with agent=research*").first.wait_for()
    box.press("Escape")  # an open box of choices hides the rest of the page from the keyboard
    for title in ("Explore", "Compare", "Data"):
        assert "Only calls with agent=research*" in visit.go(title).text()
    assert "where=agent%3Dresearch%2A" in visit.page.url
    visit.open(served.url)


@pytest.mark.slow
def test_an_optimum_is_searched_and_its_point_clicked(visit: Visit) -> None:
    visit.go("Optimize")
    visit.page.get_by_role("button", name="Search").click()
    visit.page.get_by_role("heading", name="instead of").first.wait_for(timeout=60_000)
    visit.settle()
    front = visit.page.locator(".scatterlayer .trace").first.locator(".point")
    front.first.wait_for()
    visit.keep("optimize-found")
    box = front.first.bounding_box()
    assert box is not None
    visit.page.mouse.click(box["x"] + box["width"] / 2, box["y"] + box["height"] / 2)
    visit.settle()
    cost = visit.page.locator("h2").filter(has_text="The strategy: ").inner_text().split()[2].rstrip(",")
    assert visit.page.locator("h1").inner_text().startswith(f"{cost} instead of $")


@pytest.mark.slow
def test_a_wrong_strategy_says_where_and_what_is_right(visit: Visit) -> None:
    visit.go("Strategies")
    visit.page.locator("summary").filter(has_text="Edit a strategy").click()
    editor = visit.page.get_by_role("textbox", name="YAML")
    editor.fill("name: mine\nrout:\n  - {default: gpt-3.5-turbo}\n")
    editor.press("Control+Enter")
    visit.page.get_by_text("Did you mean 'route'?").wait_for()
    assert "yaml:2" in visit.text()
    editor.fill("name: mine\nroute:\n  - {default: gpt-3.5-turbo}\n")
    editor.press("Control+Enter")
    visit.page.get_by_role("button", name="Run it").click()
    visit.page.get_by_role("cell", name="mine").first.wait_for(timeout=60_000)
    visit.settle()


@pytest.mark.slow
def test_a_table_and_a_picture_are_exported(visit: Visit) -> None:
    visit.go("Spike")
    with visit.page.expect_download() as download:
        visit.page.get_by_role("button", name="CSV").first.click()
    lines = Path(download.value.path()).read_text().splitlines()
    about = [line for line in lines if line.startswith("# ")]
    assert about[0] == "# Causes of 2024-03-08"
    assert any("spiky.duckdb" in line for line in about)
    assert lines[len(about)] == "USD,cause,where,evidence,what to do,undo saves a day,confidence"
    assert "drafting_agent" in lines[len(about) + 1]
    for kind, begins in (("svg", b"<svg"), ("png", b"\x89PNG")):
        visit.page.get_by_role("radio", name=kind).click()
        visit.page.wait_for_timeout(300)
        visit.settle()
        visit.page.locator(".js-plotly-plot").first.hover()
        with visit.page.expect_download() as download:
            visit.page.locator(".modebar-btn").first.click()
        assert download.value.suggested_filename.endswith(f".{kind}")
        assert Path(download.value.path()).read_bytes().startswith(begins)


def test_a_hostile_prompt_is_drilled_to_and_does_nothing(visit: Visit) -> None:
    visit.go("Spike")
    visit.choose("Driver", "script")
    visit.page.get_by_text("onerror=window.hit=1").first.wait_for()  # what was asked stands open
    assert made.HOSTILE_TEXT in "\n".join(visit.page.locator("pre").all_inner_texts())
    assert visit.page.evaluate("window.hit") is None
    assert visit.page.locator("[data-testid=stMain] [onerror], [data-testid=stMain] script").count() == 0


@pytest.mark.slow
def test_two_readers_see_a_store_grow_vanish_and_come_back(context: Any, tmp_path: Path) -> None:
    store = made.make(tmp_path / "own.duckdb")
    server = Server(store.path, tmp_path).ready()
    one, two = Visit(context), Visit(context)
    try:
        before = one.open(server.url).page.locator("h1").inner_text()
        two.open(f"{server.url}/spike")
        one.page.get_by_role("radio", name="model").click()
        one.page.get_by_role("heading", name="model 'gpt").first.wait_for()
        assert two.page.locator("h1").inner_text() == before
        with store.write() as con:  # as a second ingest publishes: the newest day's calls once more, by other names
            con.execute(
                """INSERT INTO calls BY NAME
                   SELECT * REPLACE (call_no + 10000 AS call_no, call_key + 10000 AS call_key) FROM calls
                   WHERE start_time::DATE = DATE '2024-03-08'"""
            )
        ledger.update(store)
        two.choose("Driver", "critique")  # a part of the page alone would show the store of before
        for reader in (one, two):
            if reader is one:
                one.page.get_by_role("radio", name="task").click()
            reader.page.locator("h1").filter(has_text="Fri 8 Mar cost $31").wait_for(timeout=30_000)
            reader.settle()
        hidden = store.path.rename(tmp_path / "hidden.duckdb")
        two.page.get_by_role("radio", name="by place").click()
        one.page.get_by_test_id("stSidebarNav").get_by_role("link", name="Explore", exact=True).click()
        for reader in (one, two):
            reader.page.get_by_role("heading", name="There is no store at").wait_for()
            assert "hindcast ingest" in reader.settle().text()
        hidden.rename(store.path)
        assert "Fri 8 Mar cost $31" in one.go("Data").go("Overview").text()
        one.sound()
        two.sound()
    finally:
        one.close()
        two.close()
        server.stop()


def tour(server: Server, context: Any, name: str) -> dict[str, str]:
    """Every page of a store, without an error; what each says. One strategy is replayed."""
    visited = Visit(context)
    said = {}
    try:
        for title in ("Strategies", *(title for title in TITLES if title != "Strategies")):
            visited.look(WIDE, "light")
            if title == "Strategies":
                visited.open(f"{server.url}/strategies?strategies=routed")
            else:
                visited.go(title)
            for size, theme in LOOKS if "HINDCAST_LOOK" in os.environ else LOOKS[:1]:
                visited.look(size, theme)
                assert visited.page.evaluate("document.documentElement.scrollWidth") <= size[0], title
                width = "wide" if size == WIDE else "narrow"
                visited.keep(f"{name}-{title.lower().replace(' ', '-')}-{width}-{theme}")
            said[title] = visited.text()
            visited.sound()
        return said
    finally:
        visited.close()


@pytest.mark.slow
@pytest.mark.data
def test_every_page_opens_on_real_logs(data: Path, context: Any, tmp_path: Path) -> None:
    servers = {}
    for name, file in REAL.items():
        store = Store(tmp_path / f"{name}.duckdb")
        ingest(store, [data / file], mapping=Path(sample_logs.__file__).parent / "mappings" / f"{name}.yaml")
        ledger.update(store)
        servers[name] = Server(store.path, tmp_path)
    try:
        said = {name: tour(server.ready(), context, name) for name, server in servers.items()}
    finally:
        for server in servers.values():
            server.stop()
    for name, unpriced in (("chatdev", "219 of 1,933 calls"), ("tau2", "732 of 4,018 calls")):
        for title in ("Overview", "Spike", "Explore", "Cache lab", "Data"):
            assert f"No price, in no total: {unpriced}." in said[name][title]
    assert "the log cannot say" in said["tau2"]["Strategies"]


@pytest.mark.slow
def test_the_demo_tells_its_story_and_a_running_strategy_is_stopped(
    origin_story: Path, context: Any, tmp_path: Path
) -> None:
    server = Server(origin_story, tmp_path).ready()
    visit = Visit(context)
    try:
        visit.page.goto(f"{server.url}/strategies")
        visit.page.get_by_role("button", name="Stop this").click(timeout=60_000)
        visit.page.get_by_role("heading", name="Stopped").wait_for()
        assert not children(server.process.pid, "dashboard.data.job_process")
        visit.page.get_by_role("button", name="Start again").click()
        visit.page.get_by_role("heading", name="would have cost").wait_for(timeout=90_000)
        visit.settle()
        assert "fails 0.95" in visit.text()
        assert "passes 0.95" in visit.text()
        visit.keep("demo-strategies")
        visit.look((1280, 800), "light")
        visit.go("Overview")
        assert "Tue 5 Mar" in visit.text()
        visit.page.locator(".js-plotly-plot .barlayer .point").first.wait_for()
        if os.environ.get("HINDCAST_PICTURE"):
            visit.page.screenshot(path=ROOT / "docs" / "dashboard.png", animations="disabled")
        said = tour(server, context, "demo")
        assert "$822.52 a day since Tue 5 Mar, $123.48 before" in said["Overview"]
        visit.sound()
    finally:
        visit.close()
        server.stop()
