"""`hindcast cache`: what caches would have done with the logged traffic, and why near-identical prompts miss."""

from __future__ import annotations

from datetime import date
from decimal import Decimal
from typing import TYPE_CHECKING, Annotated, Any

import typer

from cli.terminal.options import Since, Until, Where, between, choice, registry, store_in_window
from cli.terminal.output import DEFAULT_STORE, JsonOption, StoreOption, emit_json, note, progress, say, table

if TYPE_CHECKING:
    from ingest.store.database import Store
    from replay.response_cache.curve_report import CurveReport
    from replay.response_cache.curves import Curve
    from replay.response_cache.grid import Cell
    from replay.response_cache.lookups import Demand
    from replay.traffic.traffic import Traffic

cache = typer.Typer(help="Simulate response caches, and explain misses.", no_args_is_help=True)
Key = Annotated[
    str,
    choice(
        "--key",
        registry("replay.traffic.traffic", "KEY_POLICIES"),
        "What counts as the same request: canonical, canonical+mask, litellm, helicone or portkey.",
    ),
]
Temperature = Annotated[
    str,
    choice(
        "--temperature",
        ("always", "zero", "pool"),
        "Calls with a temperature above 0: cached 'always', never ('zero'), or as a 'pool' of 4 answers.",
    ),
]
Tenant = Annotated[str | None, choice("--tenant", ("user_id", "team"), "Part of the key: user_id or team.")]
STACKS = ("shared", "process", "two")
LONGEST_MS = 36_525 * 86_400_000  # a century


def register(app: typer.Typer) -> None:
    """Add the group."""
    app.add_typer(cache, name="cache")


@cache.command()
def curve(
    since: Since = None,
    until: Until = None,
    where: Where = None,
    key: Key = "canonical",
    temperature: Temperature = "always",
    tenant: Tenant = None,
    sample: Annotated[
        float | None,
        typer.Option(
            callback=between(0.0001, 0.25), help="Share of the keys that the capacities are estimated from, 4 times."
        ),
    ] = None,
    store: StoreOption = DEFAULT_STORE,
    as_json: JsonOption = False,
) -> None:
    """Hit rate and savings of a cache by TTL, capacity and key policy.

    Example: hindcast cache curve --since 2024-03-05
    """
    from replay.response_cache.curve_report import curve_report

    held = store_in_window(store, where, since, until, as_json=as_json)
    report = curve_report(
        held,
        since=since,
        until=until,
        key=key,
        temperature=temperature,
        tenant=tenant,
        sample=sample,
    )
    if as_json:
        emit_json(report.to_json())
    else:
        _show_curves(report)


def _show_curves(report: CurveReport) -> None:
    from analysis.formatting import count, share
    from replay.response_cache.curve_report import duration_label

    traffic, asks, by_ttl, by_room, keys = (
        report.traffic, report.demand, report.by_ttl, report.by_capacity, report.keys,
    )  # fmt: skip
    sample = report.capacity_sample
    if not by_ttl.asked:
        say(report.summary)
        return
    say(report.summary, style="bold")
    say()
    rows = [
        [
            duration_label(int(ttl)),
            f"{by_ttl.hits[number]:,}",
            _rate(by_ttl, number),
            _per_day(by_ttl.saved[number], asks),
        ]
        for number, ttl in enumerate(by_ttl.at)
    ]
    table(["time to live", "hits", "hit rate", "saved/day"], rows)
    say()
    rows = [
        [
            f"{by_room.at[n]:,}",
            f"{by_room.hits[n]:,}",
            _rate(by_room, n),
            *([f"{100 * by_room.error[n]:.1f}"] if by_room.error is not None else []),
            _per_day(by_room.saved[n], asks),
        ]
        for n in report.capacities
    ]
    table(["LRU entries", "hits", "hit rate", *(["± points"] if sample else []), "saved/day"], rows)
    if sample:
        say(f"Estimated from 4 samples of {share(sample)} of the keys each; ± is one standard error of their mean.")
    if (asks.requests.end_ms > asks.requests.start_ms).any():
        say("The curves assume zero latency; the table below uses logged durations.")
    say()
    rows = [
        [one.name, f"{one.hits:,}", share(one.hit_rate), _per_day(one.saved, asks), share(one.repeats.false_share)]
        for one in keys
    ]
    table(["key policy", "hits", "hit rate", "saved/day", "repeats answered differently"], rows)
    _under(traffic, asks)
    risk = keys[0].repeats
    if risk.groups_compared:
        say(
            f"Of {count(risk.groups_compared, 'request')} asked again with their answers logged, "
            f"{risk.groups_one_answer:,} always got the same one; elsewhere a cache freezes the first."
        )
    say("Next: hindcast cache grid   ·   hindcast cache doctor")


