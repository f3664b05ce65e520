"""Which rows of LiteLLM's logs are calls, and what is kept of those that no token pays."""

from __future__ import annotations

import csv
import io
import json
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from ingest.pipeline.report import IngestReport
from ingest.pipeline.run import ingest
from ingest.store.memory import MemoryStore


def read(tmp_path: Path, text: str, name: str = "log.jsonl") -> tuple[IngestReport, list[dict[str, Any]]]:
    path = tmp_path / name
    path.write_text(text)
    store = MemoryStore(tmp_path / "s.duckdb")
    report = ingest(store, [path], workers=1)
    with store.read() as con:
        found = con.execute("SELECT * FROM calls ORDER BY call_no")
        names = [column[0] for column in found.description]
        return report, [dict(zip(names, row, strict=True)) for row in found.fetchall()]


def spend_row(number: int = 0, **values: Any) -> dict[str, Any]:
    return {
        "request_id": f"req-{number}", "call_type": "acompletion", "spend": 0.002, "model": "gpt-5-mini",
        "model_group": "gpt-5-mini", "custom_llm_provider": "openai", "startTime": "2026-06-01 09:00:01.5",
        "endTime": "2026-06-01 09:00:03.5", "prompt_tokens": 900, "completion_tokens": 70, "total_tokens": 970,
        "metadata": "{}", "request_tags": "[]", "status": "success", **values,
    }  # fmt: skip


def payload(**values: Any) -> dict[str, Any]:
    return {
        "id": "slp-1", "call_type": "acompletion", "response_cost": 0.002, "model": "gpt-5-mini", "status": "success",
        "custom_llm_provider": "openai", "startTime": 1780304400.5, "endTime": 1780304402.5, "hidden_params": {},
        "response": {}, "metadata": {}, **values,
    }  # fmt: skip


NO_TOKENS = {"prompt_tokens": 0, "completion_tokens": 0, "total_tokens": 0}


@pytest.mark.parametrize(
    "kind",
    [
        "pass_through_endpoint",
        "allm_passthrough_route",
        "_arealtime",
        "acompletion",
        "aresponses",
        "agenerate_content",
        "aretrieve_batch",
        "a_kind_of_tomorrow",
    ],
)
def test_a_row_with_tokens_and_spend_is_a_call_that_keeps_both(tmp_path: Path, kind: str) -> None:
    report, (call,) = read(tmp_path, json.dumps(spend_row(call_type=kind)) + "\n")
    assert (report.calls, report.skipped) == (1, 0)
    assert (call["input_tokens"], call["output_tokens"], call["logged_cost_usd"]) == (900, 70, Decimal("0.002"))
    assert (call["service_tier"] == "batch") is (kind == "aretrieve_batch")


@pytest.mark.parametrize(("kind", "operation"), [
    ("aimage_generation", "image_generation"), ("image_edit", "image_generation"), ("aspeech", "speech"),
    ("atranscription", "transcription"), ("arerank", "rerank"), ("aocr", "ocr"), ("acreate_video", "video_generation"),
])  # fmt: skip
@pytest.mark.parametrize("make", [spend_row, payload])
def test_what_is_not_paid_by_tokens_has_none_and_keeps_its_logged_cost(
    tmp_path: Path, kind: str, operation: str, make: Any
) -> None:
    _, (call,) = read(tmp_path, json.dumps(make(call_type=kind, **NO_TOKENS)) + "\n")
    assert (call["operation_name"], call["input_tokens"], call["output_tokens"]) == (operation, None, None)
    assert call["logged_cost_usd"] == Decimal("0.002")
    assert call["tokens_source"] == "missing"


@pytest.mark.parametrize(
    "kind",
    [
        "aget_responses",
        "alist_batches",
        "adelete_responses",
        "afile_content",
        "aretrieve_file",
        "acancel_batch",
        "avideo_content",
        "alist_input_items",
    ],
)
def test_a_request_that_reads_or_manages_is_no_call(tmp_path: Path, kind: str) -> None:
    report, calls = read(tmp_path, json.dumps(spend_row(call_type=kind, spend=0.0)) + "\n")
    assert (report.skipped, calls) == (1, [])


def test_a_poll_of_a_batch_that_books_nothing_is_no_call(tmp_path: Path) -> None:
    report, calls = read(tmp_path, json.dumps(spend_row(call_type="aretrieve_batch", spend=0.0, **NO_TOKENS)) + "\n")
    assert (report.skipped, calls) == (1, [])


@pytest.mark.parametrize("make", [spend_row, payload])
def test_a_failure_before_routing_is_an_error_call_without_a_model(tmp_path: Path, make: Any) -> None:
    row = make(status="failure", model="", model_group="", **NO_TOKENS)
    report, (call,) = read(tmp_path, json.dumps(row) + "\n")
    assert report.quarantined == 0
    assert (call["status"], call["request_model"], call["response_model"]) == ("error", None, None)


def test_cache_counts_of_older_rows_are_read(tmp_path: Path) -> None:
    more = {"cache_read_input_tokens": 640, "prompt_tokens_details": {"cached_tokens": 640}}
    row = spend_row(metadata=json.dumps({"usage_object": None, "additional_usage_values": more}))
    _, (call,) = read(tmp_path, json.dumps(row) + "\n")
    assert (call["input_tokens"], call["cache_read_input_tokens"]) == (900, 640)


