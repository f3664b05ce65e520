"""Writers of answers of other APIs than chat completions, one function each: the file's text from a list of calls.

Shapes after the vendors' references as of 2026-10; nothing is copied from anybody's logs.
"""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Sequence
from typing import Any

from sample_logs.formats.shapes import iso, lines, seconds
from sample_logs.formats.truth import TrueCall


def _beside(call: TrueCall) -> dict[str, Any]:
    return {"timestamp": iso(call.start), "agent": call.agent, "task": call.task, "session_id": call.session}


def ollama(calls: Sequence[TrueCall]) -> str:
    """Ollama has no cache to tell of."""
    return lines([
        {**_beside(call), "request": {"model": "llama3.2", "messages": call.messages},
         "response": {"model": "llama3.2", "created_at": iso(call.start), "done": True, "done_reason": "stop",
                      "message": {"role": "assistant", "content": call.answer},
                      "total_duration": call.duration_ms * 1_000_000, "load_duration": 2_000_000,
                      "prompt_eval_count": call.input_tokens, "eval_count": call.output_tokens}}
        for call in calls
    ])  # fmt: skip


def cohere(calls: Sequence[TrueCall]) -> str:
    """Answers of v2 and v1 in turn, and a rerank, which counts no tokens."""
    rows: list[dict[str, Any]] = []
    for number, call in enumerate(calls):
        usage = {"billed_units": {"input_tokens": call.input_tokens, "output_tokens": call.output_tokens},
                 "tokens": {"input_tokens": call.input_tokens + 60, "output_tokens": call.output_tokens}}  # fmt: skip
        if number % 2:
            answer = {"id": f"cohere-{number}", "finish_reason": "COMPLETE", "usage": usage,
                      "message": {"role": "assistant", "content": [{"type": "text", "text": call.answer}]}}  # fmt: skip
        else:
            answer = {"response_id": f"cohere-{number}", "text": call.answer, "finish_reason": "COMPLETE",
                      "meta": {"api_version": {"version": "1"}, **usage}}  # fmt: skip
        request = {"model": "command-r-08-2024", "messages": call.messages}
        rows.append({**_beside(call), "request": request, "response": answer})
    found = {"id": "cohere-rerank", "results": [{"index": 0, "relevance_score": 0.9}],
             "meta": {"billed_units": {"search_units": 1}}}  # fmt: skip
    request = {"model": "rerank-v3.5", "query": "tides", "documents": ["low", "high"]}
    return lines([*rows, {**_beside(calls[0]), "request": request, "response": found}])


def openai_media(calls: Sequence[TrueCall]) -> str:
    """Images with tokens, a transcription by tokens and one by its seconds."""
    image, heard, timed = calls[0], calls[1], calls[2]
    rows = [
        {**_beside(image), "request": {"model": "gpt-image-1", "prompt": "the sea", "size": "1024x1024"},
         "response": {"created": seconds(image.start), "data": [{"b64_json": "aGk="}],
                      "usage": {"total_tokens": image.input_tokens + image.output_tokens,
                                "input_tokens": image.input_tokens, "output_tokens": image.output_tokens,
                                "input_tokens_details": {"text_tokens": image.input_tokens, "image_tokens": 0}}}},
        {**_beside(heard), "request": {"model": "gpt-4o-mini-transcribe", "file": "a.mp3"},
         "response": {"text": heard.answer,
                      "usage": {"type": "tokens", "total_tokens": heard.input_tokens + heard.output_tokens,
                                "input_tokens": heard.input_tokens, "output_tokens": heard.output_tokens,
                                "input_token_details": {"text_tokens": 0, "audio_tokens": heard.input_tokens}}}},
        {**_beside(timed), "request": {"model": "whisper-1", "file": "b.mp3"},
         "response": {"text": timed.answer, "usage": {"type": "duration", "seconds": 30}}},
    ]  # fmt: skip
    return lines(rows)


def openai_realtime(calls: Sequence[TrueCall]) -> str:
    rows: list[dict[str, Any]] = []
    for number, call in enumerate(calls):
        session = {"id": call.session, "object": "realtime.session", "model": "gpt-realtime"}
        usage = {"total_tokens": call.input_tokens + call.output_tokens, "input_tokens": call.input_tokens,
                 "output_tokens": call.output_tokens,
                 "input_token_details": {"text_tokens": call.input_tokens, "audio_tokens": 0,
                                         "cached_tokens": call.cached_tokens},
                 "output_token_details": {"text_tokens": call.output_tokens, "audio_tokens": 0}}  # fmt: skip
        answer = {"object": "realtime.response", "id": f"resp_rt{number:05}", "status": "completed", "usage": usage,
                  "output": [{"type": "message", "role": "assistant",
                              "content": [{"type": "text", "text": call.answer}]}]}  # fmt: skip
        events = (
            {"type": "session.created", "session": session},
            {"type": "response.text.delta", "delta": call.answer[:4]},
            {"type": "response.done", "response": answer},
        )
        rows.extend(
            {"timestamp": iso(call.end), "event": {"event_id": f"event_{number}_{place}", **event}}
            for place, event in enumerate(events)
        )
    return lines(rows)


def azure_llm(calls: Sequence[TrueCall]) -> str:
    """The diagnostic log; the messages of every second call are split over two records. It tells no cache."""
    rows: list[dict[str, Any]] = []
    for number, call in enumerate(calls):
        messages = json.dumps(call.messages)
        parts = [messages[:90], messages[90:]] if number % 2 else [messages]
        for place, part in enumerate(parts):
            values = {"deploymentName": "chat", "modelName": call.model, "isStreamCompletion": False,
                      "promptTokens": call.input_tokens, "completionTokens": call.output_tokens,
                      "totalTokens": call.input_tokens + call.output_tokens, "requestId": f"chatcmpl-apim{number:05}",
                      "sequenceNumber": place, "requestMessages": part,
                      "responseMessages": json.dumps([{"role": "assistant", "content": call.answer}])
                      if place == 0 else ""}  # fmt: skip
            rows.append({"time": iso(call.start), "category": "GatewayLlmLogs", "correlationId": f"c-{number}",
                         "resourceId": "/SUBSCRIPTIONS/SAMPLES/SERVICE/APIM", "location": "West Europe",
                         "operationName": "Microsoft.ApiManagement/GatewayLlmLogs",
                         "properties": values})  # fmt: skip
    return lines(rows)


def azure_llm_table(calls: Sequence[TrueCall]) -> str:
    """The same as a portal's CSV of the table, with American times of whole milliseconds."""
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\n")
    writer.writerow(("TimeGenerated [UTC]", "CorrelationId", "DeploymentName", "ModelName", "PromptTokens",
                     "CompletionTokens", "TotalTokens", "RequestId", "SequenceNumber", "Region"))  # fmt: skip
    for number, call in enumerate(calls):
        moment = call.start
        half = "AM" if moment.hour < 12 else "PM"
        shown = (
            f"{moment.month}/{moment.day}/{moment.year}, {moment.hour % 12 or 12}:{moment:%M:%S}."
            f"{moment.microsecond // 1000:03} {half}"
        )
        for place in range(1 + number % 2):
            writer.writerow((shown, f"c-{number}", "chat", call.model, call.input_tokens, call.output_tokens,
                             call.input_tokens + call.output_tokens, f"chatcmpl-apim{number:05}", place,
                             "West Europe"))  # fmt: skip
    return out.getvalue()
