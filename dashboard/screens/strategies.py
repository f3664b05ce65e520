"""Strategies: what each policy would have cost on the same traffic, what it risks, and what the log cannot say."""

from __future__ import annotations

import shlex
from collections.abc import Sequence
from dataclasses import replace
from datetime import date
from pathlib import Path

import streamlit as st

from analysis.formatting import count as counted
from analysis.formatting import money, share
from analysis.money import dollars
from dashboard.data import results_cache, strategy_files
from dashboard.documents import document_views, strategy_tables
from dashboard.render import daily_charts, detail_charts
from dashboard.render.cards import Kpi
from dashboard.render.palette import HUES
from dashboard.render.tables import Column, Table
from dashboard.widgets import blocks, page_frame, progress
from dashboard.widgets.page_frame import View
from replay.advice.recommend import recommended
from replay.advice.result_in_words import sentence, verdict
from replay.engine.run import Replay, StrategyResult
from replay.strategy.schema import Strategy

EDIT = "edit"  # name in the address
EDITED = " edited"  # a copy is named so after its file


def show() -> None:
    """Draw the page."""
    view = page_frame.view()
    if not view.coverage.days:
        blocks.nothing("No call has a time", "Traffic is replayed in time order: give the log's time in the mapping.")
        return
    entries = {entry.name: entry for entry in strategy_files.entries()}
    edited = _edited()
    if edited is not None and edited.strategy:
        entries[edited.name] = edited
    newest = results_cache.diagnosis(*view.key, None)
    since, until = view.since, view.until
    answer = st.container()
    result: Replay | None = None
    staged = [name for name, entry in entries.items() if entry.strategy and entry.strategy.stages()]
    chosen = st.multiselect(
        "Strategies", [name for name, entry in entries.items() if entry.strategy], key="strategies",
        default=None if "strategies" in st.session_state else staged,
        bind="query-params", help="Files that come with Hindcast and those of ./strategies",
    )  # fmt: skip
    cold = st.toggle("Start with empty caches", key="cold", bind="query-params",
                     help="Otherwise caches are warm from all earlier calls in the store")  # fmt: skip
    for entry in entries.values():
        if entry.problem:
            blocks.note(entry.problem, warn=True)
    if chosen:
        with answer:
            strategies = [strategy for name in chosen if (strategy := entries[name].strategy)]
            result = _replay(view, strategies, since, until, cold)
            best = recommended(result.strategies) if result else None
            if result is not None and best is not None:
                blocks.finding(sentence(best), level=1)
        if result is not None and best is not None:
            again = {name: _again(entries[name], view, cold) for name in chosen}
            _answer(view, result, best, newest, again)
    else:
        with answer:
            blocks.nothing("No strategy chosen", "Choose one here, or write one below.")
    _editor(view, entries, edited, result, cold)


def _replay(
    view: View, strategies: Sequence[Strategy], since: date | None, until: date | None, cold: bool
) -> Replay | None:
    """The result of `hindcast replay`; strategies that were run before are not run again. None if stopped."""
    names = {_key(strategy, since, until, cold): strategy for strategy in strategies}
    new = {key: strategy for key, strategy in names.items() if results_cache.get(("replayed", *view.key, key)) is None}
    if new:
        arguments = {
            "strategies": [strategy.document() for strategy in new.values()],
            "since": since, "until": until, "cold": cold,
        }  # fmt: skip
        text = f"Replaying {view.coverage.calls:,} calls"
        found: Replay | None = progress.result(view, "replay", arguments, text, key=tuple(new), of=len(new))
        if found is None:
            return None
        for key, entry in zip(new, found.strategies, strict=True):
            results_cache.put(("replayed", *view.key, key), replace(found, strategies=(entry,)))
    kept: list[Replay] = [results_cache.get(("replayed", *view.key, key)) for key in names]
    return replace(kept[0], strategies=tuple(one.strategies[0] for one in kept))


def _key(strategy: Strategy, since: date | None, until: date | None, cold: bool) -> tuple[object, ...]:
    """Names one run beside the store: what the strategy says, the days, and warm or cold."""
    return strategy.canonical_json(), since, until, cold


def _again(entry: strategy_files.Entry, view: View, cold: bool) -> str:
    """The command that says the same; empty for a strategy that is in no file yet."""
    if not entry.path:
        return ""
    path = Path(entry.path)
    near = path.relative_to(Path.cwd()) if path.is_relative_to(Path.cwd()) else path
    parts = ["hindcast replay", shlex.quote(str(near)), view.options(), "--cold" if cold else ""]
    return " ".join(filter(None, parts))


