"""What a shadow run would ask and what it could cost: a stratified sample of calls, each priced at its worst.

Only calls whose messages and answer are in the store, without tools, images or side effects, can be asked again.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import msgspec
import numpy as np
from numpy.typing import NDArray

from analysis.price_book import vocabulary
from analysis.pricing import rate_table
from analysis.pricing.load_rates import load_rates
from analysis.pricing.model_info import model_info
from ingest.contents import tokenizer
from ingest.errors import InputError
from ingest.store.database import Store
from replay.message_text import texts
from replay.shadow import judge, sampling

Int64 = NDArray[np.int64]

MARGIN = 1.10  # of input tokens, over what the local tokenizer counts; other vendors' count up to 14 % more
FRAME = 64


@dataclass(frozen=True)
class Question:
    """One logged call that can be asked again: its messages and the answer it got."""

    call_no: int
    stratum: int
    model: str
    messages: list[dict[str, Any]]
    answer: str
    output_tokens: int
    conversation: str | None = None


@dataclass(frozen=True)
class Plan:
    """What a run would do, and what it could cost. Money in pico-dollars."""

    model: str
    judge: str | None
    questions: tuple[Question, ...]
    population: Int64  # stratum of every call that could have been drawn
    strata: tuple[str, ...]
    skipped: int  # calls without text, or with content that cannot be sent again
    expected: int
    most: int
    prices: Prices
    seed: int

    def identity(self) -> dict[str, Any]:
        """What a journal must agree on to be resumed."""
        return {
            "model": self.model,
            "judge": self.judge,
            "calls": [question.call_no for question in self.questions],
            "seed": self.seed,
        }


@dataclass(frozen=True)
class Prices:
    """Exact cost of calls to the candidate and the judge, by the price book."""

    rates: rate_table.RateTable
    index: dict[str, int]

    @classmethod
    def load(cls, store: Store, models: Sequence[str]) -> Prices:
        """Raises InputError for a model without a price: its cost could not be kept under a budget."""
        with store.read() as con:
            rates = load_rates(con, [_pair(name) for name in models])
        found = cls(rates, {name: place for place, name in enumerate(models)})
        for name in models:
            if found.cost(name, 1000, 1000) is None:
                raise InputError(
                    f"'{name}' has no price, so no budget can be kept",
                    remedy=f"Set one: hindcast prices set {name} --input USD --output USD",
                )
        return found

    def cost(self, model: str, input_tokens: int, output_tokens: int) -> int | None:
        usage = rate_table.Usage(
            model=np.array([self.index[model]], np.int32),
            start_ms=np.array([vocabulary.NO_TIME], np.int64),
            input=np.array([input_tokens], np.int64),
            output=np.array([output_tokens], np.int64),
        )
        total = int(self.rates.price(usage).total[0])
        return None if total == vocabulary.UNPRICED else total


def _pair(name: str) -> tuple[str | None, str]:
    provider, slash, model = name.partition("/")
    return (provider, model) if slash else (None, name)


# -- the plan ----------------------------------------------------------------------------------------------------------


def plan(
    store: Store,
    model: str,
    *,
    calls: int = 200,
    judge_model: str | None = None,
    task: str | None = None,
    seed: int = 0,
) -> Plan:
    """Draw the sample and price it. Raises InputError where no call can be asked again."""
    models = [model, *([judge_model] if judge_model and judge_model != model else [])]
    prices = Prices.load(store, models)
    numbers, stratum, names, skipped = _candidates(store, task)
    if not len(numbers):
        raise InputError(
            "no call of this log can be asked again: its messages and its answer must be in the store",
            remedy="Ingest with texts (without --no-text), and check --task.",
        )
    chosen = sampling.draw(stratum, calls, seed)
    questions = tuple(_questions(store, numbers[chosen], stratum[chosen]))
    expected = most = 0
    for question in questions:
        likely, worst = costs(prices, model, judge_model, question)
        expected += likely
        most += worst
    return Plan(model, judge_model, questions, stratum, names, skipped, expected, most, prices, seed)


def _candidates(store: Store, task: str | None) -> tuple[Int64, Int64, tuple[str, ...], int]:
    """Calls with all texts and no side effects: numbers, strata, names of strata; how many others there are."""
    with store.read() as con:
        rows = con.execute(
            """
            WITH known AS (
                SELECT content_id FROM contents WHERE text IS NOT NULL AND NOT contains(text, '"tool_calls"')
                   AND NOT contains(text, '"image_url"') AND coalesce(role, '') NOT IN ('tool', 'function')
            ), spoken AS (
                SELECT c.call_no FROM (SELECT call_no, unnest(message_ids) AS content_id FROM calls) c
                LEFT JOIN known USING (content_id)
                GROUP BY c.call_no HAVING count(*) = count(known.content_id)
            )
            SELECT call_no, coalesce(agent, '-') || ' / ' || coalesce(task, '-') AS stratum,
                   call_no IN (SELECT call_no FROM spoken) AND tools_id IS NULL
                   AND output_id IN (SELECT content_id FROM known) AND status = 'ok'
                   AND NOT coalesce(pending_tool_calls, false) AND coalesce(output_tokens, 0) > 0 AS usable
            FROM calls WHERE $task IS NULL OR lower(task) = lower($task) ORDER BY call_no""",
            {"task": task},
        ).fetchall()
    usable = [row for row in rows if row[2]]
    names = sorted({row[1] for row in usable})
    place = {name: number for number, name in enumerate(names)}
    return (
        np.array([row[0] for row in usable], np.int64),
        np.array([place[row[1]] for row in usable], np.int64),
        tuple(names),
        len(rows) - len(usable),
    )


def _questions(store: Store, numbers: Int64, stratum: Int64) -> Iterator[Question]:
    with store.read() as con:
        for number, layer in zip(numbers.tolist(), stratum.tolist(), strict=True):
            row = con.execute(
                "SELECT model, output_tokens, message_ids, output_id, conversation_id FROM calls WHERE call_no = ?",
                [number],
            ).fetchall()[0]
            found = dict(
                con.execute(
                    "SELECT content_id, text FROM contents WHERE content_id IN (SELECT unnest(?::INTEGER[]))",
                    [[*row[2], row[3]]],
                ).fetchall()
            )
            messages = [_plain(msgspec.json.decode(found[content])) for content in row[2]]
            answer = "\n".join(texts(msgspec.json.decode(found[row[3]])))
            yield Question(number, layer, str(row[0]), messages, answer, int(row[1]), row[4])


def _plain(message: dict[str, Any]) -> dict[str, Any]:
    """A message as any chat-completions endpoint takes it: a role and a text."""
    role = message.get("role")
    known = role if role in ("system", "user", "assistant", "developer") else "user"
    return {"role": "system" if known == "developer" else known, "content": "\n".join(texts(message))}


def count(messages: Sequence[dict[str, Any]], model: str) -> int:
    encoding = model_info(*_pair(model)).encoding or "o200k_base"
    return sum(tokenizer.count(str(message["content"]), encoding) + tokenizer.FRAME_TOKENS for message in messages)


def room(question: Question) -> int:
    """Room for the answer: twice the logged one, so that length can be measured, and never without end."""
    return max(2 * question.output_tokens, 256)


def costs(prices: Prices, model: str, judge_model: str | None, question: Question) -> tuple[int, int]:
    """(expected, worst case) of one question with its two judgements."""
    read = count(question.messages, model)
    likely = price(prices, model, read, question.output_tokens)
    worst = price(prices, model, padded(read), room(question))
    if judge_model is not None:
        short = _judge_tokens(question, question.output_tokens, judge_model)
        long = _judge_tokens(question, room(question), judge_model)
        likely += 2 * price(prices, judge_model, short, 12)
        worst += 2 * price(prices, judge_model, padded(long), judge.MAX_TOKENS)
    return likely, worst


def _judge_tokens(question: Question, output_tokens: int, judge_model: str) -> int:
    return count(judge.prompt(asked(question), question.answer, ""), judge_model) + output_tokens


def price(prices: Prices, model: str, input_tokens: int, output_tokens: int) -> int:
    cost = prices.cost(model, input_tokens, output_tokens)
    assert cost is not None  # Prices.load has checked it
    return cost


def padded(tokens: int) -> int:
    """Input tokens with room for a tokenizer that counts more than the local one."""
    return int(tokens * MARGIN) + FRAME


def asked(question: Question) -> str:
    """The request as one text, for a judge."""
    return "\n\n".join(f"[{message['role']}] {message['content']}" for message in question.messages)
