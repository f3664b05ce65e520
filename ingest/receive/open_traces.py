"""What is known of traces whose spans come in several exports: children are sent before the parents that enclose them.

A span with token counts that encloses another one with token counts repeats them. The agent of a call is the nearest
one among its ancestors, which may be sent minutes after the call.
"""

from __future__ import annotations

import threading
from collections import OrderedDict
from dataclasses import dataclass, field
from typing import Any, Final, NamedTuple

from ingest.otel import genai_attributes as attrs
from ingest.records.call import text_or_none

HELD: Final = 50_000  # spans, the latest
_DEPTH: Final = 1000


class Name(NamedTuple):
    """An agent (and workflow) found for a call that was sent before."""

    trace_id: str
    span_id: str
    agent: str | None
    workflow: str | None


@dataclass
class _Span:
    parent: str | None
    agent: str | None = None
    workflow: str | None = None
    covered: bool = False  # a descendant tells token counts
    arrived: bool = True  # False: only a child has named it
    calls: list[tuple[str, str]] = field(default_factory=list)  # (trace, span) of calls below that wait for an agent


class OpenTraces:
    """The latest spans, by their ids. Used by one thread, except for `take_names`."""

    def __init__(self) -> None:
        self._spans: OrderedDict[str, _Span] = OrderedDict()
        self._names: list[Name] = []
        self._naming = threading.Lock()

    def add(self, span: dict[str, Any], values: dict[str, Any], kind: str) -> bool:
        """Take in a span with its flat attributes; True if it repeats the token counts of a descendant."""
        span_id = attrs.hex_id(attrs.named(span, "spanId"), 8)
        if span_id is None:
            return False
        parent = attrs.hex_id(attrs.named(span, "parentSpanId"), 8)
        trace = attrs.hex_id(attrs.named(span, "traceId"), 16) or ""
        known = self._span(span_id)
        again, known.arrived = known.arrived and known.parent is not None, True
        known.parent = parent
        known.workflow = text_or_none(attrs.first(values, attrs.WORKFLOW))
        if kind == "agent":
            named = attrs.first(values, attrs.AGENT) or values.get("traceloop.entity.name") or span.get("name")
            known.agent = text_or_none(named)
        usage = attrs.has_usage(values)
        if (usage or known.covered) and not again:
            self._cover(parent)
        calls, known.calls = known.calls, []
        if usage and not known.covered:
            calls.append((trace, span_id))
        for call in calls:
            self._name(call, known if call[1] != span_id else self._above(known))
        while len(self._spans) > HELD:
            self._spans.popitem(last=False)
        return known.covered and usage

    def take_names(self) -> list[Name]:
        """The names found since they were last taken."""
        with self._naming:
            found, self._names = self._names, []
        return found

    def _span(self, span_id: str) -> _Span:
        found = self._spans.get(span_id)
        if found is None:
            found = self._spans[span_id] = _Span(None, arrived=False)
        return found

    def _above(self, span: _Span) -> _Span | None:
        return self._span(span.parent) if span.parent else None

    def _cover(self, above: str | None) -> None:
        for _ in range(_DEPTH):
            if not above or self._span(above).covered:
                return
            self._spans[above].covered = True
            above = self._spans[above].parent

    def _name(self, call: tuple[str, str], above: _Span | None) -> None:
        """Find the nearest agent from `above` on; where the chain ends at a span not sent yet, wait for it."""
        workflow = None
        for _ in range(_DEPTH):
            if above is None:
                break
            if not above.arrived:
                above.calls.append(call)
                break
            workflow = workflow or above.workflow
            if above.agent:
                with self._naming:
                    self._names.append(Name(*call, above.agent, workflow))
                break
            above = self._above(above)
