"""Why a provider's prompt cache was read less: what calls sent again, or for the first time, without reading it.

A turn of a conversation can read what the turn before read and wrote, or sent where the log does not tell writes. What
it did not read was lost, by the first of these reasons that holds: the conversation had no turn before (a cold start),
another model answered, more time had passed than the cache keeps a prompt, or the prompt begins otherwise.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from analysis.causes.call_evidence import FIRST, SAMPLE_ROWS, CallQueries, Scope

COLD, MODEL, EXPIRED, PREFIX = "cold", "model", "expired", "prefix"
REASONS: Final = (COLD, MODEL, EXPIRED, PREFIX)
LIFE_S: Final = 300  # how long a prompt is kept where no hour was asked for: 5 minutes (Anthropic, OpenAI; 2026-11)
HOUR_S: Final = 3600
LEAST_TOKENS: Final = 1024  # shorter prompts are not cached (Anthropic, OpenAI; 2026-11)
BLOCK: Final = 128  # OpenAI reads whole blocks of so many tokens; less is no loss
COMPARED: Final = 50  # turns, the dearest, whose prompts are held against the ones before

# A lane is a conversation of one agent with one opening: its first content that is no instruction, which tells
# sub-agents of one name apart.
_STEPS: Final = """
    base AS NOT MATERIALIZED ({base} AND conversation_id IS NOT NULL AND input_tokens >= {least}
                              AND cache_read_input_tokens IS NOT NULL AND {first}),
    size AS (SELECT greatest(count(*) // {sample}, 1) AS every FROM base),
    called AS (
        SELECT b.* EXCLUDE (end_time), coalesce(b.end_time, b.start_time) AS ended,
               coalesce(cache_creation_input_tokens, 0) AS wrote,
               bool_or(cache_creation_input_tokens > 0) OVER (PARTITION BY model) AS tells_writes,
               message_ids[CASE WHEN c.role IN ('system', 'developer') THEN 2 ELSE 1 END] AS opening
        FROM size, base b LEFT JOIN contents c ON c.content_id = b.message_ids[1]
        WHERE hash(session) % every = 0),
    steps AS (
        SELECT *, row_number() OVER lane AS turn, lag(ended) OVER lane AS since, lag(model) OVER lane AS other_model,
               lag(coalesce(cache_creation_1h_input_tokens, 0) > 0) OVER lane AS for_an_hour,
               lag(message_ids) OVER lane AS sent_before,
               lag(CASE WHEN tells_writes THEN cache_read_input_tokens + wrote ELSE input_tokens END) OVER lane AS kept,
               lag(ended) OVER (PARTITION BY start_time::DATE, agent, model ORDER BY start_time, source_id, source_row)
                   > start_time AS beside
        FROM called
        WINDOW lane AS (PARTITION BY start_time::DATE, hash(conversation_id), agent, opening
                        ORDER BY start_time, source_id, source_row)),
    judged AS (
        SELECT *, CASE WHEN turn = 1 THEN input_tokens WHEN kept >= {least} THEN least(kept, input_tokens) ELSE 0 END
                  - cache_read_input_tokens AS missed,
               CASE WHEN turn = 1 THEN 'cold' WHEN model <> other_model THEN 'model'
                    WHEN epoch(start_time - since) > CASE WHEN for_an_hour THEN {hour} ELSE {life} END THEN 'expired'
                    ELSE 'prefix' END AS reason
        FROM steps)
"""


@dataclass(frozen=True)
class Misses:
    """On the baseline days and on the day, as shares: what was not read of the input tokens, by reason, and of turns,
    those that lost their prefix; of cold starts, those while another call of the agent was running; of written tokens,
    those to be kept for an hour."""

    tokens: Mapping[str, tuple[float, float]]
    turns: Mapping[str, tuple[float, float]]
    beside: tuple[float, float]
    for_an_hour: tuple[float, float]

    def rise(self, reason: str) -> float:
        """By how much the share of input tokens that were missed for this reason grew."""
        before, after = self.tokens[reason]
        return after - before


@dataclass(frozen=True)
class BrokenPrefix:
    """Of `compared` turns, `alike` first differ at the same message as the dearest one does.

    `message` counts from 1, `byte` from 0 in the UTF-8 of its text; None where the texts are not stored.
    """

    call_no: int
    turn: int
    message: int
    role: str | None
    byte: int | None
    alike: int
    compared: int


def misses(queries: CallQueries, scope: Scope) -> Misses | None:
    """None where no call of the scope tells its reads, or none is of a conversation."""
    steps, values = _steps(queries, scope)
    counts = ", ".join(
        f"coalesce(sum(missed * weight) FILTER (lost AND reason = '{reason}'), 0)::DOUBLE, "
        f"count(*) FILTER (lost AND reason = '{reason}')::DOUBLE" for reason in REASONS
    )  # fmt: skip
    rows = queries.ask(
        f"""WITH {steps}, told AS (SELECT *, missed > {BLOCK} AS lost FROM judged)
        SELECT today, sum(input_tokens * weight)::DOUBLE, count(*)::DOUBLE,
               count(*) FILTER (turn = 1 AND lost AND beside)::DOUBLE,
               coalesce(sum(cache_creation_1h_input_tokens), 0)::DOUBLE, sum(wrote)::DOUBLE, {counts}
        FROM told GROUP BY today""",
        values,
    )
    sides = {row[0]: row[1:] for row in rows}
    if True not in sides or False not in sides:
        return None
    before, after = sides[False], sides[True]

    def share(part: int, whole: int) -> tuple[float, float]:
        return tuple(side[part] / side[whole] if side[whole] else 0.0 for side in (before, after))  # type: ignore[return-value]

    return Misses(
        {reason: share(5 + 2 * place, 0) for place, reason in enumerate(REASONS)},
        {reason: share(6 + 2 * place, 1) for place, reason in enumerate(REASONS)},
        share(2, 6),
        share(3, 4),
    )


def broken_prefix(queries: CallQueries, scope: Scope) -> BrokenPrefix | None:
    """Where the prompts of the day's turns that lost their prefix begin to differ; None where no messages are stored,
    or every message that was sent before is there again."""
    steps, values = _steps(queries, scope)
    rows = queries.ask(
        f"""WITH {steps}
        SELECT call_no, turn, sent_before, message_ids FROM judged
        WHERE today AND reason = '{PREFIX}' AND missed > {BLOCK} AND len(message_ids) > 0 AND len(sent_before) > 0
        ORDER BY missed DESC, call_no LIMIT {COMPARED}""",
        values,
    )
    found = [(*row, place) for row in rows if (place := first_difference(row[2], row[3])) is not None]
    if not found:
        return None
    call_no, turn, was, now, place = found[0]
    ids = [held[place] for held in (was, now) if place < len(held)]
    stored = {
        one: (role, text)
        for one, role, text in queries.ask(
            "SELECT content_id, role, text FROM contents WHERE content_id IN (SELECT unnest($ids))", {"ids": ids}
        )
    }
    texts = [stored.get(one, (None, None))[1] for one in ids]
    byte = None
    if len(texts) == 2 and texts[0] is not None and texts[1] is not None:
        sent, sends = (text.encode("utf-8", "surrogatepass") for text in texts)
        differs = first_difference(sent, sends)
        byte = len(sent) if differs is None else differs
    alike = sum(one[4] == place for one in found)
    return BrokenPrefix(call_no, turn, place + 1, stored.get(ids[-1], (None, None))[0], byte, alike, len(rows))


def first_difference(before: Sequence[Any], after: Sequence[Any]) -> int | None:
    """The first place at which `after` does not go on as `before` does; None where it holds all of it."""
    pairs = enumerate(zip(before, after, strict=False))
    unlike = next((place for place, (one, other) in pairs if one != other), None)
    if unlike is not None:
        return unlike
    return len(after) if len(after) < len(before) else None


def _steps(queries: CallQueries, scope: Scope) -> tuple[str, dict[str, Any]]:
    base, values = queries.base(scope)
    return _STEPS.format(
        base=base, least=LEAST_TOKENS, first=FIRST, sample=SAMPLE_ROWS, hour=HOUR_S, life=LIFE_S
    ), values
