"""What a changed prompt does to the calls that use it: dollars, tokens, and the prefix that the provider has cached."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import date
from decimal import Decimal
from typing import Any, Final

import msgspec
import numpy as np
from numpy.typing import NDArray

from analysis.formatting import count, money, named, share, usd
from analysis.money import dollars, exact_sum
from replay import message_text
from replay.engine.engine import Engine
from replay.engine.outcome import Outcome
from replay.stages.compression import DEFAULT_ENCODING
from replay.stages.prompt_changes import Use
from replay.strategy.prompts_schema import PromptChange
from replay.traffic.prompts import KINDS, Prompts
from replay.traffic.template_text import first_difference, likeness
from replay.traffic.traffic import EPOCH

Bools = NDArray[np.bool_]
LOOKED_AT: Final = 200  # calls, evenly spaced, that tell how far a prompt stays as it was
COMPARED: Final = 500  # texts, the most used first, that the nearest to a text is looked for in
OPENING: Final = 60  # characters of a prompt that name it


@dataclass(frozen=True)
class PromptEffect:
    """One change over the window. Costs are of the calls that use it and have a price; tokens are means per call.

    `prefix_tokens` is how much of a typical call's prompt stays as it was before the first difference, `breaks` whether
    the provider had more than that cached: None where no prompt cache served these calls.
    """

    change: PromptChange
    calls: int
    unknown: int  # calls without text, which may use it
    before_pico: int
    after_pico: int
    before_per_day: Decimal  # dollars, over the complete days
    after_per_day: Decimal
    input_tokens: tuple[float, float] | None
    cached_tokens: tuple[float, float] | None
    difference: tuple[int, int] | None  # (byte, line) of the file
    prefix_tokens: int | None
    breaks: bool | None
    not_found: str = ""

    @property
    def per_call(self) -> tuple[Decimal, Decimal]:
        """Dollars a call, before and after."""
        number = max(self.calls, 1)
        return dollars(round(self.before_pico / number)), dollars(round(self.after_pico / number))

    @property
    def sentences(self) -> tuple[str, ...]:
        """What a reader of the change should know, the dollars first."""
        if not self.calls:
            return (self.not_found,)
        return tuple(self._told())

    def _told(self) -> Iterator[str]:
        before, after = self.before_per_day, self.after_per_day
        first, then = self.per_call
        rise = f" ({share(float(after / before - 1), sign=True)})" if before else ""
        yield (
            f"{self.change.label}: {money(after - before, sign=True)} a day, {money(after)} instead of {money(before)}"
            f"{rise}; {money(then)} instead of {money(first)} for each of {count(self.calls, 'call')}."
        )
        if self.input_tokens:
            yield f"Input of a call: {self.input_tokens[1]:,.0f} tokens instead of {self.input_tokens[0]:,.0f}."
        if self.difference is None:
            yield "The two texts are equal."
            return
        where = f"byte {self.difference[0]:,} (line {self.difference[1]:,})"
        if self.breaks is None:
            yield f"They differ from {where} on; no prompt cache of a provider served these calls."
            return
        cached = f"{self.cached_tokens[1]:,.0f} instead of {self.cached_tokens[0]:,.0f}" if self.cached_tokens else "-"
        kept = f"the first {self.prefix_tokens:,} tokens of a typical call stay as they are"
        verb = "breaks" if self.breaks else "holds"
        yield f"The cached prefix {verb}: the texts differ from {where} on, {kept}; cached tokens of a call: {cached}."

    def to_json(self) -> dict[str, Any]:
        """Plain values: dollars as decimal strings."""
        first, then = self.per_call
        return {
            "old": self.change.old.file if self.change.old else None, "new": self.change.new.file,
            "part": self.change.part, "calls": self.calls, "calls_without_text": self.unknown,
            "before_usd_per_day": usd(self.before_per_day), "after_usd_per_day": usd(self.after_per_day),
            "before_usd_per_call": usd(first), "after_usd_per_call": usd(then),
            "input_tokens_per_call": self.input_tokens, "cached_tokens_per_call": self.cached_tokens,
            "first_difference": {"byte": self.difference[0], "line": self.difference[1]} if self.difference else None,
            "unchanged_prefix_tokens": self.prefix_tokens, "cached_prefix_breaks": self.breaks,
            "sentences": list(self.sentences),
        }  # fmt: skip


def effects(engine: Engine, whole_days: Sequence[date]) -> list[PromptEffect]:
    """The effect of each change of the strategy's `prompts`, without its other stages."""
    outcome = engine.evaluate(frozenset({"prompts"}))
    return [_effect(engine, outcome, use, whole_days) for use in engine.requests.reworded.uses]