def _answer(
    view: View,
    result: Replay,
    best: StrategyResult,
    newest: document_views.Document,
    again: dict[str, str],
) -> None:
    if result.unpriced_calls:
        blocks.note(f"Without a price, on neither side: {counted(result.unpriced_calls, 'call')}.", warn=True)
    if result.idle_days:
        blocks.note(f"USD a day: {result.mean_of()}.")
    if result.untimed_calls:
        blocks.note(f"Without a time, not replayed: {counted(result.untimed_calls, 'call')}.", warn=True)
    colours = strategy_tables.strategy_colours(result)
    costs = document_views.day_costs(results_cache.cost(*view.key, ("day",), view.since, view.until))
    lines = strategy_tables.trajectories(costs, view.coverage.log.within(view.since, view.until), result, colours)
    spike = document_views.stands_out_since(newest)
    blocks.picture(
        daily_charts.comparison(
            lines, spike=spike if spike in lines[0].days else None, annotations=view.coverage.annotations
        ),
        "strategies",
        alt="Daily cost in USD as logged, and under each strategy: "
        + "; ".join(f"{entry.name} {money(entry.per_day())} a day" for entry in result.strategies),
        caption=view.caption("Cost per day as logged and under each strategy")
        + "".join(f" · {entry.name}: run {entry.run_id}" for entry in result.strategies),
    )
    if any(line.dashed for line in lines):
        blocks.note("Dotted: quality falls below the floor, or the log cannot say. Bands: where the cost is a range.")
    runs = [f"run {entry.run_id}: {entry.name}" for entry in result.strategies]
    blocks.table(_comparison(result, colours), "strategies", about=runs)
    names = [entry.name for entry in result.strategies]
    name = st.selectbox("Look closer at", names, index=names.index(best.name), key="closer", bind="query-params")
    closer = next(entry for entry in result.strategies if entry.name == name)
    _closer(closer, result, again.get(closer.name, ""), f"{view.shown()} · {view.source}")
    _limits(closer, result)


def _comparison(result: Replay, colours: dict[str, str]) -> Table:
    """The table of the terminal, with the range in dollars a day as the figure beside it."""
    table = strategy_tables.comparison(result, colours)
    ranges = {entry.name: entry.per_day_range() for entry in result.strategies}

    def words(name: object) -> str | None:
        ends = ranges.get(str(name))
        if ends is None:
            return None
        low, high = map(money, ends)
        return low if low == high else f"{low} to {high}"

    last = Column("range, USD a day", figure=True, minor=True,
                  about="Where answer lengths of another model are not known: low to high")  # fmt: skip
    rows = tuple((*row[:-1], words(row[0]) if number else None) for number, row in enumerate(table.rows))
    return Table(table.caption, (*table.columns[:-1], last), rows)


def _limits(closer: StrategyResult, result: Replay) -> None:
    """What is assumed or left out: of the strategy that is looked at, and folded away of the others."""
    if closer.limits:
        blocks.finding(f"What the log cannot say of {closer.name}")
        blocks.points(closer.limits, shown=6)
    others = [entry for entry in result.strategies if entry is not closer and entry.limits]
    if others:
        with st.expander("What it cannot say of the others"):
            for entry in others:
                blocks.finding(entry.name)
                blocks.points(entry.limits, shown=len(entry.limits))


def _closer(entry: StrategyResult, result: Replay, again: str, window: str) -> None:
    """One strategy: where its saving comes from, what its caches answer, how its quality was judged."""
    if entry.savings_pico and entry.priced_calls:
        stages = " · ".join(f"{stage} {money(dollars(part))}" for stage, part in entry.savings_pico.items())
        over = f" saved in {counted(len(result.daily), 'day')}" if result.daily else ""
        blocks.finding(f"Where the {money(dollars(entry.baseline_pico - entry.cost_pico))}{over} come from: {stages}")
        blocks.picture(
            daily_charts.waterfall(document_views.savings_steps(entry)), "savings",
            alt=f"From {money(dollars(entry.baseline_pico))} logged to {money(dollars(entry.cost_pico))}: {stages}",
            caption=f"Savings of {entry.name} by stage · {window} · run {entry.run_id}",
        )  # fmt: skip
    if entry.demand and any(entry.tier_hits.values()):
        blocks.finding(f"Caches answer {share(entry.hit_rate)} of the calls")
        tiers = {name: [hits / entry.demand] for name, hits in entry.tier_hits.items()}
        blocks.picture(
            detail_charts.hit_bars([entry.name], tiers, dict(zip(tiers, reversed(HUES), strict=False))), "hits",
            alt="; ".join(f"{name}: {hits:,} hits" for name, hits in entry.tier_hits.items()),
        )  # fmt: skip
    with st.expander("How quality was judged, and how to run this again"):
        blocks.lead(strategy_tables.evidence(entry))
        blocks.note(f"Run id {entry.run_id}: same log, prices and strategy give the same figures.")
        if again:
            blocks.command(again)


def take(entry: strategy_files.Entry) -> None:
    """Open the Strategies page with a strategy in its editor, chosen and run."""
    st.switch_page(
        st.session_state["pages"]["strategies"],
        query_params={"edit": strategy_files.packed(entry.text), "strategies": entry.name},
    )


