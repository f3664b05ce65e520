"""What addresses tell of provider, region and model."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ingest.records.endpoints import Endpoint, endpoint_of

GOOGLE = "https://generativelanguage.googleapis.com/v1beta/models"
VERTEX = "aiplatform.googleapis.com/v1/projects/p/locations"
TOLD = {
    "https://api.openai.com/v1/chat/completions": ("openai", None, None),
    "https://eu.api.openai.com/v1/responses": ("openai", "eu", None),
    f"{GOOGLE}/gemini-2.5-flash:generateContent?key=x": ("gcp.gemini", None, "gemini-2.5-flash"),
    f"https://us-east5-{VERTEX}/us-east5/publishers/anthropic/models/claude-sonnet-4-5@20250929:rawPredict": (
        "gcp.vertex_ai", "us-east5", "claude-sonnet-4-5@20250929",
    ),
    f"https://{VERTEX}/global/publishers/google/models/gemini-2.5-pro:streamGenerateContent": (
        "gcp.vertex_ai", "global", "gemini-2.5-pro",
    ),
    "https://aiplatform.eu.rep.googleapis.com/v1/x": ("gcp.vertex_ai", "eu", None),
    "https://bedrock-runtime.eu-central-1.amazonaws.com/model/eu.amazon.nova-lite-v1%3A0/converse-stream": (
        "aws.bedrock", "eu-central-1", "eu.amazon.nova-lite-v1:0",
    ),
    "https://team.openai.azure.com/openai/deployments/chat/chat/completions?api-version=1": (
        "azure.ai.openai", None, "chat",
    ),
    "https://swedencentral.api.cognitive.microsoft.com/x": ("azure.ai.openai", "swedencentral", None),
    "https://api.groq.com/openai/v1/chat/completions": ("groq", None, None),
    "http://localhost:11434/api/chat": ("ollama", None, None),
    "https://myapi.openai.com.example.org/v1": (None, None, None),
    "http://localhost:4000/v1/models/x:y": (None, None, None),
    "api.openai.com": (None, None, None),
}  # fmt: skip


@pytest.mark.parametrize(("address", "told"), TOLD.items())
def test_an_address_tells_provider_region_and_model(address: str, told: tuple[str | None, ...]) -> None:
    assert endpoint_of(address) == told


@given(st.one_of(st.none(), st.integers(), st.text(), st.text().map("https://{}".format), st.lists(st.text())))
def test_anything_else_tells_nothing_and_breaks_nothing(address: object) -> None:
    assert isinstance(endpoint_of(address), Endpoint)
