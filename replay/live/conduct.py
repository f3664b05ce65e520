"""One call under a strategy, step by step: what is sent in its stead, what answers it, and what the log says of it.

prompts are compressed, a classifier is asked, the rules choose, the caches are looked up, a cascade escalates, a
fallback answers. Nothing of it raises into the caller: what fails before a request is sent lets the plain call go out.
"""

from __future__ import annotations

import random
import time
from collections.abc import Callable, Generator
from dataclasses import dataclass, replace
from typing import Any, Final

import msgspec

from ingest.capture.call_context import current
from ingest.capture.clients import provider_of
from ingest.capture.log_line import Captured
from replay.live import compression, side_calls
from replay.live.decision import Decider, Decision
from replay.live.http_messages import keyed, names_of, response_of, with_body
from replay.live.live_request import LiveRequest, read
from replay.live.lookup import Looked, Lookups
from replay.live.sent_calls import CallLog, SentCall, Shared
from replay.live.steps import Ask, Read, Send, Step, Steps
from replay.strategy.schema import Strategy
from replay.traffic.policy_marks import CLASSIFIER, FALLBACK, MARK, STEP

Work = Generator[Step, Any, Any]
_DRAWN = ("propensity", "assignment")  # of the caller's own call alone
LARGE: Final = 1 << 19  # bytes of a body that is read in a thread where others wait for this one


@dataclass(frozen=True)
class Force:
    """A strategy in force: replaced as a whole when its file changes."""

    strategy: Strategy
    decider: Decider
    lookups: Lookups


@dataclass
class Planned:
    """What was decided about one request. `response` is there where a cache answered."""

    fields: dict[str, Any]  # for the log
    calls: list[SentCall]  # to send in turn while a cascade goes on
    fallback: SentCall | None = None
    response: Any = None


