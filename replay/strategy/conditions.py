"""Boolean SQL expressions over the columns of a call: parsed, allow-listed, and written back before anything runs.

sqlglot parses the text, every node must be on the allow-list, and only what sqlglot writes back from that tree reaches
polars' `sql_expr`. polars' SQLContext is never used: it can open files.
"""

from __future__ import annotations

from functools import lru_cache
from typing import Any, Final

import polars as pl
import sqlglot
from sqlglot import expressions as sql

from ingest.errors import did_you_mean

# what a rule may look at: all of it is known before the call is sent, but for the last two lines, which say how the
# logged attempt went
COLUMNS: Final[dict[str, str]] = {
    **dict.fromkeys(("agent", "task", "model", "provider_name", "user_id", "team", "environment"), "text"),
    **dict.fromkeys(("service_name", "prompt_name", "prompt_version", "workflow_name", "conversation_id"), "text"),
    **dict.fromkeys(("operation_name", "response_format", "reasoning_effort", "service_tier", "region"), "text"),
    # the last user message, where the store holds it; the ISO day; the id that `hindcast templates` gives the prompt
    **dict.fromkeys(("text", "day", "template"), "text"),
    **dict.fromkeys(("input_words", "input_tokens", "max_tokens", "tool_count", "temperature"), "number"),
    **dict.fromkeys(("hour", "weekday", "attempt", "turn"), "number"),  # weekday 1 = Monday
    **dict.fromkeys(("has_images", "stream", "online"), "flag"),  # online: a user is waiting for the answer
    "tags": "list",
    "output_tokens": "number",
    **dict.fromkeys(("status", "finish_reason"), "text"),
}
DIALECT: Final = "postgres"
MAX_LENGTH: Final = 2_000
MAX_LITERAL: Final = 200
MAX_NODES: Final = 300
BOUNDS: Final = ("lt", "le", "gt", "ge", "eq", "ne")
_WORDS: Final = ("contains", "not")


class ExpressionError(ValueError):
    """Why an expression is refused, and what could be written instead."""

    def __init__(self, why: str, remedy: str | None = None) -> None:
        super().__init__(why)
        self.remedy = remedy


# what other routers and people call a column
_OTHER_WORDS: Final = {
    "prompt": "text", "content": "text", "message": "text", "messages": "text", "question": "text", "query": "text",
    "user": "user_id", "customer": "user_id", "provider": "provider_name", "session": "conversation_id",
    "length": "input_words", "prompt_length": "input_words", "words": "input_words", "tokens": "input_tokens",
    "prompt_tokens": "input_tokens", "tool": "tool_count", "tools": "tool_count", "tag": "tags", "images": "has_images",
}  # fmt: skip


def column_meant(name: str) -> str:
    """A remedy for a name that is no column: the column that is called so elsewhere, the nearest one, or all."""
    other = _OTHER_WORDS.get(name.lower())
    return f"Did you mean '{other}'?" if other else did_you_mean(name, COLUMNS)


_ALLOWED: Final = (
    sql.And, sql.Or, sql.Not, sql.Paren, sql.EQ, sql.NEQ, sql.LT, sql.LTE, sql.GT, sql.GTE, sql.Is, sql.In,
    sql.Between, sql.Like, sql.ILike, sql.Column, sql.Identifier, sql.Literal, sql.Boolean, sql.Null, sql.Neg,
    sql.Add, sql.Sub, sql.Mul, sql.Div, sql.Mod, sql.Lower, sql.Upper, sql.Length, sql.Coalesce, sql.Abs,
    sql.StartsWith,
)  # fmt: skip
_REASONS: Final[tuple[tuple[Any, str], ...]] = (
    ((sql.Subquery, sql.Select, sql.Exists, sql.SetOperation, sql.CTE), "a subquery could read other data"),
    ((sql.DDL, sql.Create, sql.Drop, sql.Alter, sql.Insert, sql.Update, sql.Delete, sql.Copy), "it would change data"),
    ((sql.Command, sql.Set, sql.Attach, sql.Detach, sql.Pragma, sql.Use), "it is a command, not a condition"),
    ((sql.RegexpLike, sql.RegexpILike, sql.SimilarTo), "regular expressions can be made to run or grow without end"),
    ((sql.Window, sql.AggFunc), "a rule sees one call at a time"),
    (sql.Star, "a rule names its columns"),
    (sql.Lambda, "a rule has no functions of its own"),
)


@lru_cache(maxsize=1_000)
def check_expression(text: str) -> str:
    """The allow-listed expression as sqlglot writes it. Raises ExpressionError with the reason otherwise."""
    if not isinstance(text, str) or not text.strip():
        raise ExpressionError("an empty expression", "Write a condition such as: input_words > 1500")
    if len(text) > MAX_LENGTH:
        raise ExpressionError(f"longer than {MAX_LENGTH:,} characters", "Split it into several rules.")
    if "\x00" in text:
        raise ExpressionError("holds a NUL character")
    try:
        statements = sqlglot.parse(text, dialect=DIALECT, error_level=sqlglot.ErrorLevel.RAISE)
    except RecursionError as error:
        raise ExpressionError("nested too deeply", "Split it into several rules.") from error
    except Exception as error:  # sqlglot's own errors, and whatever else its parser meets in odd text
        detail = str(error).splitlines()[0].split(". Line")[0] if isinstance(error, sqlglot.errors.SqlglotError) else ""
        raise ExpressionError("not a boolean SQL expression" + (f": {detail}" if detail else "")) from error
    trees = [statement for statement in statements if statement is not None]
    if len(trees) != 1:
        raise ExpressionError("more than one statement", "Write one condition; join conditions with AND and OR.")
    tree = trees[0]
    try:
        _check_nodes(tree)
        written = tree.sql(dialect=DIALECT, comments=False)
        _dry_run(written)
    except RecursionError as error:
        raise ExpressionError("nested too deeply", "Split it into several rules.") from error
    return written


