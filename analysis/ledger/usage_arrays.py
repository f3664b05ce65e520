"""Calls as the arrays that the pricing kernel reads."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import duckdb
import numpy as np
import pyarrow as pa

from analysis.array_types import BoolArray, Int32Array, Int64Array
from analysis.price_book.vocabulary import NO_TIME, SEARCH_CONTEXTS, TIERS, UNKNOWN
from analysis.pricing.rate_table import Usage
from ingest.store.database import columns_of, has_tables
from ingest.store.schema import SCOPE

Scope = Sequence[str | None]
# what a log calls a service tier -> ours; anything else is an unknown tier and has no price
_TIER_NAMES: Final = {
    "standard": "standard", "default": "standard", "auto": "standard", "on_demand": "standard", "on-demand": "standard",
    "batch": "batch", "batches": "batch", "flex": "flex", "priority": "priority", "fast": "fast",
}  # fmt: skip
_TOKENS: Final = {
    "input": "input_tokens", "cache_read": "cache_read_input_tokens", "cache_write": "cache_creation_input_tokens",
    "cache_write_1h": "cache_creation_1h_input_tokens", "output": "output_tokens",
    "reasoning": "reasoning_output_tokens", "audio_input": "audio_input_tokens", "audio_output": "audio_output_tokens",
    "image_input": "image_input_tokens", "image_output": "image_output_tokens",
    "audio_cache_read": "cache_read_audio_input_tokens", "image_cache_read": "cache_read_image_input_tokens",
    "web_search": "web_search_calls", "web_result": "web_search_results", "file_search": "file_search_calls",
    "code_interpreter": "code_interpreter_calls", "maps": "maps_calls", "image_generation": "image_generation_calls",
}  # fmt: skip
_TOOLS: Final = ("web_search", "web_result", "file_search", "code_interpreter", "maps", "image_generation")
_SIZES: Final = " ".join(f"WHEN '{size}' THEN {n}" for n, size in enumerate(SEARCH_CONTEXTS, start=1))


def _counts(con: duckdb.DuckDBPyConnection) -> dict[str, str]:
    """SQL of each count of `Usage`, NULL where a call has none. A store of an older schema lacks some columns."""
    held = set(columns_of(con, "calls"))
    counts = {name: column if column in held else "NULL" for name, column in _TOKENS.items()}
    by_kind = " + ".join(f"coalesce({counts[name]}, 0)" for name in _TOOLS)
    others = f"nullif(greatest(server_tool_calls - ({by_kind}), 0), 0)"
    counts["other_tool"] = f"CASE WHEN server_tool_calls IS NULL THEN NULL ELSE {others} END"
    counts["search_context"] = f"CASE search_context_size {_SIZES} END" if "search_context_size" in held else "NULL"
    return counts


# calls without usage take the counts of `estimated_usage`, where the user asked for them
CALLS_WITH_ESTIMATES: Final = """
    (SELECT calls.* REPLACE (coalesce(calls.input_tokens, guess.input_tokens) AS input_tokens,
                             coalesce(calls.output_tokens, guess.output_tokens) AS output_tokens)
     FROM calls LEFT JOIN estimated_usage guess ON guess.call_no = calls.call_no) calls
