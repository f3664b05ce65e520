"""Token counts for calls whose log has texts and no usage: exact for OpenAI's models, calibrated for the others.

OpenAI's chat format adds 3 tokens per message and the role's, and 3 to prime the answer (OpenAI cookbook, "How to count
tokens with tiktoken", 2024-07); `content_tokens` holds the messages framed. Other tokenizers are not public: their
counts are o200k counts times a factor, taken from the user's own calls of that model that do have usage, with its
spread. What a model thought cannot be read off its text, so a reasoning model's output is never guessed.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from typing import Any, Final

import duckdb
import numpy as np

from analysis.array_types import Float64Array, Int64Array
from ingest.contents.tokenizer import FRAME_TOKENS, ensure_counted
from ingest.progress import Progress
from ingest.store.database import Store, has_tables

PRIMER_TOKENS: Final = 3
OTHER_ENCODING: Final = "o200k_base"
ENOUGH: Final = 20  # own calls with usage that make a factor of their own
# tokens per o200k token on mixed English, JSON and code, by family: a start where the user's calls say nothing
DEFAULT_FACTORS: Final = {
    "*claude*": 1.09, "*gemini*": 1.17, "*gemma*": 1.17, "*llama-2*": 1.28, "*llama*": 1.0, "*qwen*": 1.03,
    "*deepseek*": 1.05, "*mistral*": 1.08, "*mixtral*": 1.27, "*kimi*": 0.99, "*glm*": 1.0,
}  # fmt: skip
DEFAULT_SPREAD: Final = 0.15
REASONING: Final = (
    "o1*", "o3*", "o4*", "gpt-5*", "gpt-6*", "gpt-oss*", "*reasoner*", "*deepseek-r1*", "*thinking*", "*qwq*",
)  # fmt: skip
CREATE: Final = """
    CREATE TABLE IF NOT EXISTS estimated_usage (
        call_no BIGINT, input_tokens BIGINT, output_tokens BIGINT, method VARCHAR, spread DOUBLE)
"""
# per call: its model, what is logged, and what its texts count in one encoding (NULL where any text is missing)
_COUNTED: Final = """
    WITH wanted AS (
        SELECT call_no, model, input_tokens, output_tokens, reasoning_output_tokens, message_ids, tools_id, output_id,
               has_images, list_contains($exact, model) AS exact,
               CASE WHEN list_contains($older, model) THEN 'cl100k_base' ELSE 'o200k_base' END AS encoding
        FROM calls WHERE {where} AND message_ids IS NOT NULL AND content_state = 'full' AND model IS NOT NULL
          AND coalesce(status, 'ok') = 'ok'
    ), prompt AS (
        SELECT call_no, sum(tokens) AS tokens, count(*) = count(tokens) AS whole
        FROM (SELECT call_no, encoding, unnest(list_append(message_ids, tools_id)) AS content_id FROM wanted) part
        LEFT JOIN content_tokens USING (content_id, encoding) WHERE content_id IS NOT NULL GROUP BY call_no
    )
    SELECT wanted.call_no, model, input_tokens, output_tokens, coalesce(reasoning_output_tokens, 0) AS reasoning,
           exact AND tools_id IS NULL AND NOT coalesce(has_images, false) AS exact,
           CASE WHEN whole THEN prompt.tokens::BIGINT + {primer} END AS counted_in,
           answer.tokens - {frame} AS counted_out
    FROM wanted JOIN prompt USING (call_no)
    LEFT JOIN content_tokens answer ON answer.content_id = output_id AND answer.encoding = wanted.encoding
    ORDER BY wanted.call_no