def _check_nodes(tree: sqlglot.Expr) -> None:
    nodes = list(tree.walk())
    if len(nodes) > MAX_NODES:
        raise ExpressionError(f"more than {MAX_NODES} parts", "Split it into several rules.")
    for node in nodes:
        if not isinstance(node, _ALLOWED):
            raise _refusal(node)
        if isinstance(node, sql.Column):
            if len(node.parts) > 1:
                raise ExpressionError(f"'{node.sql()}' names a table; a rule sees only the call itself")
            name = node.name
            if name not in COLUMNS:
                raise ExpressionError(f"unknown column '{name}'", column_meant(name))
            if COLUMNS[name] == "list":
                raise ExpressionError(f"'{name}' is a list", "Use match: {tags: [...]} for tags.")
        elif isinstance(node, sql.Literal) and len(str(node.this)) > MAX_LITERAL:
            raise ExpressionError(f"a value longer than {MAX_LITERAL} characters")
        elif isinstance(node, sql.In) and (node.args.get("query") or node.args.get("unnest")):
            raise ExpressionError("refused: a subquery could read other data")
        elif isinstance(node, (sql.Like, sql.ILike)) and not isinstance(node.expression, sql.Literal):
            raise ExpressionError("the right side of LIKE must be a quoted pattern")


def _refusal(node: sqlglot.Expr) -> ExpressionError:
    for kinds, reason in _REASONS:
        if isinstance(node, kinds):
            return ExpressionError(f"refused: {reason}", "A rule may only compare columns with values.")
    if isinstance(node, (sql.Anonymous, sql.Func)):
        name = str(node.this) if isinstance(node, sql.Anonymous) else node.sql_name()
        return ExpressionError(
            f"refused: the function {name.upper()} is not on the allow-list",
            "Allowed: LOWER, UPPER, LENGTH, COALESCE, ABS, STARTS_WITH.",
        )
    return ExpressionError(
        f"refused: {type(node).__name__} is not on the allow-list", "A rule may only compare columns with values."
    )


KINDS: Final[dict[str, Any]] = {"text": pl.String, "number": pl.Float64, "flag": pl.Boolean, "list": pl.List(pl.String)}


def _dry_run(written: str) -> None:
    """Compile against no rows: a type that does not fit is told when the file is read, not at call 10,000,000."""
    empty = pl.DataFrame(schema={name: KINDS[kind] for name, kind in COLUMNS.items()})
    try:
        result = empty.select(pl.sql_expr(written).alias("when"))
    except (pl.exceptions.PolarsError, pl.exceptions.PanicException, TypeError, ValueError) as error:
        raise ExpressionError(f"cannot be evaluated: {str(error).splitlines()[0]}") from error
    if result.schema["when"] not in (pl.Boolean, pl.Null):
        raise ExpressionError("is not a condition: it gives a value, not true or false")


def columns_in(text: str) -> set[str]:
    """The columns that a valid expression looks at."""
    return {column.name for column in sqlglot.parse_one(check_expression(text), dialect=DIALECT).find_all(sql.Column)}


# -- structured matches ------------------------------------------------------------------------------------------------


def condition(value: Any, kind: str = "text") -> Any:
    """The checked condition of one column: a scalar, a list of scalars, or a mapping of operators to scalars.

    `kind` is the column's kind of COLUMNS. ValueError says what a condition may be.
    """
    if isinstance(value, dict):
        known = (*BOUNDS, *_WORDS)
        if not value:
            raise ValueError("an empty condition")
        for operator, operand in value.items():
            if operator not in known:
                raise ValueError(f"unknown operator '{operator}'. {did_you_mean(str(operator), known)}")
            if operator in ("lt", "le", "gt", "ge") and kind != "text":
                _number(operand, operator)
            if operator == "contains":
                if kind not in ("text", "list"):
                    raise ValueError("'contains' is for text")
                operand = operand if isinstance(operand, list) else [operand]
            condition(operand, kind if operator != "contains" else "text")
        return value
    if isinstance(value, list):
        if not value:
            raise ValueError("an empty list matches nothing")
        for item in value:
            if isinstance(item, (dict, list)):
                raise ValueError("a list may hold plain values only")
            condition(item, kind)
        return value
    if value is None or isinstance(value, (str, int, float, bool)):
        if kind == "number" and value is not None:
            _number(value, "a number column")
        if kind == "flag" and value is not None and not isinstance(value, bool):
            raise ValueError(f"must be true or false, not '{value}'")
        return value
    return str(value)  # a date


def _number(value: Any, what: str) -> None:
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        raise ValueError(f"{what} needs a number, not '{value}'")