"""


def has_estimates(con: duckdb.DuckDBPyConnection) -> bool:
    """Whether token counts were estimated for any call."""
    return has_tables(con, "estimated_usage") and bool(con.execute("SELECT 1 FROM estimated_usage LIMIT 1").fetchall())


def used_kinds(con: duckdb.DuckDBPyConnection, where: str) -> tuple[str, ...]:
    """The token kinds that any of the calls has a count of; input and output always."""
    always = ("input", "output")
    found = _counts(con)
    columns = ", ".join(f"count({column})" for column in found.values())
    counts = con.execute(f"SELECT {columns} FROM calls WHERE {where}").fetchall()[0]
    return tuple(name for name, count in zip(found, counts, strict=True) if count or name in always)


# Anthropic bills no refusal before any output since 2026-06-02 (Claude platform release notes of that day)
_UNBILLED: Final = """provider_name = 'anthropic' AND finish_reason = 'refusal' AND output_tokens = 0
    AND start_time >= TIMESTAMP '2026-06-02'"""


def unbilled_calls(con: duckdb.DuckDBPyConnection, where: str) -> Int64Array:
    """The numbers of the calls among `where` that their provider does not bill, shape (n,)."""
    return con.execute(f"SELECT call_no FROM calls WHERE {where} AND {_UNBILLED}").fetchnumpy()["call_no"]


def read_usage(
    con: duckdb.DuckDBPyConnection,
    models: Sequence[Scope],
    where: str,
    kinds: Sequence[str] | None = None,
    *,
    as_stored: bool = False,
) -> tuple[Int64Array, BoolArray, Usage]:
    """(call_no, whether a gateway answered, usage) of the calls that `where` selects, in order of call_no; or
    `as_stored`, which a scan of other columns of the same calls has too.

    `models` are (provider_name, model) pairs, or go on in SCOPE; the position in it is the model
    index, -1 for a call that is not in it. `kinds` are those of `used_kinds`, None for all. `where` is SQL of this
    program, never of a user.
    """
    columns_of = SCOPE[: max((len(model) for model in models), default=2)]
    joined, known = "", dict[str, list[str]]()
    if len(columns_of) == 2:  # a join would lose the order of the rows, and sorting them costs more than reading them
        codes, known = _codes(models)
        position = ", ".join(f"{code} AS {name}" for name, code in codes.items())
    else:
        scopes = {f"s{i}": pa.array([model[i] for model in models], pa.string()) for i in range(len(columns_of))}
        names = pa.table({**scopes, "position": pa.array(range(len(models)), pa.int32())})  # noqa: F841  DuckDB reads it
        same = " AND ".join(f"{column} IS NOT DISTINCT FROM s{i}" for i, column in enumerate(columns_of))
        joined, position = f"LEFT JOIN names ON {same}", "coalesce(position, -1)::INTEGER AS model"
    tiers = " ".join(f"WHEN '{name}' THEN {TIERS.index(tier)}" for name, tier in _TIER_NAMES.items())
    calls = CALLS_WITH_ESTIMATES if has_estimates(con) else "calls"
    counts = _counts(con)
    tokens = ", ".join(f"coalesce({counts[name]}, {UNKNOWN})::BIGINT AS {name}" for name in kinds or counts)
    rows = con.sql(
        f"""
        SELECT call_no, {position},
               coalesce(epoch_ms(start_time), {NO_TIME + 1} - 1) AS start_ms,
               CASE WHEN is_batch THEN {TIERS.index("batch")} WHEN service_tier IS NULL THEN 0 ELSE
                    CASE lower(service_tier) {tiers} ELSE {TIERS.index("unknown")} END END::TINYINT AS tier,
               {tokens},
               CASE WHEN weight = 1 THEN 1000000 ELSE  -- decimals of most rows would cost more than the other columns
                    coalesce((weight::DECIMAL(38,6) * 1000000)::BIGINT, 1000000) END::BIGINT AS weight_micro,
               coalesce(status = 'gateway_cache_hit', false) AS gateway
        FROM {calls} {joined}
        WHERE {where}
        """,
        params=known or None,
    ).to_arrow_table()
    columns = {name: rows.column(name).to_numpy() for name in rows.column_names}
    del rows
    if not joined:
        columns["model"] = _places(models, known)[columns.pop("_provider"), columns.pop("_model")]
    if not as_stored and not bool((columns["call_no"][1:] >= columns["call_no"][:-1]).all()):
        order = np.argsort(columns["call_no"], kind="stable")
        columns = {name: column[order] for name, column in columns.items()}
    call_no, gateway = columns.pop("call_no"), columns.pop("gateway")
    return call_no, gateway, Usage(**columns)


def _codes(models: Sequence[Scope]) -> tuple[dict[str, str], dict[str, list[str]]]:
    """SQL of a call's provider and model as places in lists of their names: 0 none, one past the last another one."""
    codes, known = {}, dict[str, list[str]]()
    for number, column in enumerate(SCOPE[:2]):
        name = f"_{column.removesuffix('_name')}"
        known[name] = sorted({value for model in models if (value := model[number]) is not None})
        other = len(known[name]) + 1
        codes[name] = f"""(CASE WHEN {column} IS NULL THEN 0
            ELSE coalesce(nullif(list_position(${name}::VARCHAR[], {column}), 0), {other:d}) END)::INTEGER"""
    return codes, known


def _places(models: Sequence[Scope], known: dict[str, list[str]]) -> Int32Array:
    """The position in `models` by the two codes of `_codes`, -1 for a pair that is not in it."""
    numbers: list[dict[str | None, int]] = [
        {None: 0, **{value: n + 1 for n, value in enumerate(values)}} for values in known.values()
    ]
    places = np.full([len(number) + 1 for number in numbers], -1, np.int32)
    for position, model in enumerate(models):
        places[numbers[0][model[0]], numbers[1][model[1]]] = position
    return places