"""


@dataclass(frozen=True)
class Factor:
    """Provider tokens per counted token of one model: the median and half the range that holds 90 % of the calls."""

    model: str
    factor: float
    spread: float  # relative
    calls: int  # own calls that it was taken from; 0 = the family's default


@dataclass(frozen=True)
class Estimates:
    """What was estimated, how, and what was left unknown."""

    exact: int
    estimated: int
    unknown: int  # no text, an image, or an answer with hidden reasoning
    factors: list[Factor] = field(default_factory=list)

    def to_json(self) -> dict[str, Any]:
        """Plain values."""
        return {
            "exact": self.exact,
            "estimated": self.estimated,
            "unknown": self.unknown,
            "factors": [vars(item) for item in self.factors],
        }


def estimate(store: Store, progress: Progress | None = None) -> Estimates:
    """Count or estimate the tokens of every call without usage into `estimated_usage`, replacing what was there."""
    with store.read() as con:
        missing = con.execute(f"SELECT count(*) FROM calls WHERE {_MISSING}").fetchall()[0][0]
        rows = con.execute("SELECT DISTINCT model FROM calls WHERE model IS NOT NULL ORDER BY 1").fetchall()
    models = [row[0] for row in rows]
    if not missing:
        with store.write() as con:
            con.execute(CREATE)
            con.execute("DELETE FROM estimated_usage")
        return Estimates(0, 0, 0)
    from analysis.pricing.model_info import model_info  # a schema library, for those who estimate

    encodings = {model: model_info(None, model).encoding for model in models}
    ensure_counted(store, sorted({name or OTHER_ENCODING for name in encodings.values()}), progress)
    with store.write() as con:
        con.execute(CREATE)
        con.execute("DELETE FROM estimated_usage")
        factors = calibrate(con, encodings)
        rows = list(_estimates(con, encodings, factors))
        if rows:
            con.executemany("INSERT INTO estimated_usage VALUES (?, ?, ?, ?, ?)", rows)
    exact = sum(row[3] == "exact_tokenizer" for row in rows)
    whole = sum(row[2] is not None for row in rows)
    used = sorted(model for model in factors if not encodings[model])
    return Estimates(exact, len(rows) - exact, missing - whole, [factors[model] for model in used])


def partial_outputs(store: Store) -> dict[int, tuple[int, int]]:
    """(least, most) output tokens of the logged text of each call whose log ends before its answer did.

    Calls without text and those of reasoning models are left out.
    """
    partial = "tokens_source = 'partial' AND coalesce(status, 'ok') = 'ok'"
    with store.read() as con:
        rows = con.execute(f"SELECT DISTINCT model FROM calls WHERE {partial} AND model IS NOT NULL").fetchall()
    if not rows:
        return {}
    from analysis.pricing.model_info import model_info  # a schema library, for those who estimate

    encodings = {row[0]: model_info(None, row[0]).encoding for row in rows}
    ensure_counted(store, sorted({name or OTHER_ENCODING for name in encodings.values()}), None)
    with store.read() as con:
        factors = calibrate(con, encodings)
        found = _estimates(con, encodings, factors, partial)
    return {
        call_no: (round(made * (1 - spread)), round(made * (1 + spread)))
        for call_no, _, made, _, spread in found
        if made is not None
    }


_MISSING: Final = "(input_tokens IS NULL OR output_tokens IS NULL) AND coalesce(status, 'ok') = 'ok'"


def _counted(con: duckdb.DuckDBPyConnection, encodings: dict[str, str | None], where: str) -> list[tuple[Any, ...]]:
    exact = [model for model, name in encodings.items() if name]
    older = [model for model, name in encodings.items() if name == "cl100k_base"]
    sql = _COUNTED.format(where=where, primer=PRIMER_TOKENS, frame=FRAME_TOKENS)
    return con.execute(sql, {"exact": exact, "older": older}).fetchall()


def calibrate(con: duckdb.DuckDBPyConnection, encodings: dict[str, str | None]) -> dict[str, Factor]:
    """The factor of every model, from the calls that have both usage and texts."""
    ratios: dict[str, list[float]] = {}
    for row in _counted(con, encodings, "input_tokens > 0 AND output_tokens IS NOT NULL"):
        _, model, tokens, _, _, _, counted, _ = row
        if counted:
            ratios.setdefault(model, []).append(tokens / counted)
    found = {}
    for model in encodings:
        own = np.array(ratios.get(model, []))
        found[model] = _factor(model, own)
    return found


def _factor(model: str, ratios: Float64Array) -> Factor:
    if len(ratios) >= ENOUGH:
        low, middle, high = np.quantile(ratios, [0.05, 0.5, 0.95])
        return Factor(model, float(middle), float((high - low) / 2 / middle), len(ratios))
    default = next((value for glob, value in DEFAULT_FACTORS.items() if fnmatchcase(model.lower(), glob)), 1.0)
    return Factor(model, default, DEFAULT_SPREAD, 0)


def _estimates(
    con: duckdb.DuckDBPyConnection,
    encodings: dict[str, str | None],
    factors: dict[str, Factor],
    where: str = _MISSING,
) -> list[tuple[Any, ...]]:
    rows = con.execute("SELECT DISTINCT model FROM calls WHERE reasoning_output_tokens > 0 ORDER BY 1").fetchall()
    thinking = {row[0] for row in rows}
    result = []
    for call_no, model, logged_in, logged_out, _, exact, counted_in, counted_out in _counted(con, encodings, where):
        factor = factors[model]
        scale, spread = (1.0, 0.0) if exact else (factor.factor, factor.spread)
        tokens_in = logged_in if logged_in is not None else _scaled(counted_in, scale)
        hidden = model in thinking or any(fnmatchcase(model.lower().rsplit("/", 1)[-1], glob) for glob in REASONING)
        tokens_out = logged_out if logged_out is not None else None if hidden else _scaled(counted_out, scale)
        if tokens_in is None and tokens_out is None:
            continue
        result.append((call_no, tokens_in, tokens_out, "exact_tokenizer" if exact else "estimated", spread))
    return result


def _scaled(count: int | None, factor: float) -> int | None:
    return None if count is None else max(round(count * factor), 0)


def estimated_calls(con: duckdb.DuckDBPyConnection) -> Int64Array:
    """The calls that have an estimate, ascending; empty where nothing was estimated."""
    if not has_tables(con, "estimated_usage"):
        return np.zeros(0, np.int64)
    rows = con.execute("SELECT call_no FROM estimated_usage ORDER BY call_no").fetchall()
    return np.array([row[0] for row in rows], np.int64)
