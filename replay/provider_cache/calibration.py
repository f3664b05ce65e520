"""How well the simulated prompt cache agrees with the cached tokens that the log shows, and what to correct it by.

The rules say what could be cached; which machine serves a request is not in any log. So the simulation is scaled by
logged / simulated tokens, and each call is predicted by a factor that its own conversation had no part in: the
conversations are dealt into folds, and a fold is predicted from the others. The baseline to beat is the rule of thumb
that a call finds cached what its conversation's previous call sent.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import polars as pl
from numpy.typing import NDArray

from ingest.store.database import has_tables
from replay.provider_cache import simulate
from replay.traffic.load_prompts import chain_encoding, load_prompts
from replay.traffic.rule_columns import ORDER
from replay.traffic.traffic import Traffic

Int32 = NDArray[np.int32]
Int64 = NDArray[np.int64]
Float = NDArray[np.float64]

FOLDS = 5
MINIMUM, STEP = 1024, 128  # of the rule of thumb: OpenAI, 'Prompt Caching in the API', 2024-10-01


@dataclass(frozen=True)
class Agreement:
    """Cached tokens of one segment's calls that log them: as logged, simulated, predicted and by the rule of thumb."""

    provider: str | None
    model: str | None
    workflow: str | None
    calls: int
    logged: int
    simulated: int  # by the rules alone
    predicted: int  # corrected, out of fold
    naive: int
    factor: float | None  # logged / simulated over all folds
    low: float | None  # the smallest and largest factor of a fold: the band of the correction
    high: float | None
    error_per_call: float  # mean absolute error of the prediction, tokens
    naive_error_per_call: float

    @property
    def error(self) -> float | None:
        """Relative error of the predicted total."""
        return self.predicted / self.logged - 1 if self.logged else None

    @property
    def naive_error(self) -> float | None:
        """Error of the uncalibrated simulation as a share of the logged tokens; None where none were logged."""
        return self.naive / self.logged - 1 if self.logged else None


def agreement(traffic: Traffic, *, folds: int = FOLDS) -> list[Agreement]:
    """One row per (provider, model, workflow) whose calls have a rule and known cached tokens, in that order.

    Known: logged, or solved from the logged cost where the ledger accepted the solution
    (analysis.ledger.inferred_cache_reads).
    """
    frame = _columns(traffic)
    logged = _known(frame)
    pairs = traffic.models
    rule, rules = simulate.rules_of([a for a, _ in pairs], [b for _, b in pairs], traffic.model, traffic.start_ms)
    known = (logged >= 0) & (rule >= 0)
    if not known.any():
        return []
    prompts = load_prompts(traffic, texts=False)
    simulated = simulate.simulate(
        simulate.block_chains(prompts, chain_encoding(prompts.contents)),
        scope=traffic.model,
        start_ms=traffic.start_ms,
        alive=~traffic.gateway_hit,
        rule=rule,
        rules=rules,
        input_tokens=traffic.usage.input,
        answer_tokens=simulate.prompted_answers(traffic.usage.output, traffic.usage.reasoning),
    ).cached_tokens
    conversation = _order_of_appearance(frame["conversation"])
    naive = _same_conversation(traffic, conversation, frame["agent"].fill_null("").to_list())
    fold = conversation % folds
    workflow = frame["workflow"].to_list()
    labels = [(*pairs[model], name) for model, name in zip(traffic.model.tolist(), workflow, strict=True)]
    rows: dict[tuple[str | None, str | None, str | None], list[int]] = {}
    for row in np.flatnonzero(known).tolist():
        rows.setdefault(labels[row], []).append(row)
    order = sorted(rows, key=lambda label: tuple(part or "" for part in label))
    return [_of(label, np.array(rows[label]), logged, simulated, naive, fold, folds) for label in order]


def known_cached_tokens(traffic: Traffic) -> Int64:
    """Cached tokens per call: logged, else solved from the logged cost; -1 where neither tells them."""
    return _known(_columns(traffic))


def _known(frame: pl.DataFrame) -> Int64:
    return frame["cached"].fill_null(-1).to_numpy().astype(np.int64)


def _of(
    label: tuple[str | None, str | None, str | None],
    rows: Int64,
    logged: Int64,
    simulated: Int64,
    naive: Int64,
    fold: Int64,
    folds: int,
) -> Agreement:
    actual, raw, mine = logged[rows], simulated[rows], fold[rows]
    predicted = np.zeros(len(rows))
    factors = []
    for number in range(folds):
        others, held = raw[mine != number].sum(), mine == number
        factor = float(actual[mine != number].sum() / others) if others else 1.0
        predicted[held] = raw[held] * factor
        if held.any() and others:
            factors.append(factor)
    return Agreement(
        *label,
        calls=len(rows),
        logged=int(actual.sum()),
        simulated=int(raw.sum()),
        predicted=round(float(predicted.sum())),
        naive=int(naive[rows].sum()),
        factor=float(actual.sum() / raw.sum()) if raw.sum() else None,
        low=min(factors, default=None),
        high=max(factors, default=None),
        error_per_call=float(np.abs(predicted - actual).mean()),
        naive_error_per_call=float(np.abs(naive[rows] - actual).mean()),
    )


_INFERRED = """LEFT JOIN (SELECT call_no, cache_read_input_tokens AS solved FROM inferred_cache_reads) AS inferred
               USING (call_no)"""


def _columns(traffic: Traffic) -> pl.DataFrame:
    with traffic.store.read() as con:
        cached, join = "cache_read_input_tokens", ""
        if has_tables(con, "inferred_cache_reads"):
            cached, join = "coalesce(cache_read_input_tokens, solved)", _INFERRED
        return con.sql(
            f"""
            SELECT call_no, {cached} AS cached, workflow_name AS workflow, agent,
                   coalesce(conversation_id, 'call ' || call_no) AS conversation
            FROM calls {join} WHERE {traffic.where} ORDER BY {ORDER}"""
        ).pl()


def _order_of_appearance(values: pl.Series) -> Int64:
    seen: dict[str, int] = {}
    return np.array([seen.setdefault(value, len(seen)) for value in values.to_list()], np.int64)


def _same_conversation(traffic: Traffic, conversation: Int64, agents: list[str]) -> Int64:
    """The rule of thumb: what the conversation's previous call to the model sent, in whole steps from the minimum."""
    sent: dict[tuple[int, int, str], int] = {}
    naive = np.zeros(len(traffic), np.int64)
    whole = np.maximum(traffic.usage.input, 0).tolist()
    keys = zip(conversation.tolist(), traffic.model.tolist(), agents, strict=True)
    for row, key in enumerate(keys):
        before = sent.get(key, 0)
        naive[row] = before - before % STEP if before >= MINIMUM else 0
        sent[key] = whole[row]
    return naive
