"""Cache lab: what a cache would have saved by time to live, size and key, and what makes near-equal prompts miss."""

from __future__ import annotations

from collections.abc import Sequence
from decimal import Decimal

import streamlit as st

from analysis.calendar_days import DAY_MS
from analysis.formatting import money, share
from dashboard.data import cache_lab_data, results_cache, strategy_files
from dashboard.render import detail_charts
from dashboard.render.tables import Column, Table
from dashboard.screens import strategies
from dashboard.widgets import blocks, page_frame, progress
from ingest.errors import StrategyError
from replay.traffic.traffic import KEY_POLICIES

NEARLY = Decimal("0.9")
RISKY = 0.1  # of the repeats: a cache would freeze answers that differ
TEMPERATURES = {"always": "cached like the others", "zero": "never cached", "pool": "a pool of four answers"}


def show() -> None:
    """Draw the page."""
    view = page_frame.view()
    with st.container(horizontal=True, key="cache-choices", vertical_alignment="bottom"):
        key = st.selectbox(
            "What counts as the same request", list(KEY_POLICIES), key="key", bind="query-params", width=280,
            help="canonical: equal after sorting keys and filling defaults; +mask also hides dates, ids and counters",
        )  # fmt: skip
        hot = st.selectbox(
            "Calls hotter than temperature 0", list(TEMPERATURES), key="hot", bind="query-params", width=280,
            format_func=lambda name: TEMPERATURES[name], help="A cache gives a hot call the same answer every time",
        )  # fmt: skip
    try:
        days = view.coverage.log.within(view.since, view.until)
        since, until = (days[0], days[-1]) if days else (view.since, view.until)
        arguments = {"since": since, "until": until, "key": str(key), "temperature": str(hot)}
        found = progress.result(view, "caches", arguments, "Simulating caches", key=tuple(arguments.values()))
    except StrategyError as error:
        blocks.nothing("No cache can be simulated here", f"{error.what}. {error.remedy or ''}")
        return
    if found is None:
        return
    if not found.asked:
        blocks.nothing(
            "No call can be looked up in a cache",
            "The log has neither text nor hashes of its requests: ingest without --metadata-only.",
        )
        return
    blocks.finding(headline(found), level=1)
    page_frame.remarks(view.coverage)
    if days:
        blocks.note(f"A day: {view.coverage.mean_of(days)}.")
    if not any(point.saved > 0 for point in (*found.lives, *found.rooms)):
        blocks.nothing("A cache saves nothing here", "No request of these days was asked again within a cache's life.")
        _doctor(view)
        return
    blocks.finding(knee(found.lives, "A life of {}"))
    blocks.picture(
        detail_charts.curve([p.at for p in found.lives], [p.rate for p in found.lives], [p.saved for p in found.lives],
                     [p.label for p in found.lives], x="time to live"),
        "cache-by-life",
        alt="; ".join(f"{p.label}: {money(p.saved)} a day, {share(p.rate)}" for p in found.lives),
    )  # fmt: skip
    _hand_over(found, str(key), str(hot))
    blocks.finding(knee(found.rooms, "Room for {} answers"))
    blocks.note("A shared cache without expiry, which drops what was used longest ago.")
    blocks.picture(
        detail_charts.curve([p.at for p in found.rooms], [p.rate for p in found.rooms], [p.saved for p in found.rooms],
                     [p.label for p in found.rooms], x="entries"),
        "cache-by-room",
        alt="; ".join(f"{p.label}: {money(p.saved)} a day, {share(p.rate)}" for p in found.rooms),
    )  # fmt: skip
    blocks.finding(key_finding(found))
    blocks.table(keys(found), "cache-keys")
    blocks.note(
        f"Of {found.repeated:,} requests that came again and have their answers logged, {found.one_answer:,} always "
        "got the same one; elsewhere a cache freezes the first. The curves take an answer as given at once; this table "
        "takes it from the end of its call on."
    )
    _doctor(view)


