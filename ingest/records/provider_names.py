"""Provider names in one spelling, the OpenTelemetry GenAI one (semantic-conventions-genai, 2026-10)."""

from __future__ import annotations

import re

_NAMES = {
    "azure": "azure.ai.openai", "azure_openai": "azure.ai.openai", "azureopenai": "azure.ai.openai",
    "azure-openai": "azure.ai.openai", "azure_ai": "azure.ai.inference", "az.ai.openai": "azure.ai.openai",
    "bedrock": "aws.bedrock", "bedrock_converse": "aws.bedrock", "amazon_bedrock": "aws.bedrock",
    "amazon-bedrock": "aws.bedrock", "aws": "aws.bedrock",
    "vertex_ai": "gcp.vertex_ai", "vertexai": "gcp.vertex_ai", "vertex-ai": "gcp.vertex_ai", "vertex": "gcp.vertex_ai",
    "google_vertexai": "gcp.vertex_ai", "google-vertex": "gcp.vertex_ai", "vertex_ai_beta": "gcp.vertex_ai",
    "gemini": "gcp.gemini", "google": "gcp.gemini", "google_genai": "gcp.gemini", "google-genai": "gcp.gemini",
    "google_ai_studio": "gcp.gemini", "mistral": "mistral_ai", "mistralai": "mistral_ai", "xai": "x_ai",
    "text-completion-openai": "openai", "openai_chat": "openai", "open_ai": "openai", "claude": "anthropic",
}  # fmt: skip


def provider_name(name: str | None) -> str | None:
    """`azure` -> `azure.ai.openai`; names that are not known stay as logged, in lower case."""
    if not name:
        return None
    lower = name.strip().lower()
    return _NAMES.get(lower, lower) or None


# a model id or an inference profile of Bedrock: `anthropic.…`, with or without a region's prefix, or an ARN
_BEDROCK_CLAUDE = re.compile(r"(?:[a-z]{2,6}(?:-gov)?\.)?anthropic\.|arn:aws[a-z-]*:bedrock:")


def claude_host(model: str | None) -> str:
    """Who serves a Claude model of this id: `aws.bedrock` or `anthropic`."""
    return "aws.bedrock" if model is not None and _BEDROCK_CLAUDE.match(model) else "anthropic"
