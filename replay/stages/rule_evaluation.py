"""Routing rules over a frame of calls: structured matches and boolean SQL expressions on an allow-list of columns.

A `match` is exact and case-insensitive, with globs (`summar*`), lists (any of) and bounds (`{lt: 500}`). A `when` is
a boolean SQL expression: sqlglot parses it, every node must be on the allow-list, and only the text that sqlglot
writes back from that tree reaches polars' `sql_expr`, never the user's. A missing value satisfies no rule but
`null` itself.
"""

from __future__ import annotations

import fnmatch
import re
from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np
import polars as pl
from numpy.typing import NDArray

from ingest.errors import StrategyError
from replay.strategy.conditions import COLUMNS, KINDS, check_expression, columns_in
from replay.strategy.fields import Selection
from replay.strategy.schema import Strategy

Bools = NDArray[np.bool_]


# -- structured matches ------------------------------------------------------------------------------------------------


def glob(pattern: str) -> re.Pattern[str]:
    """`*` is any run of characters, `?` any one; everything else is itself, in either case."""
    # what stands between two stars is found once, at its first place: no text makes the matching backtrack
    return re.compile(fnmatch.translate(pattern.replace("[", "[[]")), re.IGNORECASE)


class _Columns:
    """Distinct values of the frame's text columns, computed once and shared by all rules of a strategy."""

    def __init__(self, frame: pl.DataFrame) -> None:
        self.frame = frame
        self._texts: dict[str, tuple[list[str], NDArray[np.int64]]] = {}
        self._numbers: dict[str, NDArray[np.float64]] = {}

    def has(self, name: str) -> bool:
        return name in self.frame.columns and self.frame.schema[name] != pl.Null

    def texts(self, name: str) -> tuple[list[str], NDArray[np.int64]]:
        """(distinct values, code per call); a missing value has the code len(values)."""
        if name not in self._texts:
            series = self.frame.get_column(name)
            if not isinstance(series.dtype, (pl.Categorical, pl.Enum)):
                series = series.cast(pl.String).cast(pl.Categorical)
            physical = series.to_physical()
            distinct = series.drop_nulls().unique()
            values = [str(value) for value in distinct.cast(pl.String).to_list()]
            rank = np.full(int(distinct.to_physical().to_numpy().max(initial=0)) + 2, len(values), np.int64)
            rank[distinct.to_physical().to_numpy()] = np.arange(len(values))
            # a missing value takes the last place of `rank`, which stays len(values)
            codes = rank[physical.cast(pl.Int64).fill_null(len(rank) - 1).to_numpy()]
            self._texts[name] = (values, codes)
        return self._texts[name]

    def numbers(self, name: str) -> NDArray[np.float64]:
        """Values as floats; NaN where missing."""
        if name not in self._numbers:
            series = self.frame.get_column(name).cast(pl.Float64).fill_null(float("nan"))
            self._numbers[name] = series.to_numpy()
        return self._numbers[name]


def _holds(columns: _Columns, name: str, wanted: Any) -> Bools:
    """Where one column's condition holds."""
    n = columns.frame.height
    if not columns.has(name):
        return np.full(n, wanted is None or (isinstance(wanted, list) and None in wanted))
    if isinstance(wanted, dict):
        result = np.ones(n, bool)
        for operator, operand in wanted.items():
            result &= _operator(columns, name, operator, operand)
        return result
    choices = wanted if isinstance(wanted, list) else [wanted]
    kind = COLUMNS[name]
    if kind == "list":
        return _tags(columns, name, choices)
    if kind == "text":
        values, codes = columns.texts(name)
        lookup = np.zeros(len(values) + 1, bool)
        lookup[-1] = any(choice is None for choice in choices)
        patterns = [glob(str(choice)) for choice in choices if choice is not None]
        lookup[:-1] = [any(pattern.fullmatch(value) for pattern in patterns) for value in values]
        return lookup[codes]
    numbers = columns.numbers(name)
    result = np.zeros(n, bool)
    for choice in choices:
        result |= np.isnan(numbers) if choice is None else numbers == float(choice)
    return result


def _operator(columns: _Columns, name: str, operator: str, operand: Any) -> Bools:
    kind = COLUMNS[name]
    if operator == "eq":
        return _holds(columns, name, operand)
    if operator in ("ne", "not"):
        # as in SQL: a missing value is not known to differ, so it does not satisfy the rule
        return ~_holds(columns, name, operand) & (_known(columns, name) | (operand is None))
    if operator == "contains":
        words = [str(word) for word in (operand if isinstance(operand, list) else [operand])]
        if kind == "list":
            return _tags(columns, name, [f"*{word}*" for word in words])
        values, codes = columns.texts(name)
        lookup = np.zeros(len(values) + 1, bool)
        folded = [word.casefold() for word in words]
        lookup[:-1] = [any(word in value.casefold() for word in folded) for value in values]
        return lookup[codes]
    compare = {"lt": np.less, "le": np.less_equal, "gt": np.greater, "ge": np.greater_equal}[operator]
    if kind == "text":
        values, codes = columns.texts(name)
        lookup = np.zeros(len(values) + 1, bool)
        bound = str(operand)
        checks = {"lt": str.__lt__, "le": str.__le__, "gt": str.__gt__, "ge": str.__ge__}
        lookup[:-1] = [checks[operator](value, bound) for value in values]
        return lookup[codes]
    with np.errstate(invalid="ignore"):
        return np.asarray(compare(columns.numbers(name), float(operand)), bool)