def _hand_over(found: cache_lab_data.CacheCurves, key: str, hot: str) -> None:
    """A cache of the life that is nearly enough, as a strategy that the Strategies page runs."""
    enough = _nearly_enough(found.lives)
    if enough is None:
        return
    text = strategy_files.cache_strategy(key, enough.at, hot=hot != "zero")
    entry = strategy_files.check(text, "cache.yaml")
    if entry.strategy is None:  # a key that only the lab knows
        blocks.note(f"A strategy cannot have the key '{key}', so this cache cannot be handed to Strategies.")
        return
    label = f"Take a cache of {enough.label} to Strategies"
    if st.button(label, icon=":material/alt_route:", help="As a strategy to replay, edit and save"):
        strategies.take(entry)
    if hot == "pool":
        blocks.note("A strategy has no pool of answers: there, hot calls are cached like the others.")


def _nearly_enough(points: Sequence[cache_lab_data.Point]) -> cache_lab_data.Point | None:
    most = max(point.saved for point in points)
    return next(point for point in points if point.saved >= most * NEARLY) if most > 0 else None


def headline(found: cache_lab_data.CacheCurves) -> str:
    """What a day's cache would have saved."""
    day = next(point for point in found.lives if point.at == DAY_MS)
    return (
        f"A shared cache that keeps answers for 24 h would have served {share(day.rate)} of the calls "
        f"and saved {money(day.saved)} a day of {money(found.spent)}"
    )


def knee(points: Sequence[cache_lab_data.Point], what: str) -> str:
    """The least setting that saves nearly as much as any."""
    most = max(point.saved for point in points)
    if most <= 0:
        return f"{what.format('any size')} saves nothing"
    enough = _nearly_enough(points)
    assert enough is not None
    return f"{what.format(enough.label)} is nearly enough: {money(enough.saved)} of at most {money(most)} a day"


def key_finding(found: cache_lab_data.CacheCurves) -> str:
    """Which key saves most, of those that are compared."""
    name, _, _, saved, _ = max(found.keys, key=lambda row: row[3])
    least = min(row[3] for row in found.keys)
    if saved == least:
        return "What counts as the same request makes no difference here"
    return f"The key '{name}' saves most: {money(saved)} a day, the strictest {money(least)}"


def keys(found: cache_lab_data.CacheCurves) -> Table:
    """Hit rate and dollars under each key policy."""
    columns = (
        Column("key"),
        Column("hits", lambda value: f"{value:,}", figure=True),
        Column("hit rate", share, figure=True),
        Column("saved a day", money, figure=True),
        Column("repeats answered differently", share, figure=True,
               strong=lambda value: value is not None and value > RISKY,
               about="Of requests that came again, those whose logged answers differ: the risk of caching"),
    )  # fmt: skip
    return Table("Hit rate by key policy, without expiry", columns, tuple(found.keys))


def _doctor(view: page_frame.View) -> None:
    blocks.finding("What makes near-equal prompts miss")
    if not results_cache.store_contents(*view.key).known["message text"]:
        blocks.note("The doctor reads prompts, and this store keeps no text.")
        return
    if not st.session_state.get("examined"):
        st.button("Examine the prompts", help="Takes some seconds",
                  on_click=lambda: st.session_state.update(examined=True))  # fmt: skip
        blocks.command(f"hindcast cache doctor {view.options()}".rstrip())
        return
    arguments = {"since": view.since, "until": view.until}
    rows = progress.result(view, "doctor", arguments, "Examining prompts", key=(view.since, view.until))
    if rows is None:
        return
    if not rows:
        blocks.note("No template varies in a way that a cache would pay for.")
    else:
        columns = (
            Column("template"),
            Column("what varies"),
            Column("at token", lambda value: f"{value:,}", figure=True, minor=True),
            Column("calls", lambda value: f"{value:,}", figure=True),
            Column("moving saves a day", _gain, figure=True, about="Moved to the prompt's end, behind what repeats"),
            Column(
                "masking saves a day",
                _gain,
                figure=True,
                minor=True,
                about="Left out of the key: one's answer for another",
            ),
        )
        blocks.table(Table("What makes prompts miss", columns, tuple(rows)), "doctor")


def _gain(value: Decimal) -> str:
    return money(value) if value > 0 else "-"
