"""Amazon Bedrock's Converse bodies; InvokeModel bodies are those of the model's own vendor (2026-10)."""

from __future__ import annotations

from typing import Any

from ingest.records.call import Call, text_or_none
from ingest.records.token_usage import apply_usage


def matches_response(body: Any) -> bool:
    """Whether the body is an answer of the Bedrock Converse API."""
    return isinstance(body, dict) and isinstance(body.get("output"), dict) and "usage" in body and "stopReason" in body


def apply_request(call: Call, body: dict[str, Any]) -> None:
    """Take what a request of the Bedrock Converse API tells."""
    messages: list[Any] = []
    system = body.get("system")
    if system:
        messages.append({"role": "system", "content": system})
    if isinstance(body.get("messages"), list):
        messages.extend(body["messages"])
    call.messages = messages or None
    config = body.get("inferenceConfig")
    if isinstance(config, dict):
        call.params = config
        if isinstance(config.get("temperature"), int | float):
            call.temperature = float(config["temperature"])
        if type(config.get("maxTokens")) is int:
            call.max_tokens = config["maxTokens"]
    tools = body.get("toolConfig")
    if isinstance(tools, dict) and isinstance(tools.get("tools"), list):
        call.tools = tools["tools"] or None
    call.request_model = text_or_none(body.get("modelId")) or call.request_model
    tier = body.get("serviceTier")
    kind = text_or_none(tier.get("type")) if isinstance(tier, dict) else None
    if kind and kind != "default":
        call.service_tier = kind


def apply_response(call: Call, body: dict[str, Any]) -> None:
    """Take what an answer of the Bedrock Converse API tells."""
    call.operation_name = "chat"
    call.provider_name = call.provider_name or "aws.bedrock"
    about = body.get("ResponseMetadata")  # what boto3 puts beside the answer
    call.response_id = text_or_none(about.get("RequestId")) if isinstance(about, dict) else call.response_id
    apply_usage(call, body.get("usage"), "$.usage")
    call.finish_reason = text_or_none(body.get("stopReason"))
    output = body.get("output")
    if isinstance(output, dict) and isinstance(output.get("message"), dict):
        call.output = [output["message"]]
    tier = body.get("serviceTier")  # the tier that served the request (AWS, ServiceTier of Converse, 2025-11)
    kind = text_or_none(tier.get("type")) if isinstance(tier, dict) else None
    if kind:
        call.service_tier = None if kind == "default" else kind
    performance = body.get("performanceConfig")  # dearer where it is on (AWS, latency-optimized inference, 2026-11)
    if isinstance(performance, dict) and performance.get("latency") == "optimized":
        call.service_tier = "latency_optimized"
    trace = body.get("trace")
    router = trace.get("promptRouter") if isinstance(trace, dict) else None
    if isinstance(router, dict):  # the model that a prompt router chose is the one that is billed
        call.response_model = text_or_none(router.get("invokedModelId")) or call.response_model
    metrics = body.get("metrics")
    if isinstance(metrics, dict) and isinstance(metrics.get("latencyMs"), int | float):
        call.duration_ms = float(metrics["latencyMs"])