@cache.command()
def grid(
    ttl: Annotated[str, typer.Option(help="Times to live, such as 5m,1h,24h,never.")] = "5m,15m,1h,4h,24h,7d,never",
    entries: Annotated[str, typer.Option(help="Capacities in entries, or 'all'.")] = "100,1000,10000,100000,all",
    policy: Annotated[
        str,
        choice(
            "--policy",
            registry("replay.response_cache.simulate", "POLICIES"),
            "Eviction: lru, fifo, sieve, lfu, s3fifo, allkeys-lru, allkeys-lfu.",
            several=True,
        ),
    ] = "lru,sieve",
    tiers: Annotated[
        str, choice("--tiers", STACKS, "shared, process, two (process memory before shared).", several=True)
    ] = "shared,two",
    memory_usd: Annotated[
        float, typer.Option(callback=between(0, 1e9), help="Dollars for a GB of cache memory and month.")
    ] = 10.0,
    since: Since = None,
    until: Until = None,
    where: Where = None,
    key: Key = "canonical",
    temperature: Temperature = "always",
    tenant: Tenant = None,
    top: Annotated[int, typer.Option(min=1, help="Rows shown.")] = 15,
    store: StoreOption = DEFAULT_STORE,
    as_json: JsonOption = False,
) -> None:
    """Sweep TTL x capacity x policy x tiers for the best net saving.

    Net: after paying for the cache's memory.

    Example: hindcast cache grid --ttl 5m,1h,24h --entries 1000,10000
    """
    from replay.response_cache import grid as sweeps
    from replay.response_cache.curve_report import unpriced_calls

    held = store_in_window(store, where, since, until, as_json=as_json)
    traffic, asks = _load(held, since, until, key, temperature, tenant)
    stacks: list[Any] = [part.strip() for part in tiers.split(",")]
    chosen = sweeps.settings(
        [_parse_ttl(part) for part in ttl.split(",")],
        [None if part.strip() == "all" else _parse_count(part) for part in entries.split(",")],
        [part.strip() for part in policy.split(",")],
        stacks,
    )
    with progress("Simulating caches", unit="settings") as bar:
        bar.total(len(chosen))
        cells = sweeps.sweep(asks, chosen, done=lambda: bar.advance(1))
    price = Decimal(str(memory_usd))
    ranked = sorted(cells, key=lambda cell: (-cell.net_usd_per_day(asks.days, price), cell.memory_bytes))
    if as_json:
        emit_json(
            {
                "days": asks.days,
                "asked": int(asks.asked.sum()),
                "memory_usd_per_gb_month": str(price),
                "cells": [_cell(cell, asks, price) for cell in ranked],
                "unpriced_calls": unpriced_calls(traffic),
            }
        )
        return
    _show_grid(traffic, asks, ranked, price, top)


def _show_grid(traffic: Traffic, asks: Demand, ranked: list[Cell], price: Decimal, top: int) -> None:
    from analysis.formatting import count, money, share
    from replay.response_cache.curve_report import duration_label

    if not ranked or not ranked[0].asked:
        say("No call here can be looked up in a cache: the log has neither text nor hashes of its requests.")
        return
    first = ranked[0]
    say(
        f"Best after paying for memory: {_name(first)}: {share(first.hits / first.asked)} of calls served, "
        f"{money(first.net_usd_per_day(asks.days, price))} a day kept.",
        style="bold",
    )
    say()
    rows = [
        [
            cell.setting.stack,
            cell.setting.policy if cell.setting.entries else "-",
            duration_label(cell.setting.ttl_ms),
            f"{cell.setting.entries:,}" if cell.setting.entries else "all",
            share(cell.hits / cell.asked),
            _per_day(cell.saved, asks),
            f"{cell.memory_bytes / 10**6:,.1f} MB",
            money(cell.net_usd_per_day(asks.days, price)),
        ]
        for cell in ranked[:top]
    ]
    headers = ["tiers", "policy", "ttl", "entries", "hit rate", "saved/day", "memory", "net/day"]
    table(headers, rows, left=(0, 1), optional=(6,))
    if len(ranked) > top:
        say(f"{count(len(ranked) - top, 'more setting')} with --top {len(ranked)}.")
    _under(traffic, asks)
    say(f"Memory at ${price} a GB and month (--memory-usd), every answer held at its mean size.")
    say("Next: put the tiers into a strategy file and run hindcast replay")


