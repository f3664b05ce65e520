"""One case of the suite: a world with one cause, two or none, its store, and what each cause truly cost.

The truth comes from paired worlds that share every random number: the last day with and without each cause, billed at
the unit prices of the ledger itself. Two causes share what they did together as Shapley values of the four worlds.
"""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from analysis.ledger.ledger import update
from benchmarks.diagnosis.injections import (
    Injection,
    Shape,
    inject,
    overlap,
    rough_cost,
    scopes,
)
from benchmarks.diagnosis.world import MODELS, Place, World, billed, table, with_retries
from ingest.store.database import Store

# what a null case may look like a spike for; `plain` is any day
DECOYS = ("plain", "plain", "monday", "holiday", "growth", "offset")
KINDS = ("input", "read", "write", "output")


@dataclass(frozen=True)
class Case:
    """`usd[i]` is what cause i of `made` truly cost on the last day, `touched[i]` the agents' tasks where it changed
    any call of that day: of an agent with three tasks, a loop may have touched one."""

    world: World
    made: tuple[Injection, ...]
    store: Store
    usd: tuple[float, ...]
    total_usd: float  # of all causes together
    decoy: str = ""
    touched: tuple[frozenset[tuple[str, str]], ...] = ()


def blank_store(folder: Path) -> Path:
    """A store with the price book in it and no call, to copy: compiling the book for every case would take longer
    than the case."""
    path = folder / "blank.duckdb"
    if not path.exists():
        world = World.draw(0)
        few = {name: values[:1] for name, values in world.calls().items()}
        store = Store(path)
        _insert(store, table(world, few)[0])
        update(store)
        with store.write() as con:
            for name in ("calls", "ledger"):
                con.execute(f"DELETE FROM {name}")
    return path


def _insert(store: Store, columns: Any) -> None:
    with store.write() as con:
        con.register("columns_in", columns)
        con.execute("INSERT INTO calls BY NAME SELECT * FROM columns_in")
        con.unregister("columns_in")


def priced_store(folder: Path, world: World, calls: dict[str, Any], injections: Sequence[Injection]) -> Store:
    """The case as a store with its ledger. Calls marked `repriced` are billed by another price list."""
    path = folder / "case.duckdb"
    path.unlink(missing_ok=True)
    shutil.copy(blank_store(folder), path)
    extra = tuple(place for injection in injections for place in injection.places)
    columns, repriced = table(world, with_retries(calls), extra)
    store = Store(path)
    _insert(store, columns)
    update(store)
    moved = np.flatnonzero(repriced != 1)
    if len(moved):
        with store.write() as con:
            parts = ("uncached_input_usd", "cache_read_usd", "cache_write_usd", "output_usd", "reasoning_usd",
                     "other_usd")  # fmt: skip
            money = ", ".join(f"{c} = {c} * {float(repriced[moved[0]]):.6f}::DECIMAL(12,6)" for c in parts)
            con.execute(
                f"""UPDATE ledger SET price_id = price_id + 1000000, {money}
                    WHERE call_no IN (SELECT unnest(?::BIGINT[]))""",
                [moved.tolist()],
            )
            con.execute(f"UPDATE ledger SET cost_usd = {' + '.join(parts)} WHERE cost_usd IS NOT NULL")
    return store


def unit_prices(store: Store) -> Any:
    """Dollars per token, shape (models, batch or not, KINDS), as the ledger billed them at the list price."""
    prices = np.zeros((len(MODELS) + 1, 2, len(KINDS)))
    with store.read() as con:
        rows = con.execute(
            """SELECT model, is_batch,
                      sum(uncached_input_usd) / sum(input_tokens - cache_read_input_tokens
                          - cache_creation_input_tokens),
                      coalesce(sum(cache_read_usd) / nullif(sum(cache_read_input_tokens), 0), 0),
                      coalesce(sum(cache_write_usd) / nullif(sum(cache_creation_input_tokens), 0), 0),
                      sum(output_usd + reasoning_usd) / sum(output_tokens)
               FROM costs WHERE cost_usd IS NOT NULL AND price_id < 1000000 GROUP BY ALL"""
        ).fetchall()
    names = [name for _, name in MODELS]
    for model, batch, *values in rows:
        prices[names.index(model), int(batch)] = [float(value) for value in values]
    return prices


def last_day_usd(prices: Any, world: World, calls: dict[str, Any]) -> float:
    """What the last day of these calls costs at these unit prices, calls without usage at nothing."""
    c = with_retries({name: values[calls["day"] == world.days - 1] for name, values in calls.items()})
    bill = billed(c)
    each = prices[c["model"], c["batch"].astype(int)]
    fresh = bill["input"] - bill["read"] - bill["write"]
    amounts = np.stack([fresh, bill["read"], bill["write"], bill["output"]], axis=1)
    return float(((amounts * each).sum(axis=1) * c["repriced"] * ~c["missing"]).sum())


