"""Names of a strategy file that match nothing in the log: rules, models, tasks, each with the nearest right name."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase
from functools import partial
from typing import Any, Final

import numpy as np
import sqlglot
from numpy.typing import NDArray
from sqlglot import expressions as sql

from analysis.price_book import vocabulary
from analysis.pricing.rate_table import Usage
from analysis.pricing.stored_overrides import near_models
from ingest.errors import nearest
from ingest.store.database import Store
from replay.engine.engine import Engine
from replay.stages import rule_evaluation
from replay.stages.routing import named_models
from replay.strategy.conditions import COLUMNS, DIALECT
from replay.strategy.fields import Selection
from replay.strategy.schema import Strategy
from replay.traffic.load_traffic import load
from replay.traffic.traffic import Traffic

Bools = NDArray[np.bool_]

SHOWN: Final = 5  # names of the log that are listed where none is near
_LONG: Final = ("text", "conversation_id", "user_id")  # columns whose values are no names


@dataclass(frozen=True)
class Unmatched:
    """A part of the file that matches nothing: `where` it stands, `why`, and what may have been meant."""

    where: str
    why: str
    hint: str = ""

    @property
    def words(self) -> str:
        """The place, the reason and the hint in one sentence."""
        return f"{self.where} {self.why}" + (f"; {self.hint}" if self.hint else "")

    def to_json(self) -> dict[str, str]:
        return {"where": self.where, "why": self.why, "hint": self.hint}


def unmatched(strategy: Strategy, traffic: Traffic, priced: Callable[[str], bool]) -> tuple[Unmatched, ...]:
    """What matches no call of the window. `priced`: whether a model of this name has a price."""
    found = [*_rules(strategy, traffic), *_names(strategy, traffic), *_models(strategy, traffic, priced)]
    return tuple(dict.fromkeys(found))


def unmatched_in(store: Store, strategies: Sequence[Strategy]) -> list[tuple[Unmatched, ...]]:
    """What of each strategy matches nothing in the whole log."""
    traffic = load(store)
    found = []
    for strategy in strategies:
        engine = Engine(traffic, strategy)
        found.append(unmatched(strategy, traffic, partial(priced, engine)))
    return found


def priced(engine: Engine, name: str) -> bool:
    """Whether a model that the engine's strategy names has a price on the last day of the window."""
    when = engine.traffic.start_ms[engine.traffic.window]
    one = np.ones(1, np.int64)
    usage = Usage(
        model=np.array([engine.index_of(name)], np.int32),
        start_ms=one * int(when[-1] if len(when) else vocabulary.NO_TIME),
        input=one * 1000,
        output=one * 1000,
    )
    return int(engine.rates.price(usage).total[0]) != vocabulary.UNPRICED


def _rules(strategy: Strategy, traffic: Traffic) -> Iterator[Unmatched]:
    groups: list[tuple[str, Sequence[Selection]]] = [
        ("rule", strategy.route),
        ("batch", strategy.batch),
        ("compress", strategy.compress),
        ("cache.skip", strategy.cache.skip if strategy.cache else ()),
    ]
    for label, parts in groups:
        taken: Bools | None = None
        for number, part in enumerate(parts):
            where = f"{label} {number + 1} ({described(part)})"
            masks = _matching(traffic, [part])
            mine = masks[0]
            if not mine.any():
                if part.match or part.when:
                    yield Unmatched(where, "matches no call", _meant(part, traffic))
            elif label == "rule":
                taken = np.zeros_like(mine) if taken is None else taken
                if not (mine & ~taken).any():
                    yield Unmatched(where, "decides nothing: rules before it take all of its calls")
            if label == "rule":
                taken = mine if taken is None else taken | mine


def _matching(traffic: Traffic, parts: Sequence[Selection]) -> list[Bools]:
    """Which calls of the window each part selects; combinations of values stand for calls where there are few."""
    columns = rule_evaluation.columns_of(parts)
    distinct = traffic.columns.distinct(columns) if columns else None
    if distinct is None:
        return [mask & traffic.window for mask in rule_evaluation.masks(parts, traffic.rule_frame(columns))]
    number, frame = distinct
    return [mask[number] & traffic.window for mask in rule_evaluation.masks(parts, frame)]


def described(part: Selection) -> str:
    """A selection in short, as its file has it."""
    pairs = [f"{name}: {_short(wanted)}" for name, wanted in (part.match or {}).items()]
    text = ", ".join([*pairs, *([part.when] if part.when else [])]) or "every call"
    return text if len(text) <= 100 else f"{text[:97]}..."


