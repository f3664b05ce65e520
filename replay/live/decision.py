"""Which model a live call goes to: the rules of the replay, remembered by what they look at."""

from __future__ import annotations

import copy
import hashlib
import threading
import uuid
from collections import OrderedDict
from collections.abc import Hashable
from dataclasses import dataclass, replace
from typing import Any, Final, NamedTuple

import msgspec
import numpy as np
import polars as pl

from analysis.pricing.model_info import model_info
from ingest.capture.clients import PROVIDERS
from ingest.contents import tokenizer
from replay.live.live_request import LiveRequest
from replay.rollout import assignment
from replay.stages import eligibility, rule_evaluation
from replay.stages.compression import DEFAULT_ENCODING
from replay.strategy.conditions import COLUMNS, KINDS
from replay.strategy.fields import Selection
from replay.strategy.schema import LOGGED, Compressor, Strategy

_REMEMBERED: Final = 10_000
_LONG: Final = 200
_RESPONSE_FORMATS: Final = ("json_schema",)


@dataclass(frozen=True)
class Decision:
    """What a strategy does with a call: `model` as the provider is asked for it, `stays` why it did not go further."""

    model: str
    rule: int  # the number of the rule that decided, -1 where none does
    arm: assignment.Arm | None
    propensity: float | None  # with which the policy in force chose this model; None where no chance is at work
    stays: str | None = None
    steps: tuple[tuple[int, str], ...] = ()  # of a cascade: (place in the file, model) of those that can serve the call


class Answered(NamedTuple):
    """What the file's rules say of a call: index of the target or -1, number of the rule or -1, whether the cache is
    skipped, the tier of the batch rule that fits, the compressors that speak of it."""

    target: int
    rule: int
    skipped: bool
    batch: str | None
    compress: tuple[int, ...]  # numbers of the compressors whose selection holds


class Memory:
    """The last results of a function of hashable values, shared by threads."""

    def __init__(self, most: int) -> None:
        self._most = most
        self._held: OrderedDict[Hashable, Any] = OrderedDict()
        self._lock = threading.Lock()

    def get(self, key: Hashable) -> Any:
        """The value under a key, which becomes the most recent one; None where it is not held."""
        with self._lock:
            if key not in self._held:
                return None
            self._held.move_to_end(key)
            return self._held[key]

    def once(self, key: Hashable, value: Any) -> Any:
        """The value that is known of the key; `value`, which is then the known one, where none is."""
        with self._lock:
            known = self._held.setdefault(key, value)
            self._held.move_to_end(key)
            while len(self._held) > self._most:
                self._held.popitem(last=False)
            return known


