"""A rule's selection as a small tree that every exporter can read: AND, OR and leaves, negation pushed to the leaves.

A leaf holds only where its column is known, negated or not, as in the rules themselves.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal

import sqlglot
from sqlglot import expressions as sql

from replay.strategy.conditions import COLUMNS, DIALECT, check_expression, columns_in
from replay.strategy.fields import Selection

ANY, ONE = "*", "?"
Token = tuple[Literal["text", "any", "one"], str]
NEGATED = {"lt": "ge", "le": "gt", "gt": "le", "ge": "lt", "eq": "ne", "ne": "eq"}
FLIPPED = {"lt": "gt", "le": "ge", "gt": "lt", "ge": "le", "eq": "eq", "ne": "ne"}


class InexpressibleError(Exception):
    """Why a selection cannot be written for a router."""


@dataclass(frozen=True)
class Text:
    """The column's text fits one of the patterns (or none of them, if negated)."""

    column: str
    patterns: tuple[tuple[Token, ...], ...]
    ignore_case: bool
    negated: bool = False

    def holds(self, value: str | None) -> bool:
        """Whether a value fits any of the patterns; one that is absent fits none."""
        if value is None:
            return False
        flags = re.DOTALL | (re.IGNORECASE if self.ignore_case else 0)
        fits = any(re.fullmatch(_source(pattern), value, flags) for pattern in self.patterns)
        return fits != self.negated


@dataclass(frozen=True)
class Number:
    """The column's number compares with a constant."""

    column: str
    operator: str  # lt, le, gt, ge, eq, ne
    value: float


@dataclass(frozen=True)
class Flag:
    """The column is true, or is false."""

    column: str
    value: bool


@dataclass(frozen=True)
class Tags:
    """One of the call's tags fits one of the patterns."""

    patterns: tuple[tuple[Token, ...], ...]


@dataclass(frozen=True)
class Missing:
    """The column is not known (or is known, if negated)."""

    column: str
    negated: bool = False


@dataclass(frozen=True)
class All:
    parts: tuple[Condition, ...]


@dataclass(frozen=True)
class Some:
    parts: tuple[Condition, ...]


Condition = Text | Number | Flag | Tags | Missing | All | Some


INFERRED = ("online", "template", "turn")
"""Columns that are found by looking at the whole log, which a router does not see."""


def condition_of(selection: Selection) -> Condition:
    """The condition of a rule. Raises InexpressibleError for an expression that no exporter could write."""
    used = set(selection.match or {}) | (columns_in(selection.when) if selection.when else set())
    for name in INFERRED:
        if name in used:
            raise InexpressibleError(f"'{name}' is known only from the whole log")
    parts: list[Condition] = [_matched(name, wanted) for name, wanted in (selection.match or {}).items()]
    if selection.when:
        tree = sqlglot.parse_one(check_expression(selection.when), dialect=DIALECT)
        parts.append(_expression(tree, negated=False))
    return parts[0] if len(parts) == 1 else All(tuple(parts))


# -- matches -----------------------------------------------------------------------------------------------------------


def _matched(name: str, wanted: Any) -> Condition:
    kind = COLUMNS[name]
    if isinstance(wanted, dict):
        parts = tuple(_operated(name, operator, operand) for operator, operand in wanted.items())
        return parts[0] if len(parts) == 1 else All(parts)
    choices = wanted if isinstance(wanted, list) else [wanted]
    known = [choice for choice in choices if choice is not None]
    found: list[Condition] = [Missing(name)] if None in choices else []
    if known and kind == "text":
        found.append(Text(name, tuple(_glob(str(choice)) for choice in known), ignore_case=True))
    elif known and kind == "list":
        found.append(Tags(tuple(_glob(str(choice)) for choice in known)))
    elif kind == "flag":
        found += [Flag(name, bool(choice)) for choice in known]
    else:
        found += [Number(name, "eq", float(choice)) for choice in known]
    return found[0] if len(found) == 1 else Some(tuple(found))


def _operated(name: str, operator: str, operand: Any) -> Condition:
    if operator == "eq":
        return _matched(name, operand)
    if operator in ("ne", "not"):
        return negation(_matched(name, operand))
    if operator == "contains":
        words = operand if isinstance(operand, list) else [operand]
        patterns: tuple[tuple[Token, ...], ...]
        patterns = tuple((("any", ANY), ("text", str(word)), ("any", ANY)) for word in words)
        return Tags(patterns) if COLUMNS[name] == "list" else Text(name, patterns, ignore_case=True)
    if COLUMNS[name] == "text":
        raise InexpressibleError(f"'{name}' is compared by order of text")
    return Number(name, operator, float(operand))


def negation(condition: Condition) -> Condition:
    """The condition that holds where this one is known not to."""
    if isinstance(condition, (Text, Missing)):
        return replace(condition, negated=not condition.negated)
    if isinstance(condition, Number):
        return replace(condition, operator=NEGATED[condition.operator])
    if isinstance(condition, Flag):
        return replace(condition, value=not condition.value)
    if isinstance(condition, All):
        return Some(tuple(negation(part) for part in condition.parts))
    if isinstance(condition, Some):
        return All(tuple(negation(part) for part in condition.parts))
    raise InexpressibleError("'tags' in a negation")


