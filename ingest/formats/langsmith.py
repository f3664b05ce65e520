"""LangSmith runs: exports, and the `{post, patch}` batches its SDKs send (langsmith-sdk, 2026-10).

Only `llm` and `embedding` runs are calls; chains and tools above them repeat their usage.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from ingest.format_contract import Context, Format, Outcome, catch_reader_errors
from ingest.otel.span_messages import messages_of
from ingest.otel.span_tree import SpanTree
from ingest.records import agent_names
from ingest.records.call import BadRecordError, Call, Skip, mapping_or_empty, pico_dollars, text_or_none
from ingest.records.provider_names import provider_name
from ingest.records.timestamps import time_us
from ingest.records.token_usage import apply_usage
from ingest.wire.request_response import opened, provider_of

_LIMIT = 100_000
_PLUMBING = frozenset({"LangGraph", "RunnableSequence", "RunnableLambda", "AgentExecutor"})


class Runs:
    """Reads the runs of one file. A run that was posted at its start is completed by the patch of its end."""

    def __init__(self, context: Context) -> None:
        self.context = context
        self.tree = SpanTree()
        self.begun: dict[str, dict[str, Any]] = {}

    def read(self, record: Any, row: int) -> list[Outcome]:
        """The outcomes of one record. Raises BadRecordError if it cannot be used."""
        if isinstance(record.get("post"), list) or isinstance(record.get("patch"), list):
            found: list[Outcome] = []
            for run in record.get("post") or ():
                if run.get("outputs") or run.get("end_time"):
                    found.extend(catch_reader_errors(self._run, run, row))
                elif len(self.begun) < _LIMIT:
                    self.begun[self._key(run)] = {**run, "row": row}
            for run in record.get("patch") or ():
                begun = self.begun.pop(self._key(run), {})
                done = {key: value for key, value in run.items() if value is not None}
                found.extend(catch_reader_errors(self._run, {**begun, **done}, row))
            return found
        return self._run(record, row)

    @staticmethod
    def _key(run: dict[str, Any]) -> str:
        return str(run.get("dotted_order") or run.get("id"))

    def _run(self, run: dict[str, Any], row: int) -> list[Outcome]:
        run_id, parent = text_or_none(run.get("id")), text_or_none(run.get("parent_run_id"))
        kind = run.get("run_type")
        name = text_or_none(run.get("name"))
        if kind not in ("llm", "embedding"):
            # LangGraph and LangChain agents run as chains; those of plumbing are no names for an agent
            agent = name if kind == "chain" and parent is None and name not in _PLUMBING else None
            return self.tree.pass_over(run_id, parent, run, "run without a model call", agent=agent)
        call = self._call(run)
        call.row = run.get("row", row)
        return self.tree.add(run_id, parent, call=call, usage=call.tokens_source != "missing")

    def _call(self, run: dict[str, Any]) -> Call:
        get = run.get
        extra = mapping_or_empty(get("extra"))
        metadata = mapping_or_empty(extra.get("metadata"))
        inputs, outputs = mapping_or_empty(opened(get("inputs"))), mapping_or_empty(opened(get("outputs")))
        call = Call(operation_name="embeddings" if get("run_type") == "embedding" else "chat")
        apply_usage(call, _usage(run, outputs), "$.outputs.usage_metadata")
        params = mapping_or_empty(extra.get("invocation_params"))
        call.request_model = (
            text_or_none(metadata.get("ls_model_name")) or text_or_none(params.get("model"))
            or text_or_none(params.get("model_name")) or text_or_none(inputs.get("model"))
        )  # fmt: skip
        call.response_model = text_or_none(outputs.get("model")) or call.request_model
        named = provider_name(text_or_none(metadata.get("ls_provider")))
        call.provider_name = named or provider_of(call.response_model)
        call.start_us, call.time_precision = time_us(get("start_time"), "$.start_time", zone=self.context.zone)
        if get("end_time"):
            call.end_us = time_us(get("end_time"), "$.end_time", zone=self.context.zone)[0]
        if get("first_token_time"):
            first = time_us(get("first_token_time"), "$.first_token_time", zone=self.context.zone)[0]
            call.time_to_first_chunk_ms = max(0, first - call.start_us) / 1000
        paid = pico_dollars(get("total_cost"), "$.total_cost")
        call.logged_cost_pico = call.logged_cost_pico if paid is None else paid
        if get("error") or get("status") == "error":
            call.status = "error"
        call.trace_id, call.span_id = text_or_none(get("trace_id")), text_or_none(get("id"))
        call.parent_span_id = text_or_none(get("parent_run_id"))
        for key in ("session_id", "conversation_id", "thread_id"):
            call.conversation_id = call.conversation_id or text_or_none(metadata.get(key))
        call.user_id = text_or_none(metadata.get("user_id"))
        call.prompt_name = text_or_none(metadata.get("lc_hub_repo"))
        call.prompt_version = text_or_none(metadata.get("lc_hub_commit_hash"))
        tags = get("tags")
        call.tags = [tag for tag in tags if isinstance(tag, str)] or None if isinstance(tags, list) else None
        node = {"agent": metadata["langgraph_node"]} if "langgraph_node" in metadata else {}
        agent_names.from_metadata(call, {**node, **metadata})
        shown = {key: value for key, value in {**inputs, **params}.items() if key not in ("messages", "model", "tools")}
        call.params = {key: value for key, value in shown.items() if not key.startswith(("_", "ls_"))} or None
        temperature = metadata.get("ls_temperature", shown.get("temperature"))
        call.temperature = float(temperature) if isinstance(temperature, int | float) else None
        if isinstance(shown.get("stream"), bool):
            call.stream = shown["stream"]
        call.messages = messages_of(inputs.get("messages") or inputs.get("prompts") or inputs.get("input"), "user")
        tools = params.get("tools") or inputs.get("tools")
        call.tools = tools if isinstance(tools, list) and tools else None
        call.output = _answer(outputs)
        call.response_id = text_or_none(outputs.get("id"))
        call.identity = call.response_id or text_or_none(get("id"))
        return call

    def close(self) -> Iterable[Outcome]:
        """The calls still held back at the end of the file."""
        for run in self.begun.values():
            if run.get("run_type") in ("llm", "embedding"):
                yield from self._unfinished(run)
            else:
                yield Skip("run without a model call")
        self.begun.clear()
        yield from self.tree.close()

    def _unfinished(self, run: dict[str, Any]) -> Iterable[Outcome]:
        try:
            call = self._call(run)
        except BadRecordError:
            return [Skip("a run that never ended, without model or time")]
        call.status, call.row = "cancelled", run.get("row")
        return self.tree.add(text_or_none(run.get("id")), text_or_none(run.get("parent_run_id")), call=call)


def _usage(run: dict[str, Any], outputs: dict[str, Any]) -> Any:
    """The usage object, from the many places where LangChain versions left it."""
    generations = outputs.get("generations")
    while isinstance(generations, list) and generations:
        generations = generations[0]
    message = generations.get("message") if isinstance(generations, dict) else None
    message = message.get("kwargs", message) if isinstance(message, dict) else {}
    llm_output = mapping_or_empty(outputs.get("llm_output"))
    for found in (
        outputs.get("usage_metadata"), outputs.get("usage"), message.get("usage_metadata"),
        llm_output.get("token_usage"), llm_output.get("usage"),
        mapping_or_empty(mapping_or_empty(run.get("extra")).get("metadata")).get("usage_metadata"),  # run.set(...)
    ):  # fmt: skip
        if isinstance(found, dict) and found:
            return found
    if run.get("prompt_tokens") or run.get("completion_tokens"):
        details = run.get("prompt_token_details") or {}
        made = run.get("completion_token_details") or {}
        return {
            "input_tokens": run.get("prompt_tokens"), "output_tokens": run.get("completion_tokens"),
            "total_tokens": run.get("total_tokens"), "input_token_details": details, "output_token_details": made,
        }  # fmt: skip
    return None


def _answer(outputs: dict[str, Any]) -> list[Any] | None:
    choices = outputs.get("choices")
    if isinstance(choices, list):
        return messages_of([one for one in choices if isinstance(one, dict) and one.get("message")], "assistant")
    generations = outputs.get("generations")
    while isinstance(generations, list) and generations:
        generations = generations[0]
    if isinstance(generations, dict):
        message = generations.get("message")
        if isinstance(message, dict):
            return messages_of([message.get("kwargs", message)], "assistant")
        return messages_of(generations.get("text"), "assistant")
    return messages_of(outputs.get("messages") or outputs.get("output") or outputs.get("content"), "assistant")


def _matches(record: Any) -> bool:
    if not isinstance(record, dict):
        return False
    if isinstance(record.get("post"), list) or isinstance(record.get("patch"), list):
        return True
    return "run_type" in record and ("dotted_order" in record or {"trace_id", "inputs"} <= record.keys())


FORMAT = Format(
    name="langsmith",
    title="LangSmith runs",
    fingerprints=(frozenset({"run_type", "dotted_order", "inputs", "outputs"}), frozenset({"post", "patch"})),
    matches=_matches,
    open=Runs,
    rank=26,
    splittable=False,
)
