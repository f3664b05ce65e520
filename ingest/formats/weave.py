"""W&B Weave's calls: ops in a tree, of which those without children carry a model's usage in `summary.usage`.

The usage of an op is summed up in all ops above it, by model. Shape: wandb/weave, trace_server_interface (2026-10).
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from ingest.format_contract import Context, Format, Outcome
from ingest.formats.flat_rows import RowLayout
from ingest.otel.span_tree import SpanTree
from ingest.records.call import Call, mapping_or_empty, text_or_none
from ingest.wire.request_response import dialect_of, opened, provider_of

LAYOUT = RowLayout({
    "start": ("started_at",),
    "end": ("ended_at",),
    "usage": ("model_usage",),
    "cost": ("model_cost",),
    "request": ("inputs",),
    "response": ("answer_body",),
    "messages": ("inputs.messages",),
    "answer": ("output.choices.0.message", "output.content"),
    "error": ("exception",),
    "metadata": ("attributes",),
    "trace_id": ("trace_id",),
    "span_id": ("id",),
    "parent_span_id": ("parent_id",),
    "conversation_id": ("thread_id",),
    "user_id": ("wb_user_id",),
})  # fmt: skip


class Ops:
    """Reads the ops of one export."""

    def __init__(self, context: Context) -> None:
        self.context = context
        self.tree = SpanTree()

    def read(self, record: Any, row: int) -> list[Outcome]:
        """The outcomes of one record. Raises BadRecordError if it cannot be used."""
        span_id, parent = text_or_none(record.get("id")), text_or_none(record.get("parent_id"))
        summary = mapping_or_empty(record.get("summary"))
        usage = {name: found for name, found in mapping_or_empty(summary.get("usage")).items() if found}
        if not usage and dialect_of(opened(record.get("output"))) is not None:  # an answer that was not summed up
            call = LAYOUT.call({**record, "answer_body": record["output"]}, self.context)
            call.row = row
            call.identity = call.span_id
            return self.tree.add(span_id, parent, call=call, usage=True)
        if not usage:
            return self.tree.pass_over(span_id, parent, record, "an op without a model call")
        costs = mapping_or_empty(mapping_or_empty(summary.get("weave")).get("costs"))
        calls = [self._call(record, name, found, costs, row) for name, found in usage.items()]
        found_outcomes: list[Outcome] = []
        for place, call in enumerate(calls):
            own = f"{span_id}#{place}" if span_id and place else span_id
            found_outcomes.extend(self.tree.add(own, parent, call=call, usage=True))
        return found_outcomes

    def close(self) -> Iterable[Outcome]:
        """The calls still held back at the end of the file."""
        return self.tree.close()

    def _call(self, record: dict[str, Any], model: str, usage: Any, costs: dict[str, Any], row: int) -> Call:
        cost = mapping_or_empty(costs.get(model))
        parts = [cost.get(f"{side}_tokens_total_cost") for side in ("prompt", "completion")]
        told = [float(part) for part in parts if isinstance(part, int | float)]
        values = {**record, "model_usage": usage, "model_cost": repr(sum(told)) if told else None}
        call = LAYOUT.call(values, self.context)
        call.row = row
        call.response_model = model
        call.request_model = call.request_model or model
        call.provider_name = call.provider_name or provider_of(model)
        requests = mapping_or_empty(usage).get("requests")
        if type(requests) is int and requests > 1:
            call.issue("sum_of_calls", f"one op for {requests} requests"[:80])
        call.identity = f"{call.span_id}:{model}" if call.span_id else None
        return call


FORMAT = Format(
    name="weave",
    title="W&B Weave calls",
    fingerprints=(frozenset({"id", "op_name", "trace_id", "started_at", "inputs", "summary"}),),
    matches=lambda record: (
        isinstance(record, dict) and record.keys() >= {"op_name", "trace_id", "started_at", "inputs"}
    ),
    open=Ops,
    rank=21,
    splittable=False,
)
