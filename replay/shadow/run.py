"""Ask another model a sample of the logged questions, under a budget that is never exceeded, and score its answers.

Before every call its worst case is reserved: it is made only if the budget bears it. Answers are judged blind, in both
orders, and stored as paired scores of the logged and the other model.
"""

from __future__ import annotations

import random
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

import numpy as np

from analysis.formatting import usd
from analysis.money import dollars
from ingest.errors import InputError
from ingest.store.database import Store
from replay.shadow import judge, sampling
from replay.shadow.journal import Journal
from replay.shadow.plan import Plan, Question, asked, costs, count, padded, plan, price, room

__all__ = ["Plan", "Result", "plan", "run"]

SOURCE = "shadow"
PATIENCE = 5  # attempts per call
STATUSES = (408, 409, 429, 500, 502, 503, 504, 529)


class Client(Protocol):
    """The part of `openai.OpenAI` that is used."""

    chat: Any


@dataclass(frozen=True)
class Result:
    """What a run found. `candidate` and `logged` are intervals of the mean score over all calls it speaks for."""

    plan: Plan
    answered: int
    judged: int
    lost: int  # begun and never finished: counted as paid, not asked again
    failed: int
    spent: int
    stopped: str | None
    candidate: sampling.Interval | None
    logged: sampling.Interval | None
    length_ratio: float | None

    def to_json(self) -> dict[str, Any]:
        def interval(found: sampling.Interval | None) -> dict[str, Any] | None:
            return None if found is None else {"mean": found.mean, "low": found.low, "high": found.high, "n": found.n}

        return {
            "model": self.plan.model,
            "judge": self.plan.judge,
            "asked": len(self.plan.questions),
            "answered": self.answered,
            "judged": self.judged,
            "lost": self.lost,
            "failed": self.failed,
            "skipped_calls": self.plan.skipped,
            "spent_usd": usd(dollars(self.spent)),
            "stopped": self.stopped,
            "candidate": interval(self.candidate),
            "logged": interval(self.logged),
            "output_ratio": self.length_ratio,
        }


# -- the run -----------------------------------------------------------------------------------------------------------


@dataclass
class _Run:
    """One run in progress. `pause` sleeps; tests give one that does not."""

    plan: Plan
    client: Client
    journal: Journal
    budget: int
    pause: Callable[[float], None]
    rng: random.Random = field(default_factory=lambda: random.Random(0))

    def affordable(self, worst: int) -> bool:
        return self.journal.spent + worst <= self.budget

    def ask(
        self, key: str, model: str, messages: Sequence[dict[str, Any]], most: int, about: dict[str, Any]
    ) -> dict[str, Any] | None:
        """One paid call, journalled. None where it failed for good, which costs nothing, or was begun before."""
        if self.journal.seen(key):
            return self.journal.done.get(key)
        reserved = price(self.plan.prices, model, padded(count(messages, model)), most)
        self.journal.begin(key, reserved)
        try:
            reply = self._send(model, messages, most)
        except InputError:
            self.journal.cancel(key)
            raise
        except TimeoutError:  # it may have been billed: it stays begun, at its worst case
            return None
        if reply is None:
            self.journal.finish(key, 0, failed=True, **about)
            return None
        usage = reply.usage
        if usage is None:  # not told: as much as it can have been
            cost, read, wrote = reserved, None, None
        else:
            read, wrote = int(usage.prompt_tokens), int(usage.completion_tokens)
            cost = price(self.plan.prices, model, read, wrote)
        text = reply.choices[0].message.content or ""
        self.journal.finish(key, cost, text=text, input_tokens=read, output_tokens=wrote, **about)
        return self.journal.done[key]

    def _send(self, model: str, messages: Sequence[dict[str, Any]], most: int) -> Any:
        """The reply, after polite retries; None where the endpoint refuses this request for good.

        TimeoutError where an answer may have been made and lost; InputError where no request can succeed.
        """
        import openai

        wait: float | None = None
        unreachable: Exception | None = None
        for attempt in range(PATIENCE):
            if attempt:
                self.pause(wait if wait is not None else min(2.0 ** (attempt - 1), 30.0) * self.rng.uniform(0.5, 1.0))
            wait = None
            try:
                return self.client.chat.completions.create(
                    model=model, messages=list(messages), max_tokens=most, temperature=0
                )
            except openai.APIStatusError as error:
                if error.status_code in (401, 403, 404):
                    raise InputError(
                        f"the endpoint refuses: {error.status_code} {_first_line(error)}",
                        remedy="Check --base-url, the model's name and the API key.",
                    ) from error
                if error.status_code not in STATUSES:
                    return None
                wait, unreachable = _retry_after(error), None
            except openai.APIConnectionError as error:
                # by name: the SDK's transport differs between its versions (httpx, httpx2)
                if type(error.__cause__).__name__ not in ("ConnectError", "ConnectTimeout"):
                    raise TimeoutError("sent, and never answered") from error
                unreachable = error
        if unreachable is not None:
            raise InputError(f"the endpoint cannot be reached: {_first_line(unreachable)}", remedy="Check --base-url.")
        return None


def _retry_after(error: Any) -> float | None:
    """Seconds that the endpoint asks to wait, at most a minute."""
    try:
        return min(max(float(error.response.headers.get("retry-after")), 0.0), 60.0)
    except (TypeError, ValueError, AttributeError):
        return None


def _first_line(error: Exception) -> str:
    return (str(error).splitlines() or [""])[0][:200]