def _short(wanted: Any) -> str:
    if isinstance(wanted, dict):
        return " ".join(f"{operator} {_short(value)}" for operator, value in wanted.items())
    return ", ".join(map(str, wanted)) if isinstance(wanted, list) else str(wanted)


def _meant(part: Selection, traffic: Traffic) -> str:
    """The first condition that no call meets by itself, with the nearest value that calls have."""
    for column, value in _texts(part):
        if column in _LONG or COLUMNS.get(column) != "text":
            continue
        if _matching(traffic, [Selection(match={column: value})])[0].any():
            continue
        held = _values(traffic, column)
        return f"no call has {column} {value}; {_near(value, held)}" if held else f"no call has a {column}"
    alone = [
        name for name, wanted in (part.match or {}).items()
        if not _matching(traffic, [Selection(match={name: wanted})])[0].any()
    ]  # fmt: skip
    if alone:
        return f"no call meets its condition on {alone[0]}"
    return "no call meets all of its conditions" if len(part.match or {}) + bool(part.when) > 1 else ""


def _texts(part: Selection) -> Iterator[tuple[str, str]]:
    """(column, value) of the values that a selection compares names with."""
    for column, wanted in (part.match or {}).items():
        plain = wanted.get("eq") if isinstance(wanted, dict) else wanted
        for value in plain if isinstance(plain, list) else [plain]:
            if isinstance(value, str):
                yield column, value
    if part.when:
        for node in sqlglot.parse_one(part.when, dialect=DIALECT).find_all(sql.EQ, sql.In):
            column = node.this
            values = node.expressions if isinstance(node, sql.In) else [node.expression]
            for value in values:
                if isinstance(column, sql.Column) and isinstance(value, sql.Literal) and value.is_string:
                    yield column.name, str(value.this)


def _values(traffic: Traffic, column: str) -> list[str]:
    """The values of a text column in the window, most frequent first."""
    series = traffic.rule_frame([column])[column].filter(traffic.window).drop_nulls()
    counts = series.cast(str).value_counts(sort=True)
    return [str(value) for value in counts[series.name].to_list()]


def _near(name: str, known: Sequence[str]) -> str:
    near = nearest(name.strip("*?"), known) or nearest(name, known)
    if near is None:  # `summar*` may be meant for `web_summary`
        part = name.strip("*?").lower()
        near = next((one for one in known if len(part) > 2 and part in one.lower()), None)
    if near is not None:
        return f"did you mean {near}?"
    if len(known) == 1:
        return f"the only one is {known[0]}"
    more = f" and {len(known) - SHOWN} more" if len(known) > SHOWN else ""
    return f"there are {', '.join(known[:SHOWN])}{more}"


def _names(strategy: Strategy, traffic: Traffic) -> Iterator[Unmatched]:
    """Tasks of tables and floors that no call has."""
    tasks = [name for name in traffic.tasks if name is not None]
    quality = strategy.quality
    told = [
        *(("quality.per_task", task) for task in quality.per_task),
        *(("quality.table", row.task) for row in quality.table),
        *(("quality.priors", use.task) for use in quality.priors),
        *(("output_ratio", row.task) for row in strategy.output_ratio),
        *(("rework", row.task) for row in strategy.rework),
    ]
    for where, pattern in told:
        if pattern is not None and not any(fnmatchcase(task.lower(), pattern.lower()) for task in tasks):
            hint = _near(pattern, tasks) if tasks else "no call has a task"
            yield Unmatched(f"{where} ({pattern})", "matches no task", hint)


def _models(strategy: Strategy, traffic: Traffic, priced: Callable[[str], bool]) -> Iterator[Unmatched]:
    """Models without a price, and models in tables that no rule and no call names."""
    named = named_models(strategy)
    for name in named:
        if not priced(name):
            yield Unmatched(f"model {name}", "has no price", near_models(name))
    known = [*named, *(name for _, name in traffic.models if name is not None)]
    rows = [("quality.table", row.model) for row in strategy.quality.table]
    rows += [("output_ratio", row.model) for row in strategy.output_ratio]
    rows += [("rework", row.model) for row in strategy.rework]
    for where, pattern in rows:
        if pattern is not None and not any(fnmatchcase(name.lower(), pattern.lower()) for name in known):
            yield Unmatched(f"{where} ({pattern})", "names no model of the rules or the log", _near(pattern, known))