def _edited() -> strategy_files.Entry | None:
    """The strategy that is being written: of the address where it names one, else as it was left."""
    code = st.query_params.get(EDIT)
    if code is not None and code != st.session_state.get(
        "edit-code"
    ):  # a shared address, or a page that hands one over
        text = strategy_files.unpacked(code)
        if text is None:
            blocks.note("The address names an edited strategy that cannot be read.", warn=True)
            return None
        st.session_state["edit-code"], st.session_state["edited-text"] = code, text
        st.session_state["editor"] = text
    text = st.session_state.get("edited-text")
    return None if text is None else strategy_files.check(text, "edited.yaml")


def _keep(text: str | None) -> None:
    """Remember what is being written, in the address too where it is short enough; None: nothing is."""
    code = None if text is None else strategy_files.packed(text)
    st.session_state["edited-text"], st.session_state["edit-code"] = text, code
    if code is None or len(code) > strategy_files.ADDRESS:
        st.query_params.pop(EDIT, None)
    elif st.query_params.get(EDIT) != code:
        st.query_params[EDIT] = code


def _editor(
    view: View,
    entries: dict[str, strategy_files.Entry],
    edited: strategy_files.Entry | None,
    result: Replay | None,
    cold: bool,
) -> None:
    """Edit a copy, read what is wrong with it, run it and read its effect beside it, save it."""
    with st.expander("Edit a strategy, or write one", expanded=edited is not None):
        files = [name for name, entry in entries.items() if entry is not edited]
        looked_at = st.session_state.get("closer")
        if edited is not None and "start-from" not in st.session_state:
            made_from = edited.name.removesuffix(EDITED)
            st.session_state["start-from"] = made_from if made_from in files else files[0]
        if looked_at in files and edited is None and looked_at != st.session_state.get("looked-at"):
            st.session_state["start-from"] = looked_at
            st.session_state.pop("editor", None)
        st.session_state["looked-at"] = looked_at
        source = st.selectbox(
            "Start from", files, key="start-from", on_change=_start_over, persist_state="session",
            help="The copy is yours; the file stays as it is",
        )  # fmt: skip
        if source is None:
            return
        before = entries[source].text
        if "editor" not in st.session_state:
            st.session_state["editor"] = edited.text if edited else _copy_of(entries[source])
        left, right = st.columns([3, 2], gap="medium")
        with left:
            after = st.text_area(
                "YAML", height=340, key="editor", help="As in docs/strategies.md; checked when you leave the field"
            )
        entry = strategy_files.check(after or "", "edited.yaml")
        same = not strategy_files.difference(_copy_of(entries[source]), after or "")
        _keep(None if same and edited is None else after)
        with right:
            if entry.problem:
                st.error("This is not a strategy yet")
                blocks.log_text(entry.problem)
                return
            _effect(view, entries[source], entry, result, cold)
        changed = strategy_files.difference(before, after or "")
        st.code(changed or "No change yet.", language="diff")
        if st.session_state.get("edit-code") and len(st.session_state["edit-code"]) > strategy_files.ADDRESS:
            blocks.note("Too long for the address: save it, or it is lost with this window.", warn=True)
        elif not same:
            blocks.note("Not saved to a file; the address of this page holds it.")
        if st.button("Save to ./strategies", help="A file of the folder that the dashboard was started in"):
            blocks.note(f"Saved as {strategy_files.save(entry)}.")


def _start_over() -> None:
    """Another file is copied: what was written before is gone, from the address too."""
    st.session_state.pop("editor", None)
    _keep(None)


def _copy_of(entry: strategy_files.Entry) -> str:
    """The text under a name of its own."""
    return strategy_files.rename(entry, f"{entry.name}{EDITED}").text if entry.strategy else entry.text


def _effect(
    view: View, source: strategy_files.Entry, entry: strategy_files.Entry, result: Replay | None, cold: bool
) -> None:
    """What the edited strategy would have cost beside the one that it was made from, where both were run."""
    assert entry.strategy is not None
    runs = {
        one.name: results_cache.get(("replayed", *view.key, _key(one.strategy, view.since, view.until, cold)))
        for one in (source, entry)
        if one.strategy
    }
    mine, other = runs.get(entry.name), runs.get(source.name)
    if mine is None:
        blocks.finding(f"{entry.name}: not run yet")
        blocks.lead("Run it, and its effect stands here; the picture and the table above show it beside the others.")
        st.button("Run it", type="primary", on_click=_add, args=(entry.name, entry.text))
        return
    (one,) = mine.strategies
    blocks.finding(sentence(one))
    row = [Kpi("USD a day", money(one.per_day()), f"logged {money(one.logged_per_day())}"),
           Kpi("Saved", share(one.saved_share), verdict(one))]  # fmt: skip
    if other is not None and source.name != "logged":
        (than,) = other.strategies
        now, then = one.per_day(), than.per_day()
        if now is not None and then is not None:
            row.append(Kpi(f"Against {source.name}", f"{money(now - then, sign=True)} a day", f"{money(then)} there"))
    blocks.kpis(row)
    if result is None or entry.name not in [found.name for found in result.strategies]:
        st.button("Show it above", on_click=_add, args=(entry.name, entry.text))


def _add(name: str, text: str) -> None:
    _keep(text)
    st.session_state["strategies"] = [*(n for n in st.session_state.get("strategies", []) if n != name), name]