class Decider:
    """The decisions of one strategy."""

    def __init__(self, strategy: Strategy) -> None:
        self.strategy = strategy
        self.skip: tuple[Selection, ...] = strategy.cache.skip if strategy.cache else ()
        self._names = rule_evaluation.targets(strategy)
        self._columns = rule_evaluation.columns_of([*strategy.route, *self.skip, *strategy.batch, *strategy.compress])
        everything = {"match": None, "when": None}
        self._compressors = [part.model_copy(update=everything) for part in strategy.compress]
        self._answers = Memory(_REMEMBERED)
        self._conversations = Memory(_REMEMBERED * 10)

    def under(self, strategy: Strategy) -> Decider:
        """The same rules and what is known of conversations, under a file that differs in its rollout alone."""
        made = copy.copy(self)
        made.strategy = strategy
        return made

    def decide(self, request: LiveRequest, arm: assignment.Arm | None, sent: LiveRequest | None = None) -> Decision:
        """Where the call of this arm of a rollout goes. `sent`: the request as compressed."""
        sized = sent or request
        answer = self.answer(request)
        target, rule = answer.target, answer.rule
        if self.strategy.route_by == "conversation" and (conversation := request.context.get("conversation_id")):
            target, rule = self._conversations.once(conversation, (target, rule))
        steps = () if rule < 0 or arm == "control" else self._steps(sized, rule)
        wanted = request.model if target < 0 else _as_sent(self._names[target], request.provider)
        if steps:
            wanted = steps[0][1]
        stays = "another provider" if wanted is None else None
        if wanted is not None and wanted != request.model and not steps:
            stays = self._unfit(sized, wanted)
        moved = request.model if wanted is None or stays is not None else wanted
        rollout = self.strategy.rollout
        if rollout is None or arm is None:
            return Decision(moved, rule, None, None, stays, steps)
        served = moved if arm == "treated" else request.model
        share = 1.0 if moved == request.model else rollout.share if arm == "treated" else 1.0 - rollout.share
        return Decision(served, rule, arm, None if steps else share, stays, steps)

    def compressors(self, request: LiveRequest) -> list[Compressor]:
        """The compressors that are to change the request, without their selections."""
        return [self._compressors[number] for number in self.answer(request).compress]

    def agrees(self, request: LiveRequest, sent: LiveRequest) -> bool:
        """Whether the rules say the same of a compressed request, whose original words the log keeps."""
        return self.answer(request) == self.answer(replace(sent, words=request.words))

    def sent_name(self, target: str, provider: str) -> str | None:
        """A model of the file as this provider is asked for it; None where it is another's."""
        return _as_sent(target, provider)

    def _steps(self, request: LiveRequest, rule: int) -> tuple[tuple[int, str], ...]:
        """The steps of a cascade that can serve the call, the cheapest first; none where the rule has no cascade."""
        found = []
        for place, name in enumerate(self.strategy.route[rule].cascade):
            model = request.model if name.lower() == LOGGED else _as_sent(name, request.provider)
            if model is not None and (model == request.model or self._unfit(request, model) is None):
                found.append((place, model))
        return tuple(found)

    def arm(self, request: LiveRequest) -> assignment.Arm | None:
        """The arm of the call's unit; a call without its unit is drawn for itself."""
        rollout = self.strategy.rollout
        if rollout is None:
            return None
        return assignment.arm(_unit(request, rollout.unit) or str(uuid.uuid4()), share=rollout.share, seed=rollout.seed)

    def cacheable(self, request: LiveRequest) -> bool:
        """Whether the file lets the call ask the caches: not too hot, not skipped, not a retry."""
        cache = self.strategy.cache
        if cache is None or request.key(cache.key) is None:
            return False
        heat = request.call.temperature
        if cache.max_temperature is not None and (1.0 if heat is None else heat) > cache.max_temperature:
            return False
        if (request.context.get("attempt") or 1) > 1:
            return False
        return not self.answer(request).skipped

    def answer(self, request: LiveRequest) -> Answered:
        """What the rules say of the request by the columns that they look at."""
        values = tuple(request.column(name) for name in self._columns)
        key = tuple(map(_short, values))
        found: Answered | None = self._answers.get(key)
        if found is None:
            frame = one_row(dict(zip(self._columns, values, strict=True)))
            plain = self.strategy.model_copy(update={"route_by": "call"})
            target, rule = rule_evaluation.destinations(plain, frame)
            skipped = any(bool(rule_evaluation.selected(one, frame)[0]) for one in self.skip)
            packs = (n for n, part in enumerate(self.strategy.compress) if rule_evaluation.selected(part, frame)[0])
            marks = (part.tier for part in self.strategy.batch if rule_evaluation.selected(part, frame)[0])
            found = Answered(int(target[0]), int(rule[0]), skipped, next(marks, None), tuple(packs))
            self._answers.once(key, found)
        return found

    def _unfit(self, request: LiveRequest, wanted: str) -> str | None:
        """Why the wanted model cannot serve the call, by the rules of `replay.stages.eligibility`."""
        if request.fixed:
            return "the address names the model"
        info = model_info(request.provider, wanted)
        most = request.size_bytes
        room = max(request.call.max_tokens or 0, info.max_output_tokens or 0)
        if info.context_window is not None and most + room > info.context_window:
            most = _tokens(request)  # counted only where the bytes leave it open
        needs = eligibility.Needs(
            input_tokens=np.array([most], np.int64),
            output_tokens=np.array([-1], np.int64),
            max_tokens=np.array([-1 if request.call.max_tokens is None else request.call.max_tokens], np.int64),
            tools=np.array([bool(request.call.tool_count)]),
            images=np.array([request.images]),
            structured=np.array([request.call.response_format in _RESPONSE_FORMATS]),
            sums=np.array([False]),
        )
        return next((reason for reason, mask in eligibility.fits(info, needs).items() if mask[0]), None)


def one_row(values: dict[str, Any]) -> pl.DataFrame:
    """The columns of one call as the frame that rules are evaluated on."""
    kinds = {name: KINDS[COLUMNS[name]] for name in values}
    row = {name: [value] for name, value in values.items()}
    frame = pl.DataFrame({"row": [0], **row}, schema={"row": pl.Int8, **kinds}, strict=False)
    return frame.drop("row") if values else pl.DataFrame({"agent": [None]}, schema={"agent": pl.String})


def _as_sent(target: str, provider: str) -> str | None:
    """A rule's model as this provider is asked for it; None where it is another's.

    A gateway's names may hold a provider (`openai/gpt-4o` of OpenRouter): they are sent as they are.
    """
    given, slash, name = target.partition("/")
    if not slash:
        return target
    if given == provider:
        return name
    return None if provider in PROVIDERS else target


def _short(value: Any) -> Hashable:
    """A value to remember an answer by: a long text by its digest, so that prompts are not held."""
    if isinstance(value, list):
        return tuple(value)
    return hashlib.sha256(value.encode()).digest() if isinstance(value, str) and len(value) > _LONG else value


def _unit(request: LiveRequest, unit: str) -> str | None:
    if unit.startswith(assignment.TAG):
        wanted = unit.removeprefix(assignment.TAG) + ":"
        tags = request.context.get("tags") or []
        return next((str(tag) for tag in tags if str(tag).startswith(wanted)), None)
    column = assignment.COLUMNS.get(unit)
    value = request.column(column) if column else None
    return None if value is None else str(value)


def _tokens(request: LiveRequest) -> int:
    contents = [(value, "message") for value in request.call.messages or ()]
    contents += [(request.call.tools, "tools")] if request.call.tools else []
    return sum(
        tokenizer.count_content(msgspec.json.encode(value).decode(), kind, DEFAULT_ENCODING) for value, kind in contents
    )