# -- what the commands share -------------------------------------------------------------------------------------------


def _load(
    store: Store, since: date | None, until: date | None, key: str, temperature: str, tenant: str | None
) -> tuple[Traffic, Demand]:
    from replay.response_cache.curve_report import load_demand

    return load_demand(store, since=since, until=until, key=key, temperature=temperature, tenant=tenant)


def _parse_ttl(text: str) -> int | None:
    from ingest.errors import InputError

    text = text.strip()
    if text == "never":
        return None
    unit = {"s": 1000, "m": 60_000, "h": 3_600_000, "d": 86_400_000}.get(text[-1:])
    if unit is None or not text[:-1].isdigit() or int(text[:-1]) == 0:
        raise InputError(f"'{text}' is not a time to live", remedy="Write it as 30s, 5m, 24h, 7d or never.")
    if int(text[:-1]) * unit > LONGEST_MS:
        raise InputError(f"'{text}' is longer than a century", remedy="Write it as: never")
    return int(text[:-1]) * unit


def _parse_count(text: str) -> int:
    from ingest.errors import InputError

    digits = text.strip().replace("_", "")
    if not digits.isdigit() or not 0 < int(digits) < 10**12:
        raise InputError(f"'{text}' is not a number of entries", remedy="Write it as 1000, 10000 or all.")
    return int(digits)


def _name(cell: Cell) -> str:
    from analysis.formatting import count
    from replay.response_cache.curve_report import duration_label

    setting = cell.setting
    room = (
        f"{count(setting.entries, 'entry', 'entries')} by {setting.policy}"
        if setting.entries
        else "no limit of entries"
    )
    place = {"shared": "one shared cache", "process": "memory of each process", "two": "memory before a shared cache"}
    life = "without expiry" if setting.ttl_ms is None else f"{duration_label(setting.ttl_ms)} to live"
    return f"{place[setting.stack]}, {life}, {room}"


def _rate(curve: Curve, number: int) -> str:
    from analysis.formatting import share

    return share(int(curve.hits[number]) / curve.asked if curve.asked else None)


def _per_day(pico: Any, asks: Demand) -> str:
    from analysis.formatting import money

    return money(Decimal(int(pico)).scaleb(-12) / max(asks.days, 1))


def _usd(pico: Any) -> str | None:
    from analysis.formatting import usd

    return usd(Decimal(int(pico)).scaleb(-12))


def _cell(cell: Cell, asks: Demand, price: Decimal) -> dict[str, Any]:
    return {
        **vars(cell.setting),
        "hits": cell.hits,
        "hits_by_tier": list(cell.hits_by_tier),
        "hit_rate": cell.hits / cell.asked if cell.asked else None,
        "saved_usd": _usd(cell.saved),
        "memory_bytes": cell.memory_bytes,
        "net_usd_per_day": f"{cell.net_usd_per_day(asks.days, price):.6f}",
    }


def _under(traffic: Traffic, asks: Demand) -> None:
    """What the totals above do not hold."""
    keyless = int((asks.window & (asks.requests.key < 0)).sum())
    from analysis.formatting import count
    from replay.response_cache.curve_report import unpriced_calls

    for number, what in (
        (unpriced_calls(traffic), "without a price: hits count, dollars do not"),
        (keyless, "never looked up: no text, no hash, or excluded by --temperature"),
    ):
        if number:
            note(f"{count(number, 'call')} {what}")