def _effect(engine: Engine, outcome: Outcome, use: Use, whole_days: Sequence[date]) -> PromptEffect:
    traffic, change = engine.traffic, use.change
    calls = traffic.window & use.calls & engine.comparable
    unknown = int((traffic.window & use.unknown).sum())
    days = [(day - EPOCH).days for day in whole_days] or np.unique(traffic.day[traffic.window]).tolist()
    daily = calls & np.isin(traffic.day, days)
    before, after = (exact_sum(cost[calls]) for cost in (traffic.cost, outcome.cost_pico))
    per_day = [dollars(round(exact_sum(cost[daily]) / max(len(days), 1))) for cost in (traffic.cost, outcome.cost_pico)]
    read = traffic.usage.cache_read
    cached = None
    if calls.any() and outcome.cached_tokens is not None:
        logged = np.zeros(len(traffic), np.int64) if read is None else np.maximum(read, 0)
        cached = float(logged[calls].mean()), float(np.maximum(outcome.cached_tokens, 0)[calls].mean())
    prefix = _unchanged_prefix(engine, np.flatnonzero(calls & engine.requests.reworded.changed))
    served = cached is not None and max(cached) > 0
    breaks = None if not served or prefix is None or cached is None else bool(cached[0] > prefix)
    counted = calls & (traffic.usage.input >= 0)
    return PromptEffect(
        change=change,
        calls=int(calls.sum()),
        unknown=unknown,
        before_pico=before,
        after_pico=after,
        before_per_day=per_day[0],
        after_per_day=per_day[1],
        input_tokens=(float(traffic.usage.input[counted].mean()), float(outcome.input_tokens[counted].mean()))
        if counted.any()
        else None,
        cached_tokens=cached,
        difference=first_difference(change.old.text, change.new.text) if change.old else (0, 1),
        prefix_tokens=prefix,
        breaks=breaks,
        not_found="" if calls.any() else _not_found(engine, change, unknown),
    )


def _unchanged_prefix(engine: Engine, rows: NDArray[np.int64]) -> int | None:
    """Tokens of a typical changed prompt up to its first difference; None where none changed or is counted."""
    if not len(rows):
        return None
    before, after = engine.prompts, engine.requests.reworded.prompts
    chosen = rows[np.unique(np.linspace(0, len(rows) - 1, LOOKED_AT).astype(np.int64))]
    found = [_common(engine, before, after, row) for row in chosen.tolist()]
    return int(np.median(found))


def _common(engine: Engine, before: Prompts, after: Prompts, row: int) -> int:
    from analysis.pricing.model_info import model_info
    from ingest.contents import tokenizer

    provider, model = engine.traffic.models[int(engine.traffic.model[row])]
    encoding = model_info(provider, model).encoding or DEFAULT_ENCODING
    old, new = (side.ids[side.offsets[row] : side.offsets[row + 1]].tolist() for side in (before, after))
    tokens = before.contents.tokens[encoding]
    total = 0
    for first, second in zip(old, new, strict=False):
        if first != second:
            texts = [side.contents.texts.get(number) for side, number in ((before, first), (after, second))]
            if None not in texts:
                plain = [
                    tokenizer.plain_text(
                        str(text), "tools" if before.contents.kind[first] == KINDS.index("tools") else ""
                    )
                    for text in texts
                ]
                shared = next((at for at, pair in enumerate(zip(*plain, strict=False)) if pair[0] != pair[1]), None)
                total += tokenizer.count(plain[0][: min(map(len, plain)) if shared is None else shared], encoding)
            break
        total += max(int(tokens[first]), 0)
    return total


def _not_found(engine: Engine, change: PromptChange, unknown: int) -> str:
    """That no call uses the old text, and which prompt of the log comes nearest to it."""
    what = change.old.file if change.old else f"a {change.part} prompt to replace"
    text = f"No call of the log uses {what}."
    if unknown:
        text += f" {count(unknown, 'call')} without text cannot tell whether they do."
    near = _nearest(engine, change.old.text) if change.old else None
    return f"{text} {near}" if near else text


def _nearest(engine: Engine, old: str) -> str | None:
    """The stored text that has most words of `old`, five in a row, with the agent and task that use it."""
    traffic, prompts = engine.traffic, engine.prompts
    numbers, uses = np.unique(prompts.ids, return_counts=True)
    order = np.argsort(-uses, kind="stable")
    texts: dict[int, str] = {}
    for number in numbers[order].tolist():
        held = prompts.contents.texts.get(number)
        if held is not None:
            message = _plain(held, int(prompts.contents.kind[number]))
            if message:
                texts[number] = message
        if len(texts) == COMPARED:
            break
    alike = likeness(old, list(texts.values()))
    if not alike or max(alike) == 0:
        return None
    best = list(texts)[int(np.argmax(alike))]
    row = int(np.searchsorted(prompts.offsets, int(np.flatnonzero(prompts.ids == best)[0]), side="right")) - 1
    agent, task = traffic.agents[int(traffic.agent[row])], traffic.tasks[int(traffic.task[row])]
    number = int(uses[np.searchsorted(numbers, best)])
    opening = " ".join(texts[best].split())[:OPENING]
    at = first_difference(old, texts[best])
    where = f", and differs from byte {at[0]:,} (line {at[1]:,}) on" if at else ""
    return (
        f"Nearest is the {KINDS[int(prompts.contents.kind[best])]} text of {named(agent)} / {named(task)} in "
        f"{count(number, 'call')}: it has {share(max(alike))} of its words, begins '{opening}'{where}."
    )


def _plain(held: str, kind: int) -> str:
    """The plain text of a stored content."""
    return held if kind == KINDS.index("tools") else "\n".join(message_text.texts(msgspec.json.decode(held)))
