"""Batch inference outputs of Amazon Bedrock: `recordId`, `modelInput` and `modelOutput` or `error`. Half price.

The bodies are those of InvokeModel, of which only Anthropic's name the model, and none has a time: the file's own is
taken. The job's `manifest.json.out` holds the sums of its records and no call.
Shapes: docs.aws.amazon.com/bedrock batch inference (2026-10).
"""

from __future__ import annotations

from typing import Any

from ingest.format_contract import Context, Format, Outcome, stateless
from ingest.records.call import NOTHING, Call, Skip, mapping_or_empty, text_or_none
from ingest.records.token_usage import apply_usage
from ingest.wire import anthropic
from ingest.wire.request_response import apply_bodies, dialect_of, opened, take_file_time

# where InvokeModel bodies without a usage object count: (input, output) by vendor
_COUNTS = (
    ("prompt_token_count", "generation_token_count"),  # Meta
    ("inputTextTokenCount", "tokenCount"),  # Amazon Titan
)


def read(record: Any, context: Context) -> Outcome | list[Outcome]:
    """The outcomes of one record. Raises BadRecordError if it cannot be used."""
    if "recordId" not in record:
        return Skip("the manifest of a batch, which sums up its records", claims=NOTHING)
    answer = opened(record.get("modelOutput"))
    if not isinstance(answer, dict) or not answer:
        failure = mapping_or_empty(record.get("error"))
        return Skip(f"batch request without an answer ({text_or_none(failure.get('errorCode')) or 'failed'})"[:80])
    request = opened(record.get("modelInput"))
    call = Call(is_batch=True)
    if dialect_of(answer) is not None:
        apply_bodies(call, request, answer)
    else:
        _counts(call, answer)
        call.operation_name = "embeddings" if "embedding" in answer else "chat"
    call.provider_name = "aws.bedrock"
    call.service_tier = "batch"
    call.tags = [f"record_id:{record['recordId']}"]
    call.identity = call.response_id
    take_file_time(call, context)
    return list(anthropic.expand(call))


def _counts(call: Call, answer: dict[str, Any]) -> None:
    made = mapping_or_empty((answer.get("results") or [None])[0]) if isinstance(answer.get("results"), list) else {}
    for asked, answered in _COUNTS:
        if asked in answer:
            counts = {"prompt_tokens": answer[asked], "completion_tokens": answer.get(answered, made.get(answered, 0))}
            apply_usage(call, counts, "$.modelOutput")
            return
    apply_usage(call, answer.get("usage"), "$.modelOutput.usage")


def _matches(record: Any) -> bool:
    if not isinstance(record, dict):
        return False
    keys = record.keys()
    return keys >= {"recordId", "modelInput"} or keys >= {"totalRecordCount", "processedRecordCount"}


FORMAT = Format(
    name="bedrock_batch",
    title="Amazon Bedrock batch output",
    fingerprints=(frozenset({"recordId", "modelInput", "modelOutput"}),),
    matches=_matches,
    open=stateless(read),
    rank=15,
    fields=(("tags", "recordId"), ("start_time", "the file's own time")),
)
