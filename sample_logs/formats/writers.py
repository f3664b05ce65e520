"""The writer of each log format, and the name of its sample."""

from __future__ import annotations

from sample_logs.formats.agents import agent_telemetry
from sample_logs.formats.bodies import azure_llm, cohere, ollama, openai_media, openai_realtime
from sample_logs.formats.gateways import helicone, hindcast, litellm, litellm_spend, mapping, openrouter, portkey
from sample_logs.formats.providers import (
    anthropic_batch,
    anthropic_messages,
    azure,
    bedrock,
    bedrock_batch,
    event_stream,
    gemini,
    gemini_batch,
    openai_batch,
    openai_chat,
    openai_responses,
    provider_usage,
    recorded_http,
    vertex,
)
from sample_logs.formats.rows import (
    bifrost,
    braintrust,
    cloudflare,
    datadog_llm,
    envoy,
    inspect_ai,
    kong,
    new_api,
    openhands,
    opik,
    otel_rows,
    weave,
)
from sample_logs.formats.sessions import claude_code, codex, opencode
from sample_logs.formats.shapes import Writer
from sample_logs.formats.traces import langfuse, langsmith, mlflow, openai_agents, otlp, phoenix, posthog

# format name -> (file name, writer)
WRITERS: dict[str, tuple[str, Writer]] = {
    "hindcast": ("hindcast.jsonl", hindcast),
    "openai_chat": ("openai_chat.jsonl", openai_chat),
    "openai_responses": ("openai_responses.jsonl", openai_responses),
    "openai_batch": ("openai_batch.jsonl", openai_batch),
    "openai_agents": ("openai_agents.jsonl", openai_agents),
    "anthropic_messages": ("anthropic_messages.jsonl", anthropic_messages),
    "anthropic_batch": ("anthropic_batch.jsonl", anthropic_batch),
    "event_stream": ("event_stream.sse", event_stream),
    "gemini_batch": ("gemini_batch.jsonl", gemini_batch),
    "bedrock_batch": ("bedrock_batch.jsonl", bedrock_batch),
    "gemini": ("gemini.jsonl", gemini),
    "vertex": ("vertex.jsonl", vertex),
    "litellm": ("litellm.jsonl", litellm),
    "litellm_spend": ("litellm_spend.jsonl", litellm_spend),
    "helicone": ("helicone.jsonl", helicone),
    "portkey": ("portkey.jsonl", portkey),
    "openrouter": ("openrouter.csv", openrouter),
    "posthog": ("posthog.jsonl", posthog),
    "langfuse": ("langfuse.jsonl", langfuse),
    "langsmith": ("langsmith.jsonl", langsmith),
    "otlp": ("otlp.jsonl", otlp),
    "phoenix": ("phoenix.jsonl", phoenix),
    "mlflow": ("mlflow.jsonl", mlflow),
    "bedrock": ("bedrock.jsonl", bedrock),
    "azure": ("azure.jsonl", azure),
    "azure_llm": ("azure_llm.jsonl", azure_llm),
    "ollama": ("ollama.jsonl", ollama),
    "cohere": ("cohere.jsonl", cohere),
    "openai_media": ("openai_media.jsonl", openai_media),
    "openai_realtime": ("openai_realtime.jsonl", openai_realtime),
    "bifrost": ("bifrost.jsonl", bifrost),
    "braintrust": ("braintrust.jsonl", braintrust),
    "cloudflare": ("cloudflare.jsonl", cloudflare),
    "datadog_llm": ("datadog_llm.jsonl", datadog_llm),
    "envoy": ("envoy.jsonl", envoy),
    "inspect_ai": ("inspect_ai.json", inspect_ai),
    "kong": ("kong.jsonl", kong),
    "new_api": ("new_api.jsonl", new_api),
    "openhands": ("openhands.jsonl", openhands),
    "opik": ("opik.jsonl", opik),
    "otel_rows": ("otel_rows.jsonl", otel_rows),
    "weave": ("weave.jsonl", weave),
    "claude_code": ("claude_code.jsonl", claude_code),
    "codex": ("codex.jsonl", codex),
    "opencode": ("opencode.json", opencode),
    "agent_telemetry": ("agent_telemetry.jsonl", agent_telemetry),
    "recorded_http": ("recorded_http.yaml", recorded_http),
    "provider_usage": ("provider_usage.jsonl", provider_usage),
    "mapping": ("gateway.csv", mapping),
}
