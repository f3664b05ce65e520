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
from dashboard.documents import document_views, evidence_tables
from dashboard.render import daily_charts, detail_charts
from dashboard.render.palette import HUES
from dashboard.widgets import blocks, page_frame, progress
from dashboard.widgets.page_frame import View
from replay.advice.recommend import recommended
from replay.advice.result_in_words import sentence
from replay.engine.run import Replay, StrategyResult
from replay.strategy.schema import Strategy


def show() -> None:
    """Draw the page."""
    view = page_frame.view()
    if not view.coverage.days:
        blocks.nothing("No call has a time", "Traffic is replayed in time order: give the log's time in the mapping.")
        return
    entries = {entry.name: entry for entry in strategy_files.entries()}
    if edited := st.session_state.get("edited"):
        entries[edited.name] = edited
    newest = results_cache.diagnosis(*view.key, None)
    since, until = view.since, view.until
    with st.sidebar:
        cold = st.toggle("Start with empty caches", key="cold", bind="query-params",
                         help="Otherwise caches are warm from all earlier calls in the store")  # fmt: skip
    answer = st.container()
    staged = [name for name, entry in entries.items() if entry.strategy and entry.strategy.stages()]
    chosen = st.multiselect(
        "Strategies", [name for name, entry in entries.items() if entry.strategy], key="strategies",
        default=None if "strategies" in st.session_state else staged,
        bind="query-params", help="Files that come with Hindcast and those of ./strategies",
    )  # fmt: skip
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
    _editor(entries)


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
    colours = evidence_tables.strategy_colours(result)
    costs = document_views.day_costs(results_cache.cost(*view.key, ("day",), None, None))
    lines = evidence_tables.trajectories(costs, view.coverage.whole_days, result, colours)
    blocks.picture(
        daily_charts.comparison(
            lines, spike=document_views.stands_out_since(newest), annotations=view.coverage.annotations
        ),
        "strategies",
        alt="Daily cost in USD as logged, and under each strategy: "
        + "; ".join(f"{entry.name} {money(entry.per_day())} a day" for entry in result.strategies),
    )
    if any(line.dashed for line in lines):
        blocks.note("Dotted: quality falls below the floor, or the log cannot say. Bands: where the cost is a range.")
    blocks.table(evidence_tables.comparison(result, colours), "strategies")
    names = [entry.name for entry in result.strategies]
    name = st.selectbox("Look closer at", names, index=names.index(best.name), key="closer", bind="query-params")
    closer = next(entry for entry in result.strategies if entry.name == name)
    _closer(closer, result, again.get(closer.name, ""))
    _limits(closer, result)


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


def _closer(entry: StrategyResult, result: Replay, again: str) -> None:
    """One strategy: where its saving comes from, what its caches answer, how its quality was judged."""
    if entry.savings_pico and entry.priced_calls:
        stages = " · ".join(f"{stage} {money(dollars(part))}" for stage, part in entry.savings_pico.items())
        over = f" saved in {counted(len(result.daily), 'day')}" if result.daily else ""
        blocks.finding(f"Where the {money(dollars(entry.baseline_pico - entry.cost_pico))}{over} come from: {stages}")
        blocks.picture(
            daily_charts.waterfall(document_views.savings_steps(entry)), "savings",
            alt=f"From {money(dollars(entry.baseline_pico))} logged to {money(dollars(entry.cost_pico))}: {stages}",
        )  # fmt: skip
    if entry.tier_hits and entry.demand:
        blocks.finding(f"Caches answer {share(entry.hit_rate)} of the calls")
        tiers = {name: [hits / entry.demand] for name, hits in entry.tier_hits.items()}
        blocks.picture(
            detail_charts.hit_bars([entry.name], tiers, dict(zip(tiers, reversed(HUES), strict=False))), "hits",
            alt="; ".join(f"{name}: {hits:,} hits" for name, hits in entry.tier_hits.items()),
        )  # fmt: skip
    with st.expander("How quality was judged, and how to run this again"):
        blocks.lead(evidence_tables.evidence(entry))
        blocks.note(f"Run id {entry.run_id}: same log, prices and strategy give the same figures.")
        if again:
            blocks.command(again)


def _editor(entries: dict[str, strategy_files.Entry]) -> None:
    """Edit a copy, read what is wrong with it, run it, save it."""
    with st.expander("Edit a strategy, or write one"):
        names = list(entries)
        source = st.selectbox("Start from", names, key="start-from", help="The copy is yours; the file stays as it is")
        if source is None:
            return
        before = entries[source].text
        after = st.text_area("YAML", value=before, height=320, key=f"text-{source}", help="As in docs/strategies.md")
        entry = strategy_files.check(after or "", f"{source}.yaml")
        if entry.problem:
            st.error("This is not a strategy yet")
            blocks.log_text(entry.problem)
            return
        changed = strategy_files.difference(before, after or "")
        if not changed:
            blocks.note("No change yet.")
            return
        st.code(changed, language="diff")
        name = st.text_input("Name of the copy", value=f"{entry.name} edited", key=f"name-{source}", max_chars=80)
        copy = strategy_files.rename(entry, name)
        left, right = st.columns(2)
        left.button("Run it", type="primary", on_click=_add, args=(copy,))
        if right.button("Save to ./strategies", help="The only thing besides feedback that this dashboard writes"):
            blocks.note(f"Saved as {strategy_files.save(copy)}.")


def _add(copy: strategy_files.Entry) -> None:
    st.session_state["edited"] = copy
    st.session_state["strategies"] = [*(n for n in st.session_state["strategies"] if n != copy.name), copy.name]
