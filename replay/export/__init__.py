"""Strategies as configuration files of the routers that teams run: exact where expressible, the rest listed.

Each module has `export(strategy, known) -> Exported` and `decide(document, call) -> model or None`, an interpreter of
that router's schema: the decisions of the file can be checked against the strategy's own, call by call.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

import numpy as np
import polars as pl

from ingest.store.database import Store
from replay.stages import rule_evaluation
from replay.strategy import conditions
from replay.strategy.rollout_schema import Rollout
from replay.strategy.schema import Strategy
from replay.traffic.load_traffic import load

COLUMNS = tuple(name for name in conditions.COLUMNS if name not in ("text", "online", "turn", "day", "template"))
"""What a logged call is checked with, beside the columns that the strategy's rules look at."""


@dataclass(frozen=True)
class Known:
    """What the log knows: the values of each text column, the (agent, task) pairs, the provider of each model."""

    values: Mapping[str, Sequence[str]] = field(default_factory=dict)
    pairs: Sequence[tuple[str | None, str | None]] = ()
    providers: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Exported:
    """The file's text and document, and what of the strategy it does not hold."""

    text: str
    document: Any
    dropped: tuple[str, ...]  # rules that the router cannot express, each with the reason
    notes: tuple[str, ...] = ()


class Router(Protocol):
    """One target of `hindcast export`."""

    def export(self, strategy: Strategy, known: Known) -> Exported:
        """The router's configuration that does what the strategy does, and what it cannot express."""
        ...

    def decide(self, document: Any, call: Mapping[str, Any]) -> str | None:
        """The model that the router would send the call to; None where the configuration leaves it."""
        ...


@dataclass(frozen=True)
class Check:
    """The exported file's decisions beside the strategy's own on logged calls."""

    calls: int
    same: int
    examples: tuple[str, ...]


def holdback(strategy: Strategy) -> Rollout | None:
    """The strategy's rollout block, where it holds anyone back."""
    return strategy.rollout if strategy.rollout and strategy.rollout.share < 1 else None


def arm_note(rollout: Rollout, how: str) -> str:
    """How callers tell the router who is held back."""
    return (
        f"who is held back is the caller's to say: {how} for a {rollout.unit} whose sha256('{rollout.seed}:<its id>'),"
        f" first 8 bytes as a number, is not below {rollout.share:g} x 2^64, and log it as arm"
    )


def known_of(store: Store) -> Known:
    """The values, pairs and providers of a store's calls."""
    columns = [name for name, kind in conditions.COLUMNS.items() if kind == "text" and name in COLUMNS]
    values = {}
    with store.read() as con:
        for name in columns:
            found = con.execute(
                f"SELECT DISTINCT {name} FROM calls WHERE {name} IS NOT NULL ORDER BY 1 LIMIT 1000"
            ).fetchall()
            values[name] = [str(row[0]) for row in found]
        pairs = con.execute("SELECT DISTINCT agent, task FROM calls ORDER BY 1, 2 LIMIT 5000").fetchall()
        providers = con.execute(
            """SELECT model, min(provider_name) FROM calls
                WHERE model IS NOT NULL AND provider_name IS NOT NULL GROUP BY 1"""
        ).fetchall()
    return Known(values, [(row[0], row[1]) for row in pairs], {row[0]: row[1] for row in providers})


def check(strategy: Strategy, exported: Exported, router: Router, calls: pl.DataFrame) -> Check:
    """Run the interpreter and the strategy's rules over the same calls (columns of rules.COLUMNS)."""
    names = rule_evaluation.targets(strategy)
    own = [names[i] if i >= 0 else None for i in rule_evaluation.route(strategy, calls).tolist()]
    examples: list[str] = []
    same = 0
    for expected, call in zip(own, calls.iter_rows(named=True), strict=True):
        found = router.decide(exported.document, call)
        if _moves(found, call) == _moves(expected, call):
            same += 1
        elif len(examples) < 3:
            examples.append(f"agent {call.get('agent')}, task {call.get('task')}: {found} instead of {expected}")
    return Check(len(own), same, tuple(examples))


def _moves(model: str | None, call: Mapping[str, Any]) -> str | None:
    """A route to the model that the call had is no move."""
    return None if model == call.get("model") else model


def sample(store: Store, count: int = 1000, seed: int = 0, strategy: Strategy | None = None) -> pl.DataFrame:
    """Up to `count` logged calls with the columns that the rules look at, drawn without replacement."""
    used = rule_evaluation.columns(strategy) if strategy else []
    frame = load(store).rule_frame(list(dict.fromkeys((*COLUMNS, *used))))
    if frame.height > count:
        chosen = np.sort(np.random.default_rng(seed).choice(frame.height, count, replace=False))
        frame = frame[chosen]
    return frame