def _known(columns: _Columns, name: str) -> Bools:
    return columns.frame.get_column(name).is_not_null().to_numpy()


def _tags(columns: _Columns, name: str, choices: list[Any]) -> Bools:
    n = columns.frame.height
    tags = columns.frame.get_column(name)
    flat = pl.DataFrame({"row": np.arange(n), "tag": tags}).explode("tag").drop_nulls()
    result = np.zeros(n, bool)
    if flat.height:
        values, codes = _Columns(flat.select(agent="tag")).texts("agent")
        patterns = [glob(str(choice)) for choice in choices if choice is not None]
        lookup = np.array([any(p.fullmatch(value) for p in patterns) for value in [*values, ""]], bool)
        result[flat.get_column("row").to_numpy()[lookup[codes]]] = True
    if any(choice is None for choice in choices):
        result |= (tags.list.len().fill_null(0) == 0).to_numpy()
    return result


# -- routing -----------------------------------------------------------------------------------------------------------


def columns_of(parts: Iterable[Selection]) -> list[str]:
    """The columns that these parts look at, in the order of COLUMNS."""
    used: set[str] = set()
    for part in parts:
        used |= set(part.match or {})
        if part.when:
            used |= columns_in(part.when)
    return [name for name in COLUMNS if name in used]


def columns(strategy: Strategy) -> list[str]:
    """The columns that the routing rules need."""
    found = columns_of(strategy.route)
    return (
        [*found, "conversation_id"] if strategy.route_by == "conversation" and "conversation_id" not in found else found
    )


def selected(part: Selection, frame: pl.DataFrame) -> Bools:
    """Which calls one part of a strategy speaks of: match and when both hold, all calls if neither is given."""
    return masks([part], frame)[0]


def masks(parts: Iterable[Selection], frame: pl.DataFrame) -> list[Bools]:
    """As `selected`, for several parts; what they share is computed once."""
    parts = list(parts)
    columns = _Columns(frame)
    expressions = {part.when: check_expression(part.when) for part in parts if part.when}
    answers = _evaluate(expressions, frame)
    result = []
    for part in parts:
        mask = np.ones(frame.height, bool)
        for name, wanted in (part.match or {}).items():
            mask &= _holds(columns, name, wanted)
        if part.when:
            mask &= answers[part.when]
        result.append(mask)
    return result


def _evaluate(expressions: Mapping[str, str], frame: pl.DataFrame) -> dict[str, Bools]:
    """Each checked expression over the frame; a missing value counts as not true."""
    if not expressions:
        return {}
    needed = set().union(*(columns_in(text) for text in expressions))
    cast = [
        (pl.col(name) if name in frame.columns else pl.lit(None)).cast(KINDS[COLUMNS[name]]).alias(name)
        for name in sorted(needed)
    ]
    view = frame.select(cast) if cast else pl.DataFrame({"_": np.zeros(frame.height, np.int8)})
    found = view.select(
        pl.sql_expr(written).cast(pl.Boolean).fill_null(False).alias(f"w{i}")
        for i, written in enumerate(expressions.values())
    )
    result = {}
    for i, text in enumerate(expressions):
        mask = found.get_column(f"w{i}").to_numpy()
        result[text] = np.full(frame.height, mask[0]) if len(mask) == 1 != frame.height else mask
    return result


def targets(strategy: Strategy) -> list[str]:
    """The models that the rules name, each once, in order of the file: the index that `route` returns."""
    return list(dict.fromkeys(name for rule in strategy.route if (name := rule.target()).lower() != "logged"))


def route(strategy: Strategy, frame: pl.DataFrame) -> NDArray[np.int32]:
    """The rules' target of each call: an index into `targets(strategy)`, -1 = stays with the logged model.

    `frame` has one row a call and any of COLUMNS; a column that is not there is unknown for every call. With
    `route_by: conversation` every call of a conversation goes where its first call in the frame went.
    """
    return destinations(strategy, frame)[0]


def destinations(strategy: Strategy, frame: pl.DataFrame) -> tuple[NDArray[np.int32], NDArray[np.int32]]:
    """(target as `route` gives it, number of the rule that decided or -1), both per call."""
    unknown = set(frame.columns) - set(COLUMNS)
    if unknown:
        raise StrategyError(f"columns that no rule may see: {', '.join(sorted(unknown))}")
    names = targets(strategy)
    position = {name: i for i, name in enumerate(names)}
    target = np.full(frame.height, -1, np.int32)
    rule_number = np.full(frame.height, -1, np.int32)
    for number, (rule, mask) in enumerate(zip(strategy.route, masks(strategy.route, frame), strict=True)):
        free = mask & (rule_number < 0)
        rule_number[free] = number
        target[free] = position.get(rule.target(), -1)
    if strategy.route_by == "conversation" and "conversation_id" in frame.columns and frame.height:
        _, codes = _Columns(frame).texts("conversation_id")
        known = frame.get_column("conversation_id").is_not_null().to_numpy()
        _, first, inverse = np.unique(codes, return_index=True, return_inverse=True)
        target = np.where(known, target[first][inverse], target).astype(np.int32)
        rule_number = np.where(known, rule_number[first][inverse], rule_number).astype(np.int32)
    return target, rule_number