@pytest.mark.parametrize(("asked", "served", "tier"), [
    ("priority", "default", None), ("auto", "priority", "priority"), ("flex", "flex", "flex"), ("flex", None, "flex"),
])  # fmt: skip
def test_the_tier_that_was_served_counts(tmp_path: Path, asked: str, served: str | None, tier: str | None) -> None:
    usage = {"prompt_tokens": 900, "completion_tokens": 70, "total_tokens": 970}
    response = {"id": "r", "model": "gpt-5-mini", "usage": usage, **({"service_tier": served} if served else {})}
    row = payload(response=response, model_parameters={"service_tier": asked})
    _, (call,) = read(tmp_path, json.dumps(row) + "\n")
    assert call["service_tier"] == tier


def test_nulls_of_psql_and_a_decimal_comma_are_read(tmp_path: Path) -> None:
    out = io.StringIO()
    writer = csv.DictWriter(out, [*spend_row(), "completionStartTime", "end_user"], delimiter=";")
    writer.writeheader()
    writer.writerow({**spend_row(spend="0,00125"), "completionStartTime": "\\N", "end_user": "\\N"})
    report, (call,) = read(tmp_path, out.getvalue(), "spend.csv")
    assert report.quarantined == 0
    assert call["logged_cost_usd"] == Decimal("0.00125")
    assert (call["user_id"], call["time_to_first_chunk_ms"]) == (None, None)


def test_an_amount_with_a_comma_that_may_group_thousands_is_set_aside(tmp_path: Path) -> None:
    report, calls = read(tmp_path, json.dumps(spend_row(spend="1,234")) + "\n")
    assert (report.quarantined, calls) == (1, [])


@pytest.mark.parametrize(("address", "region"), [
    ("https://us-east5-aiplatform.googleapis.com/v1/projects/p/locations/us-east5/publishers/anthropic", "us-east5"),
    ("https://aiplatform.googleapis.com/v1/projects/p/locations/global/publishers/anthropic/models/x", "global"),
    ("https://bedrock-runtime.eu-central-1.amazonaws.com/model/x/converse", "eu-central-1"),
    ("https://eu.api.openai.com/v1", "eu"),
    ("https://api.openai.com/v1", None),
    ("", None),
])  # fmt: skip
@pytest.mark.parametrize("make", [spend_row, payload])
def test_the_region_is_that_of_the_address(tmp_path: Path, address: str, region: str | None, make: Any) -> None:
    _, (call,) = read(tmp_path, json.dumps(make(api_base=address, prompt_tokens=9, completion_tokens=1)) + "\n")
    assert call["region"] == region


@pytest.mark.parametrize(("usage", "tier", "region"), [
    ({"speed": "fast"}, "fast", None), ({"inference_geo": "us"}, None, "us"), ({"inference_geo": "global"}, None, None),
])  # fmt: skip
@pytest.mark.parametrize("make", [spend_row, payload])
def test_speed_and_geography_of_anthropics_usage_are_read(
    tmp_path: Path, usage: dict[str, str], tier: str | None, region: str | None, make: Any
) -> None:
    counted = {"prompt_tokens": 900, "completion_tokens": 70, "total_tokens": 970, **usage}
    row = make(metadata=json.dumps({"usage_object": counted}), prompt_tokens=900, completion_tokens=70)
    _, (call,) = read(tmp_path, json.dumps(row) + "\n")
    assert (call["service_tier"], call["region"]) == (tier, region)


def test_the_tier_of_a_spend_row_is_that_of_its_costs(tmp_path: Path) -> None:
    row = spend_row(metadata=json.dumps({"cost_breakdown": {"service_tier": "flex", "total_cost": 0.002}}))
    _, (call,) = read(tmp_path, json.dumps(row) + "\n")
    assert call["service_tier"] == "flex"


def test_a_raw_answer_that_was_passed_through_is_read_in_its_own_dialect(tmp_path: Path) -> None:
    usage = {"promptTokenCount": 900, "cachedContentTokenCount": 640, "candidatesTokenCount": 50,
             "thoughtsTokenCount": 20, "totalTokenCount": 970}  # fmt: skip
    response = {"candidates": [{"content": {"parts": [{"text": "hi"}]}}], "usageMetadata": usage, "responseId": "g"}
    row = payload(call_type="pass_through_endpoint", model="gemini-2.5-flash", custom_llm_provider="vertex_ai",
                  prompt_tokens=900, completion_tokens=70, total_tokens=970, response=response)  # fmt: skip
    _, (call,) = read(tmp_path, json.dumps(row) + "\n")
    assert (call["input_tokens"], call["cache_read_input_tokens"], call["output_tokens"]) == (900, 640, 70)
    assert (call["provider_name"], call["operation_name"]) == ("gcp.vertex_ai", "pass_through")


def test_tools_of_a_responses_answer_are_counted(tmp_path: Path) -> None:
    usage = {"input_tokens": 900, "output_tokens": 70, "total_tokens": 970}
    output = [{"type": "web_search_call", "id": str(n), "status": "completed"} for n in range(3)]
    response = {"id": "resp", "object": "response", "model": "gpt-5-mini", "output": output, "usage": usage}
    _, (call,) = read(tmp_path, json.dumps(payload(call_type="aresponses", response=response)) + "\n")
    assert call["web_search_calls"] == 3


@pytest.mark.parametrize("make", [spend_row, payload])
def test_tokens_of_an_image_are_those_of_images(tmp_path: Path, make: Any) -> None:
    row = make(call_type="aimage_generation", prompt_tokens=50, completion_tokens=4200, total_tokens=4250)
    _, (call,) = read(tmp_path, json.dumps(row) + "\n")
    assert (call["output_tokens"], call["image_output_tokens"]) == (4200, 4200)