def changed(world: World, before: dict[str, Any], after: dict[str, Any], more: Sequence[Place]) -> frozenset[Any]:
    """The agents' tasks whose calls of the last day are not the same in both worlds."""
    places = [(place.agent, place.task) for place in (*world.places, *more)]
    sides: list[list[set[Any]]] = []
    for calls in (before, after):
        held: list[set[Any]] = [set() for _ in places]
        last = calls["day"] == world.days - 1
        names = sorted(set(calls) - {"place", "day"})
        for number, *row in zip(calls["place"][last], *(calls[name][last] for name in names), strict=True):
            held[number].add(tuple(row))
        sides.append(held)
    return frozenset(place for i, place in enumerate(places) if sides[0][i] != sides[1][i])


def case(folder: Path, seed: int, causes: Sequence[str], size: float) -> Case | None:
    """A world with one or two causes on its last day, each `size` times the day's cost; None where it has no place."""
    world = World.draw(seed)
    base = world.calls()
    want = size * float(rough_cost(base)[base["day"] == world.days - 1].sum())
    rng = np.random.default_rng([seed, 3])
    options = scopes(world, base)
    together = rng.random() < 0.5  # the second cause meets the first one's calls
    worlds: dict[frozenset[int], dict[str, Any]] = {frozenset(): base}
    made: list[Injection] = []
    for i, cause in enumerate(causes):
        shape = Shape.draw(cause, np.random.default_rng([seed, 4, i]))
        if i:
            near = {k: v for k, v in made[0].segment.items() if k != "user"}
            if "model" in near or made[0].places:
                together = False
            options = [s for s in options if overlap(world, near, s) == together] if made[0].segment else options
        got = inject(world, base, cause, want, [seed, 5, i], options=options, shape=shape)
        if got is None:
            return None
        worlds[frozenset([i])], injection = got
        made.append(injection)
        if i:
            first = worlds[frozenset([0])]
            both = inject(world, first, cause, want, [seed, 5, i], options=options, shape=shape)
            if both is None or both[1] != injection:
                return None
            worlds[frozenset([0, 1])] = both[0]
    store = priced_store(folder, world, worlds[frozenset(range(len(causes)))], made)
    prices = unit_prices(store)
    cost = {key: last_day_usd(prices, world, calls) for key, calls in worlds.items()}
    nothing, everything = cost[frozenset()], cost[frozenset(range(len(causes)))]
    if len(causes) == 1:
        usd: tuple[float, ...] = (everything - nothing,)
    else:
        one, two = cost[frozenset([0])], cost[frozenset([1])]
        usd = ((one - nothing + everything - two) / 2, (two - nothing + everything - one) / 2)
    touched = tuple(changed(world, base, worlds[frozenset([i])], injection.places) for i, injection in enumerate(made))
    return Case(world, tuple(made), store, usd, everything - nothing, touched=touched)


def null_case(folder: Path, seed: int) -> Case:
    """A world without a spike, which may look like one: a Monday, a holiday, planned growth, or two causes that cancel
    each other out."""
    world = World.draw(seed)
    decoy = DECOYS[seed % len(DECOYS)]
    if decoy == "monday":
        # what would have happened on the days cut off never did
        holiday, odd = (day if day < 29 else -1 for day in (world.holiday, world.odd))
        world = replace(world, days=29, holiday=holiday, odd=odd)
    elif decoy == "holiday":
        world = replace(world, holiday=world.days - 1)
    elif decoy == "growth":
        world = replace(world, growth=0.01)
    calls = world.calls()
    made: list[Injection] = []
    if decoy == "offset":
        want = 0.3 * float(rough_cost(calls)[calls["day"] == world.days - 1].sum())
        grown = inject(
            world, calls, "prompt_growth", want, [seed, 5], options=scopes(world, calls), shape=Shape("step")
        )
        if grown is not None:
            # what the prompts added goes away elsewhere: sessions that did not happen
            calls, injection = grown
            made.append(injection)
            other = (calls["day"] == world.days - 1) & (calls["version"] == 0)
            share = want / max(float(rough_cost(calls)[other].sum()), 1e-9)
            gone = other & (np.random.default_rng([seed, 7]).permutation(calls["session"].max() + 1)[calls["session"]]
                            < share * (calls["session"].max() + 1))  # fmt: skip
            calls = {name: values[~gone] for name, values in calls.items()}
    return Case(world, tuple(made), priced_store(folder, world, calls, made), (), 0.0, decoy)
