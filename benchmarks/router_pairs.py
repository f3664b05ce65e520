"""The learned router beside prompt length, a table of tasks and an oracle, on every pair of public outcomes.

Quality, not speed: average performance gap recovered (APGR) and dollars at 95 % of the strong model's quality, five
folds each. The router's settings were chosen on the first pair; the others check that it is not tuned to it. Reads
`routing_outcomes.parquet` (ZeroEval, RouteLLM) from the folder of real data: HINDCAST_DATA, else beside the project.
"""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import polars as pl

from replay.optimize import learned_router

ROOT = Path(__file__).resolve().parent.parent
DATA = Path(os.environ.get("HINDCAST_DATA", ROOT.parent / "shared" / "data")) / "routing_outcomes.parquet"
PAIRS = (
    ("zeroeval", "claude-3-5-sonnet-20241022", "claude-3-haiku-20240307"),
    ("zeroeval", "claude-3-5-sonnet-20241022", "claude-3-5-haiku-20241022"),
    ("zeroeval", "claude-3-opus-20240229", "claude-3-haiku-20240307"),
    ("zeroeval", "gpt-4o-2024-08-06", "gpt-4o-mini-2024-07-18"),
    ("zeroeval", "gpt-4o-2024-08-06", "gpt-3.5-turbo-0125"),
    ("zeroeval", "gpt-4-turbo-2024-04-09", "gpt-3.5-turbo-0125"),
    ("zeroeval", "gemini-1.5-pro", "gemini-1.5-flash"),
    ("zeroeval", "Llama-3.1-405B-Inst@sambanova", "Meta-Llama-3.1-8B-Instruct"),
    ("zeroeval", "Meta-Llama-3.1-70B-Instruct", "Meta-Llama-3.1-8B-Instruct"),
    ("zeroeval", "Mistral-Large-2", "Mixtral-8x7B-Instruct-v0.1"),
    ("zeroeval", "gemma-2-27b-it", "gemma-2-9b-it"),
    ("routellm_gsm8k", "gpt-4-1106-preview", "mistralai/Mixtral-8x7B-Instruct-v0.1"),
)


def outcomes(rows: pl.DataFrame, strong: str, weak: str) -> learned_router.Outcomes:
    """The queries that both models answered."""
    wide = rows.filter(pl.col("model").is_in([strong, weak])).pivot(
        on="model", index=["task", "query_id", "prompt"], values=["quality", "cost_usd"], aggregate_function="first"
    )
    wide = wide.drop_nulls().sort("task", "query_id")
    return learned_router.Outcomes(
        texts=wide["prompt"].to_list(),
        task=wide["task"].rank("dense").to_numpy().astype(np.int64) - 1,
        strong=wide[f"quality_{strong}"].to_numpy().astype(float),
        weak=wide[f"quality_{weak}"].to_numpy().astype(float),
        strong_cost=wide[f"cost_usd_{strong}"].to_numpy(),
        weak_cost=wide[f"cost_usd_{weak}"].to_numpy(),
    )


def main() -> None:
    if not DATA.exists():
        print(f"the outcomes are not at {DATA} (set HINDCAST_DATA)")
        return
    rows = pl.read_parquet(DATA)
    names = ("length", "task table", "learned", "oracle")
    print(
        f"{'strong > weak':64} {'calls':>6}"
        + "".join(f"{name:>12}" for name in names)
        + "   cost at 95 %: length, learned"
    )
    for source, strong, weak in PAIRS:
        found = outcomes(rows.filter(pl.col("source") == source), strong, weak)
        table = {row.name: row for row in learned_router.compare(found)}
        values = "".join(
            f"{'refused' if table[name].apgr is None else format(table[name].apgr, '.3f'):>12}" for name in names
        )
        cost = " ".join(
            "-" if table[name].cost_at is None else f"{table[name].cost_at:.3f}" for name in ("length", "learned")
        )
        print(f"{strong.split('/')[-1] + ' > ' + weak.split('/')[-1]:64} {len(found):>6}{values}   {cost}", flush=True)