# -- expressions -------------------------------------------------------------------------------------------------------

_COMPARE: dict[type, str] = {sql.LT: "lt", sql.LTE: "le", sql.GT: "gt", sql.GTE: "ge", sql.EQ: "eq", sql.NEQ: "ne"}


def _expression(node: Any, *, negated: bool) -> Condition:
    if isinstance(node, sql.Paren):
        return _expression(node.this, negated=negated)
    if isinstance(node, sql.Not):
        return _expression(node.this, negated=not negated)
    if isinstance(node, (sql.And, sql.Or)):
        parts = (_expression(node.left, negated=negated), _expression(node.right, negated=negated))
        return All(parts) if isinstance(node, sql.And) != negated else Some(parts)
    leaf = _leaf(node)
    return negation(leaf) if negated else leaf


def _leaf(node: Any) -> Condition:
    if type(node) in _COMPARE:
        return _comparison(node.left, _COMPARE[type(node)], node.right)
    if isinstance(node, sql.Between):
        low = _comparison(node.this, "ge", node.args["low"])
        return All((low, _comparison(node.this, "le", node.args["high"])))
    if isinstance(node, sql.In):
        return _any_of(node.this, node.expressions)
    if isinstance(node, (sql.Like, sql.ILike)) and isinstance(node.this, sql.Column):
        return Text(node.this.name, (_like(str(node.expression.this)),), ignore_case=isinstance(node, sql.ILike))
    if isinstance(node, sql.StartsWith) and isinstance(node.this, sql.Column):
        return Text(node.this.name, ((("text", str(node.expression.this)), ("any", ANY)),), ignore_case=False)
    if isinstance(node, sql.Is) and isinstance(node.this, sql.Column) and isinstance(node.expression, sql.Null):
        return Missing(node.this.name)
    if isinstance(node, sql.Column) and COLUMNS[node.name] == "flag":
        return Flag(node.name, value=True)
    raise InexpressibleError(f"`{node.sql(dialect=DIALECT)}` computes with the call")


def _comparison(left: Any, operator: str, right: Any) -> Condition:
    if isinstance(right, sql.Column) and not isinstance(left, sql.Column):
        left, right, operator = right, left, FLIPPED[operator]
    if not isinstance(left, sql.Column):
        raise InexpressibleError(f"`{left.sql(dialect=DIALECT)}` is not a column")
    value = _literal(right)
    kind = COLUMNS[left.name]
    if kind == "text" and operator in ("eq", "ne"):
        return Text(left.name, ((("text", str(value)),),), ignore_case=False, negated=operator == "ne")
    if kind == "flag" and operator in ("eq", "ne") and isinstance(value, bool):
        return Flag(left.name, value=value == (operator == "eq"))
    if kind == "number" and not isinstance(value, (str, bool)):
        return Number(left.name, operator, float(value))
    raise InexpressibleError(f"'{left.name}' compared with `{right.sql(dialect=DIALECT)}`")


def _any_of(column: Any, items: Sequence[Any]) -> Condition:
    if not isinstance(column, sql.Column):
        raise InexpressibleError(f"`{column.sql(dialect=DIALECT)}` is not a column")
    if COLUMNS[column.name] == "text":
        return Text(column.name, tuple((("text", str(_literal(item))),) for item in items), ignore_case=False)
    return Some(tuple(_comparison(column, "eq", item) for item in items))


def _literal(node: Any) -> str | float | bool:
    if isinstance(node, sql.Paren):
        return _literal(node.this)
    if isinstance(node, sql.Neg):
        return -float(_literal(node.this))
    if isinstance(node, sql.Boolean):
        return bool(node.this)
    if isinstance(node, sql.Literal):
        return str(node.this) if node.is_string else float(node.this)
    raise InexpressibleError(f"`{node.sql(dialect=DIALECT)}` is not a constant")


# -- patterns ----------------------------------------------------------------------------------------------------------


def _glob(pattern: str) -> tuple[Token, ...]:
    return _tokens(pattern, {"*": "any", "?": "one"})


def _like(pattern: str) -> tuple[Token, ...]:
    if "\\" in pattern:
        raise InexpressibleError("LIKE with a backslash")
    return _tokens(pattern, {"%": "any", "_": "one"})


def _tokens(pattern: str, special: dict[str, Any]) -> tuple[Token, ...]:
    found: list[Token] = []
    for char in pattern:
        kind = special.get(char, "text")
        if kind == "text" and found and found[-1][0] == "text":
            found[-1] = ("text", found[-1][1] + char)
        elif not (kind == "any" and found and found[-1][0] == "any"):
            found.append((kind, char))
    return tuple(found)


def _source(pattern: Sequence[Token]) -> str:
    parts = {"any": ".*", "one": "."}
    return "".join(parts.get(kind) or re.escape(text) for kind, text in pattern)


def plain(pattern: Sequence[Token]) -> str | None:
    """The text of a pattern without wildcards; None for one that has any."""
    if not pattern:
        return ""
    return pattern[0][1] if len(pattern) == 1 and pattern[0][0] == "text" else None
