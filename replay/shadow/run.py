"""Ask another model a sample of the logged questions under a budget, and score its answers.

Before every call its worst case is reserved: it is made only if the budget bears it. Answers are judged blind, in both
orders, and stored as paired scores of the logged and the other model.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from analysis.formatting import usd
from analysis.money import dollars
from ingest.errors import InputError
from ingest.store.database import Store
from replay.shadow import judge, sampling
from replay.shadow.endpoint import DEADLINE_S, Client, Endpoint, UnusableAnswerError
from replay.shadow.journal import Journal
from replay.shadow.plan import Plan, Question, asked, costs, count, padded, plan, price, room

__all__ = ["Plan", "Result", "plan", "run"]

SOURCE = "shadow"


@dataclass(frozen=True)
class Result:
    """What a run found. `candidate` and `logged` are intervals of the mean score over all calls it speaks for."""

    plan: Plan
    answered: int
    judged: int
    lost: int  # begun and never finished: counted as paid, not asked again
    failed: int
    unusable: int  # answers that are none: counted as paid at their worst case
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
            "unusable": self.unusable,
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
    """One run in progress. `beyond` is set once a call cost more than its worst case."""

    plan: Plan
    endpoint: Endpoint
    journal: Journal
    budget: int
    beyond: bool = False

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
            reply = self.endpoint.send(model, messages, most)
        except InputError:
            self.journal.cancel(key)
            raise
        except TimeoutError:  # it may have been billed: it stays begun, at its worst case
            return None
        except UnusableAnswerError:
            self.journal.finish(key, reserved, failed=True, unusable=True, **about)
            return None
        if reply is None:
            self.journal.finish(key, 0, failed=True, **about)
            return None
        cost = reserved  # where usage is not told, as much as it can have been
        if reply.input_tokens is not None and reply.output_tokens is not None:
            cost = price(self.plan.prices, model, reply.input_tokens, reply.output_tokens)
            self.beyond = self.beyond or cost > reserved
        self.journal.finish(
            key, cost, text=reply.text, input_tokens=reply.input_tokens, output_tokens=reply.output_tokens, **about
        )
        return self.journal.done[key]


def run(
    store: Store,
    chosen: Plan,
    client: Client,
    journal_path: Path,
    *,
    budget: int,
    pause: Callable[[float], None] = time.sleep,
    done: Callable[[int], None] | None = None,
    deadline_s: float = DEADLINE_S,
) -> Result:
    """Ask, judge and store, up to `budget` pico-dollars in all, counting what earlier runs of this journal spent.

    An endpoint that counts more tokens than it was allowed can exceed the budget by one call; the run then ends.
    `pause` sleeps between attempts, and one attempt lasts `deadline_s` seconds at most.
    """
    endpoint = Endpoint(client, pause, deadline_s)
    with Journal.open(journal_path, chosen.identity()) as journal:
        state = _Run(chosen, endpoint, journal, budget)
        try:
            stopped = _ask_all(state, done)
        finally:  # what was paid for is kept, however the run ended
            scored = _scores(chosen, journal)
            _store(store, chosen, journal, scored)
    return _result(chosen, state, scored, stopped)


def _ask_all(state: _Run, done: Callable[[int], None] | None) -> str | None:
    """Ask and judge every question; why it stopped before the last, or None."""
    chosen = state.plan
    for question in chosen.questions:
        key = f"answer:{question.call_no}"
        if not state.journal.seen(key):
            worst = costs(chosen.prices, chosen.model, chosen.judge, question)[1]
            if not state.affordable(worst):
                return "the budget does not bear the next call's worst case"
        about = {"call_no": question.call_no, "logged_output_tokens": question.output_tokens}
        answer = state.ask(key, chosen.model, question.messages, room(question), about)
        given = answer is not None and not answer.get("failed") and chosen.judge is not None
        if not state.beyond and given and not _judge(state, question, str(answer["text"] if answer else "")):
            return "the budget does not bear the next judgement's worst case"
        if state.beyond:
            return "the endpoint counted more tokens than it was asked for"
        if done:
            done(1)
    return None


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
    names = [question.conversation or f"call {question.call_no}" for question in both]
    unit = np.unique(names, return_inverse=True)[1].astype(np.int64) if both else np.zeros(0, np.int64)

    def mean(place: int) -> sampling.Interval | None:
        if not both:
            return None
        values = np.array([scored[question.call_no][place] for question in both])
        return sampling.interval(values, stratum, chosen.population, unit=unit)

    return Result(
        plan=chosen,
        answered=len(answers),
        judged=len(scored),
        lost=len(journal.begun),
        failed=sum(bool(e.get("failed")) and not e.get("unusable") for e in journal.done.values()),
        unusable=sum(bool(e.get("unusable")) for e in journal.done.values()),
        spent=journal.spent,
        stopped=stopped,
        candidate=mean(1),
        logged=mean(0),
        length_ratio=sum(int(e["output_tokens"]) for e in known) / logged_length if logged_length else None,
    )
