"""Calls inside traces: spans come in any order, parents repeat their children's usage, agents are ancestors.

A span whose descendant also carries usage is an aggregate and no call of its own. The agent of a call is its own
attribute, else the nearest agent among its ancestors.
"""

from __future__ import annotations

from collections import OrderedDict, deque
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from ingest.format_contract import Outcome
from ingest.records.call import NOTHING, Call, Skip
from ingest.records.claimed_usage import claimed_usage

HELD = 50_000
_AGGREGATE = Skip("parent span that repeats its children's usage", claims=NOTHING)
_CONTENTS = frozenset({"input", "inputs", "output", "outputs"})  # of a span, which may quote what others used


@dataclass(frozen=True)
class Span:
    """What the tree keeps of any span, call or not."""

    parent: str | None
    agent: str | None  # its name, if it is an agent
    workflow: str | None


class SpanTree:
    """Holds the calls of a file back until their ancestors and descendants are known."""

    def __init__(self) -> None:
        self._spans: dict[str, Span] = {}
        self._covered: set[str] = set()  # spans with a descendant that carries usage
        self._calls: OrderedDict[str, tuple[Call, str]] = OrderedDict()
        self._passed: deque[tuple[str, Skip]] = deque()  # spans that are no calls and name usage
        self._loose = 0

    def add(
        self,
        span_id: str | None,
        parent: str | None,
        *,
        agent: str | None = None,
        workflow: str | None = None,
        call: Call | None = None,
        usage: bool = False,
    ) -> list[Outcome]:
        """Take in a span; `usage` says whether it carries token counts. Returns outcomes that became certain."""
        if span_id is None:
            self._loose += 1
            span_id = f"\x00{self._loose}"
        repeated = call is not None and span_id in self._calls
        self._spans[span_id] = Span(parent or None, agent, workflow)
        if usage or span_id in self._covered:
            above = parent
            while above and above not in self._covered:
                self._covered.add(above)
                found = self._spans.get(above)
                above = found.parent if found else None
        if call is None:
            return []
        if repeated:
            return [Skip("repeats a span", duplicate=True)]
        self._calls[span_id] = (call, span_id)
        if len(self._calls) <= HELD:
            return []
        released = [self._release(*self._calls.popitem(last=False)[1]) for _ in range(HELD // 2)]
        if len(self._spans) > 20 * HELD:
            self._forget()
        return released

    def pass_over(
        self,
        span_id: str | None,
        parent: str | None,
        fields: dict[str, Any],
        reason: str,
        *,
        agent: str | None = None,
        workflow: str | None = None,
    ) -> list[Outcome]:
        """Take in a span that is no call. The usage in its `fields` is lost unless a descendant turns out to have it.

        Returns outcomes that became certain.
        """
        found = self.add(span_id, parent, agent=agent, workflow=workflow)
        claims = claimed_usage({name: value for name, value in fields.items() if name not in _CONTENTS})
        if span_id is None or not any(claims):
            return [*found, Skip(reason, claims=claims)]
        self._passed.append((span_id, Skip(reason, claims=claims)))
        if len(self._passed) > HELD:
            found.append(self._passed_over(*self._passed.popleft()))
        return found

    def close(self) -> Iterable[Outcome]:
        """The calls still held, in the order of their spans, and the spans passed over whose usage was in doubt."""
        while self._calls:
            yield self._release(*self._calls.popitem(last=False)[1])
        while self._passed:
            yield self._passed_over(*self._passed.popleft())

    def _passed_over(self, span_id: str, skip: Skip) -> Skip:
        return Skip(skip.reason, claims=NOTHING) if span_id in self._covered else skip

    def find(self, span_id: str) -> Call | None:
        """The held call of a span, to complete it with what is logged elsewhere."""
        found = self._calls.get(span_id)
        return found[0] if found else None

    def _release(self, call: Call, span_id: str) -> Outcome:
        if span_id in self._covered:
            return _AGGREGATE
        above = self._spans[span_id].parent if span_id in self._spans else None
        seen = 0
        while above and seen < 1000:
            span = self._spans.get(above)
            if span is None:
                break
            if call.agent is None and span.agent:
                call.agent, call.agent_source = span.agent, "ancestor"
            if call.workflow_name is None and span.workflow:
                call.workflow_name = span.workflow
            above = span.parent
            seen += 1
        return call

    def _forget(self) -> None:
        """Drop the oldest spans, whose traces ended long ago."""
        for span_id in list(self._spans)[: len(self._spans) // 2]:
            if span_id not in self._calls:
                del self._spans[span_id]
                self._covered.discard(span_id)