class Conductor:
    """Carries out a strategy on the calls of one client."""

    def __init__(self, log: CallLog, count: Callable[[str], None], azure: str | None) -> None:
        self._log, self._count, self._azure = log, count, azure

    def conduct(self, force: Force, request: Any, owner: object) -> Steps:
        """The steps of one call; their result is its response. `owner`: the thread or task that calls."""
        try:
            planned = yield from self._planned(force, request, owner)
        except Exception as error:  # never into the caller's program
            self._count(f"fell open: {type(error).__name__}")
            planned = None
        if planned is None:
            return (yield Send(request, {}))
        if planned.response is not None:
            return planned.response
        failure: Exception | None = None
        response: Any = None
        try:
            response = yield from self._sent(planned)
        except Exception as error:
            if planned.fallback is None:
                raise
            failure = error
        if planned.fallback is not None and (response is None or side_calls.may_fall_back(response.status_code)):
            other = yield from self._fallen_back(planned, response)
            response = response if other is None else other
        if response is None:
            assert failure is not None
            raise failure
        return response

    # -- before it is sent ---------------------------------------------------------------------------------------------

    def _understood(self, request: Any) -> LiveRequest | None:
        """What the request asks; None for a body that names no model."""
        body = msgspec.json.decode(request.content)
        if not isinstance(body, dict) or not isinstance(body.get("model"), str):
            return None
        provider = self._azure or provider_of(request.url.host, request.url.netloc.decode("ascii", "replace"))
        return read(body, request.url.path, provider, names_of(request))

    def _planned(self, force: Force, request: Any, owner: object) -> Generator[Step, Any, Planned | None]:
        clock = time.perf_counter()
        large = len(request.content) > LARGE
        seen = (yield Ask(lambda: self._understood(request))) if large else self._understood(request)
        if seen is None:
            self._count("not decided: the body names no model")
            return None
        host = request.url.netloc.decode("ascii", "replace")
        strategy, decider = force.strategy, force.decider
        fields: dict[str, Any] = {"rollout": strategy.name}
        arm = decider.arm(seen)
        treated = arm != "control"
        if treated and strategy.classifier is not None:
            seen = yield from self._classified(force, request, seen, fields)
        made = self._compressed(force, request, seen, fields) if treated and strategy.compress else None
        sent = seen if made is None else read(made.body, seen.path, seen.provider, seen.context)
        if made is not None and not decider.agrees(seen, sent):
            self._count("not compressed: a rule looks at what it changes")
            made, sent = None, seen
        decision = decider.decide(seen, arm, sent)
        self._describe(fields, force, seen, decision)
        if made is not None:
            fields["input_words"] = seen.words
        shared: Shared | None = None
        key = keyed(sent, strategy, request, host)
        if force.lookups.tiers and treated and decider.cacheable(seen):
            models = [model for _, model in decision.steps] or [decision.model]
            looked = yield from force.lookups.look_up([key(model) for model in models], owner)
            if looked.answer is not None:
                return Planned(fields, [], response=self._hit(looked, decision, request, sent, made, fields, clock))
            self._count("miss")
            if looked.alone:
                self._count("waited in vain")
            shared = Shared(force.lookups, key, looked.started_us, looked.flight)
        try:
            return self._to_send(force, request, seen, sent, made, decision, fields, shared)
        except BaseException:
            if shared is not None:
                shared.land(None)
            raise

    def _describe(self, fields: dict[str, Any], force: Force, seen: LiveRequest, decision: Decision) -> None:
        """What the log says of the decision."""
        if decision.stays:
            self._count(f"stays: {decision.stays}")
        if decision.arm:
            fields["arm"] = decision.arm
        if decision.propensity is not None:  # none is known where an answer has a say in which model serves
            fields |= {"propensity": decision.propensity, "assignment": "random"}
        if decision.arm != "control":
            mark = force.decider.answer(seen).batch
            if mark is not None:
                self._count(f"marked: {mark}")
                fields["tags"] = [f"{MARK}{mark}"]
        if decision.model != seen.model or decision.steps:
            fields["asked_model"] = seen.model

    def _compressed(
        self, force: Force, request: Any, seen: LiveRequest, fields: dict[str, Any]
    ) -> compression.Compression | None:
        try:
            made = compression.compressed(seen.body, request.url.path, force.decider.compressors(seen))
        except Exception as error:  # the call goes out as it is
            self._count(f"not compressed: {type(error).__name__}")
            fields["compress"] = {"failed": type(error).__name__}
            return None
        self._count("compressed" if made else "nothing to compress")
        return made

    def _classified(
        self, force: Force, request: Any, seen: LiveRequest, fields: dict[str, Any]
    ) -> Generator[Step, Any, LiveRequest]:
        """The request with the task that the classifier tells; as it is where the classifier tells none."""
        spec = force.strategy.classifier
        assert spec is not None
        model = force.decider.sent_name(spec.model, seen.provider)
        question = None if model is None else side_calls.classifier_request(request, seen, spec, model)
        if model is None or question is None:
            self._count("not classified")
            return seen
        call = SentCall(question, model, {}, tags=[CLASSIFIER])
        try:
            response = yield from self._whole(call, fields)
            label = side_calls.label_of(response.content, spec.labels) if response.status_code == 200 else None
        except Exception as error:
            self._count(f"not classified: {type(error).__name__}")
            return seen
        self._count("classified" if label else "not classified: no label")
        if label is None:
            return seen
        fields["task"] = label
        return replace(seen, context={**seen.context, "task": label})

    def _hit(
        self,
        looked: Looked,
        decision: Decision,
        request: Any,
        sent: LiveRequest,
        made: compression.Compression | None,
        fields: dict[str, Any],
        clock: float,
    ) -> Any:
        """The response of a call that a cache answers, which is logged now."""
        answer = looked.answer
        assert answer is not None
        self._count(f"hit: {looked.tier}" if looked.tier else "coalesced")
        tags = [*(current().get("tags") or ()), *fields.get("tags", ())]
        tags += [f"{STEP}{place}" for place, model in decision.steps if model == answer.model][:1]
        captured = Captured(
            sent.provider, {**current(), **fields, **({"tags": tags} if tags else {})}, request.url.path,
            request.content if made is None else msgspec.json.encode(sent.body),
            (looked.started_us + 0.5) / 1e6, (time.perf_counter() - clock) * 1000, None, 200, [answer.body], None, None,
        )  # fmt: skip
        self._log.put_hit(captured, looked.tier, made, answer.model)
        return response_of(answer, request)

    def _to_send(
        self,
        force: Force,
        request: Any,
        seen: LiveRequest,
        sent: LiveRequest,
        made: compression.Compression | None,
        decision: Decision,
        fields: dict[str, Any],
        shared: Shared | None,
    ) -> Planned:
        def call(model: str, **more: Any) -> SentCall:
            as_asked = model == sent.model and made is None and not more.get("tags") and more.get("step") is None
            changed = request if as_asked else with_body(request, {**sent.body, "model": model})
            return SentCall(changed, model, sent.body, compression=made, **more)

        if decision.arm != "control" and force.strategy.on_error:
            model = force.decider.sent_name(force.strategy.on_error, seen.provider)
            fallback = None if model is None else call(model, tags=[FALLBACK])
        else:
            fallback = None
        if not decision.steps:
            self._count("moved" if decision.model != seen.model else "as asked")
            return Planned(fields, [call(decision.model, shared=shared)], fallback)
        self._count("cascade")
        spec = force.strategy.route[decision.rule].escalate
        assert spec is not None
        last = decision.steps[-1][0]
        calls = []
        for place, model in decision.steps:
            step = call(model, shared=shared, step=place)
            if place != last:
                step.judge = self._judge(spec, seen)
            calls.append(step)
        return Planned(fields, calls, fallback)

    def _judge(self, spec: Any, seen: LiveRequest) -> Callable[[Captured], bool]:
        draw = random.random()

        def judge(captured: Captured) -> bool:
            try:
                return side_calls.escalates(spec, seen, captured, draw)
            except Exception as error:  # the cheap answer stands
                self._count(f"not escalated: {type(error).__name__}")
                return False

        return judge

    # -- sending -------------------------------------------------------------------------------------------------------

    def _sent(self, planned: Planned) -> Work:
        """Send the call, or the steps of its cascade until one is kept."""
        response = None
        for call in planned.calls:
            if call.judge is None:
                return (yield from self._send(Send(call.request, planned.fields), call))
            failure: Exception | None = None
            try:
                response = yield from self._whole(call, planned.fields)
            except Exception as error:
                failure = error
            if not call.escalated:
                if failure is not None:
                    raise failure
                return response
            self._count("escalated")
        raise RuntimeError("a cascade ends with a step that is kept")

    def _whole(self, call: SentCall, fields: dict[str, Any]) -> Work:
        """The response, read to its end; a side call is no drawn decision of its own."""
        kept = {name: value for name, value in fields.items() if not call.tags or name not in _DRAWN}
        return (yield from self._send(Send(call.request, kept, whole=True), call))

    def _send(self, step: Send, call: SentCall) -> Work:
        self._log.expect(call)
        try:
            return (yield step)
        except BaseException:
            if not call.escalated:
                self._log.give_up(call)
            raise

    def _fallen_back(self, planned: Planned, failed: Any) -> Work:
        """The answer of the fallback; None where it fails too."""
        call = planned.fallback
        assert call is not None
        try:
            if failed is not None:
                yield Read(failed)
            self._count("on_error")
            kept = {name: value for name, value in planned.fields.items() if name not in _DRAWN}
            response = yield from self._send(Send(call.request, kept), call)
        except Exception as error:
            self._count(f"on_error failed: {type(error).__name__}")
            return None
        if response.status_code < 400:
            return response
        self._count(f"on_error failed: {response.status_code}")
        if failed is None:
            return response
        yield Read(response)
        return None