def run(
    store: Store,
    chosen: Plan,
    client: Client,
    journal_path: Path,
    *,
    budget: int,
    pause: Callable[[float], None] = time.sleep,
    done: Callable[[int], None] | None = None,
) -> Result:
    """Ask, judge and store, up to `budget` pico-dollars in all, counting what earlier runs of this journal spent."""
    state = _Run(chosen, client, Journal.open(journal_path, chosen.identity()), budget, pause)
    stopped = None
    for question in chosen.questions:
        key = f"answer:{question.call_no}"
        if not state.journal.seen(key):
            worst = costs(chosen.prices, chosen.model, chosen.judge, question)[1]
            if not state.affordable(worst):
                stopped = "the budget does not bear the next call's worst case"
                break
        about = {"call_no": question.call_no, "logged_output_tokens": question.output_tokens}
        answer = state.ask(key, chosen.model, question.messages, room(question), about)
        given = answer is not None and not answer.get("failed") and chosen.judge is not None
        if given and not _judge(state, question, str(answer["text"] if answer else "")):
            stopped = "the budget does not bear the next judgement's worst case"
            break
        if done:
            done(1)
    scored = _scores(chosen, state.journal)
    _store(store, chosen, state.journal, scored)
    return _result(chosen, state, scored, stopped)


def _judge(state: _Run, question: Question, answer: str) -> bool:
    """Both orders of one pair; False where the budget does not bear them."""
    assert state.plan.judge is not None
    for order, pair in (("ab", (question.answer, answer)), ("ba", (answer, question.answer))):
        key = f"judge:{question.call_no}:{order}"
        messages = judge.prompt(asked(question), *pair)
        if not state.journal.seen(key):
            tokens = padded(count(messages, state.plan.judge))
            if not state.affordable(price(state.plan.prices, state.plan.judge, tokens, judge.MAX_TOKENS)):
                return False
        state.ask(key, state.plan.judge, messages, judge.MAX_TOKENS, {"call_no": question.call_no})
    return True


def _scores(chosen: Plan, journal: Journal) -> dict[int, tuple[float, float]]:
    """By call: (logged, candidate) scores, averaged over the orders in which both could be read."""
    found = {}
    for question in chosen.questions:
        pairs = []
        for order in ("ab", "ba"):
            entry = journal.done.get(f"judge:{question.call_no}:{order}")
            both = judge.verdict(str(entry.get("text", ""))) if entry and not entry.get("failed") else None
            if both is not None:
                pairs.append(both if order == "ab" else both[::-1])
        if len(pairs) == 2:  # one order alone would carry the judge's bias for a place
            found[question.call_no] = (sum(p[0] for p in pairs) / 2, sum(p[1] for p in pairs) / 2)
    return found


def _store(store: Store, chosen: Plan, journal: Journal, scored: dict[int, tuple[float, float]]) -> None:
    """Paired scores and answer lengths; a repeated run replaces its own rows."""
    source = f"{SOURCE}:{chosen.judge}"
    rows = []
    for question in chosen.questions:
        if question.call_no in scored:
            logged, candidate = scored[question.call_no]
            rows += [
                (question.call_no, question.model, logged, source),
                (question.call_no, chosen.model, candidate, source),
            ]
    answers = [
        (entry["call_no"], chosen.model, entry["input_tokens"], entry["output_tokens"])
        for key, entry in sorted(journal.done.items())
        if key.startswith("answer:") and not entry.get("failed") and entry.get("output_tokens") is not None
    ]
    if not rows and not answers:
        return
    with store.write() as con:
        con.execute(
            """CREATE TABLE IF NOT EXISTS shadow_answers (
                   call_no BIGINT, model VARCHAR, input_tokens BIGINT, output_tokens BIGINT)"""
        )
        for number, model, _, name in rows:
            con.execute("DELETE FROM scores WHERE call_no = ? AND model = ? AND source = ?", [number, model, name])
        for number, model, *_ in answers:
            con.execute("DELETE FROM shadow_answers WHERE call_no = ? AND model = ?", [number, model])
        if rows:
            con.executemany("INSERT INTO scores VALUES (?, ?, ?, ?)", rows)
        if answers:
            con.executemany("INSERT INTO shadow_answers VALUES (?, ?, ?, ?)", answers)


def _result(chosen: Plan, state: _Run, scored: dict[int, tuple[float, float]], stopped: str | None) -> Result:
    journal = state.journal
    answers = [e for key, e in journal.done.items() if key.startswith("answer:") and not e.get("failed")]
    known = [e for e in answers if e.get("output_tokens") is not None]
    logged_length = sum(int(e["logged_output_tokens"]) for e in known)
    both = [question for question in chosen.questions if question.call_no in scored]
    stratum = np.array([question.stratum for question in both], np.int64)

    def mean(place: int) -> sampling.Interval | None:
        if not both:
            return None
        values = np.array([scored[question.call_no][place] for question in both])
        return sampling.interval(values, stratum, chosen.population)

    return Result(
        plan=chosen,
        answered=len(answers),
        judged=len(scored),
        lost=len(journal.begun),
        failed=sum(bool(e.get("failed")) for e in journal.done.values()),
        spent=journal.spent,
        stopped=stopped,
        candidate=mean(1),
        logged=mean(0),
        length_ratio=sum(int(e["output_tokens"]) for e in known) / logged_length if logged_length else None,
    )
