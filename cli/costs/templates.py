"""`hindcast templates` and `hindcast duplicates`: what the prompts have in common, and which were asked before."""

from __future__ import annotations

from typing import Annotated, Any

import typer

from cli.terminal.options import Since, Until, Where, store_in_window
from cli.terminal.output import JsonOption, StoreOption, emit_json, note, say, table

SHOWN = 15


def register(app: typer.Typer) -> None:
    app.command()(templates)
    app.command()(duplicates)


def templates(
    store: StoreOption = "hindcast.duckdb",
    since: Since = None,
    until: Until = None,
    where: Where = None,
    every: Annotated[bool, typer.Option("--all", help="Show every template.")] = False,
    json: JsonOption = False,
) -> None:
    """List the prompt templates: cost, what varies, when they changed.

    Example: hindcast templates --since 2024-03-01
    """
    from analysis import formatting
    from analysis.reports.prompt_templates import templates as find

    held = store_in_window(store, where, since, until, as_json=json)
    report = find(held, since=since, until=until)
    if json:
        emit_json(report.to_json())
        return
    changed = sum(len(t.versions) > 1 for t in report.templates)
    found, calls = formatting.count(len(report.templates), "template"), formatting.count(report.calls, "call")
    say(f"{found} in {calls}; {changed:,} of them changed.")
    say()
    shown = report.templates if every else report.templates[:SHOWN]
    rows = []
    for t in shown:
        newest = t.versions[-1]
        tokens = None if newest.input_tokens is None else round(newest.input_tokens)
        rows.append(
            [
                " / ".join(part for part in (t.agent, t.task) if part) or "-", t.opening[:26], f"{t.calls:,}",
                formatting.money(t.cost_usd), formatting.tokens(tokens), f"{newest.static_lines:,}",
                f"{newest.slots:.1f}",
                str(len(t.versions)), newest.first.isoformat() if len(t.versions) > 1 else "-",
            ]
        )  # fmt: skip
    headers = ["where", "opens with", "calls", "cost", "tokens/call", "static lines", "slots", "versions", "changed"]
    table(headers, rows, left=(0, 1), optional=(1, 8, 7, 6))
    if len(shown) < len(report.templates):
        note(f"{formatting.count(len(report.templates) - len(shown), 'more template')}: --all")
    unpriced = sum(v.unpriced_calls for t in report.templates for v in t.versions)
    if unpriced:
        say(f"Unpriced, in no figure above: {formatting.count(unpriced, 'call')}.")
    if report.calls_without_messages:
        say(f"Without messages and so without a template: {formatting.count(report.calls_without_messages, 'call')}.")
    say()
    say("Next: hindcast duplicates   ·   hindcast diagnose")


def duplicates(
    store: StoreOption = "hindcast.duckdb",
    since: Since = None,
    until: Until = None,
    where: Where = None,
    near: Annotated[bool, typer.Option("--near/--no-near", help="Also requests that are almost the same.")] = True,
    json: JsonOption = False,
) -> None:
    """List repeated requests, and what the repeats cost.

    It also says whether their answers were the same.

    Example: hindcast duplicates --since 2024-03-01
    """
    from analysis import formatting
    from analysis.reports.duplicate_requests import RepeatedRequests
    from analysis.reports.duplicate_requests import duplicates as find

    held = store_in_window(store, where, since, until, as_json=json)
    report = find(held, since=since, until=until, near=near)
    if json:
        emit_json(report.to_json())
        return

    def total(rows: list[RepeatedRequests]) -> Any:
        priced = [r.cost_usd for r in rows if r.cost_usd is not None]
        return sum(priced) if priced else None

    repeats = sum(r.repeats for r in report.exact)
    cost = total(report.exact)
    daily = None if cost is None else cost / max(report.days, 1)
    say(
        f"{repeats:,} of {formatting.count(report.calls, 'call')} {'repeats' if repeats == 1 else 'repeat'} an earlier "
        f"request word for word: "
        f"{formatting.money(cost)}, {formatting.money(daily)} a day."
    )
    groups, same = sum(r.groups for r in report.exact), sum(r.same_answer for r in report.exact)
    answered = sum(r.answered for r in report.exact)
    requests = formatting.count(groups, "repeated request")
    say(
        f"Of {requests}, {same:,} always got the same answer "
        f"({answered:,} {'has' if answered == 1 else 'have'} all answers logged)."
    )
    say()
    for title, found in (("exact", report.exact), ("near", report.near)):
        if found:
            table(
                [title, "requests", "repeats", "cost", "per day", "same answer"],
                [
                    [
                        " / ".join(part for part in (r.agent, r.task) if part) or "-", f"{r.groups:,}",
                        f"{r.repeats:,}", formatting.money(r.cost_usd), formatting.money(r.cost_per_day),
                        f"{r.same_answer:,} of {r.answered:,}",
                    ]
                    for r in found[:SHOWN]
                ],
                optional=(4, 1),
            )  # fmt: skip
            say()
    unpriced = sum(r.unpriced for r in (*report.exact, *report.near))
    if unpriced:
        say(f"Unpriced, in no figure above: {formatting.count(unpriced, 'repeat')}.")
    say("Next: hindcast cache curve   ·   hindcast replay")
