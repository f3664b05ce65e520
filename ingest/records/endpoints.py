"""What the address of a request tells: provider, region and, where the API has it there, the model.

Hosts and paths after the providers' documentation (2026-10). Prices differ by all three.
"""

from __future__ import annotations

import re
from typing import Any, NamedTuple
from urllib.parse import unquote

_LENGTH = 500  # of an address that is looked at
# the end of a host -> provider
_HOSTS = {
    "api.openai.com": "openai", "api.anthropic.com": "anthropic", "generativelanguage.googleapis.com": "gcp.gemini",
    "aiplatform.googleapis.com": "gcp.vertex_ai", "rep.googleapis.com": "gcp.vertex_ai",
    "openai.azure.com": "azure.ai.openai", "cognitiveservices.azure.com": "azure.ai.openai",
    "api.cognitive.microsoft.com": "azure.ai.openai", "services.ai.azure.com": "azure.ai.inference",
    "api.mistral.ai": "mistral_ai", "api.groq.com": "groq", "api.deepseek.com": "deepseek", "api.x.ai": "x_ai",
    "openrouter.ai": "openrouter", "api.together.xyz": "together", "api.together.ai": "together",
    "api.fireworks.ai": "fireworks", "api.cerebras.ai": "cerebras", "api.perplexity.ai": "perplexity",
    "api.cohere.com": "cohere", "api.cohere.ai": "cohere", "api.moonshot.ai": "moonshot", "api.moonshot.cn": "moonshot",
    "api.z.ai": "zai", "open.bigmodel.cn": "zhipuai", "dashscope.aliyuncs.com": "dashscope",
    "dashscope-intl.aliyuncs.com": "dashscope", "api.novita.ai": "novita", "api.deepinfra.com": "deepinfra",
}  # fmt: skip
_BEDROCK = re.compile(r"^bedrock[a-z-]*\.([a-z]{2}(?:-[a-z]+)+-\d)\.")
_ADDRESS = re.compile(r"^https?://([^/:?#]+)(?::(\d+))?([^?#]*)", re.IGNORECASE)
_REGIONS = (  # of the host, where the path names none
    re.compile(r"^([a-z]+-[a-z0-9]+)-aiplatform\.googleapis\.com$"),
    re.compile(r"^aiplatform\.([a-z]+)\.rep\.googleapis\.com$"),
    re.compile(r"^([a-z0-9]+)\.api\.cognitive\.microsoft\.com$"),
    re.compile(r"^(us|eu)\.api\.openai\.com$"),
)
_LOCATION = re.compile(r"/locations/([a-z0-9-]+)/")
_MODELS = (
    re.compile(r"/models/([^/:]+):[A-Za-z]+$"),  # Gemini and Vertex AI
    re.compile(r"/model/([^/]+)/(?:converse|invoke)[a-z-]*$"),  # Bedrock
    re.compile(r"/deployments/([^/]+)/"),  # Azure, whose deployments have names of their own
)
_OLLAMA_PORT = "11434"


class Endpoint(NamedTuple):
    """What an address names; None for what it does not."""

    provider: str | None = None
    region: str | None = None
    model: str | None = None


def endpoint_of(address: Any) -> Endpoint:
    """The endpoint of a URL such as `https://us-east5-aiplatform.googleapis.com/v1/`; an empty one of all else."""
    found = _ADDRESS.match(address[:_LENGTH]) if isinstance(address, str) else None
    if not found:
        return Endpoint()
    host, port, path = found[1].lower(), found[2], found[3]
    bedrock = _BEDROCK.match(host)
    if bedrock:
        provider: str | None = "aws.bedrock"
    else:
        ends = (".".join(host.split(".")[place:]) for place in range(host.count(".")))
        provider = next((_HOSTS[end] for end in ends if end in _HOSTS), None)
        if host.endswith("-aiplatform.googleapis.com"):
            provider = "gcp.vertex_ai"
        elif provider is None and port == _OLLAMA_PORT:
            provider = "ollama"
    location = _LOCATION.search(path) if host.endswith("googleapis.com") else None
    region = bedrock or location or next((one for one in (each.match(host) for each in _REGIONS) if one), None)
    model = next((one for one in (each.search(path) for each in _MODELS) if one), None) if provider else None
    return Endpoint(provider, region[1] if region else None, unquote(model[1]) if model else None)
