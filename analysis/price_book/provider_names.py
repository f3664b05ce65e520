"""The names of providers in logs, in the words of the price catalogue."""

from __future__ import annotations

from typing import Final

# Names of providers in logs (OpenTelemetry GenAI, litellm, langfuse, ...) -> the catalogue's.
PROVIDERS: Final = {
    "aws.bedrock": "aws", "bedrock": "aws", "bedrock_converse": "aws", "amazon_bedrock": "aws", "amazon-bedrock": "aws",
    "azure.ai.openai": "azure", "azure.ai.inference": "azure", "azure_ai": "azure", "azure_openai": "azure",
    "azure-openai": "azure", "az.ai.openai": "azure", "az.ai.inference": "azure",
    "gcp.vertex_ai": "google", "gcp.gemini": "google", "gcp.gen_ai": "google", "vertex_ai": "google",
    "vertexai": "google", "vertex": "google", "gemini": "google", "google_genai": "google", "google-vertex": "google",
    "google_ai": "google", "mistral_ai": "mistral", "mistralai": "mistral", "x_ai": "x-ai", "xai": "x-ai",
    "together_ai": "together", "together-ai": "together", "togetherai": "together", "fireworks_ai": "fireworks",
    "fireworks-ai": "fireworks", "moonshot": "moonshotai", "github_copilot": "github-copilot",
    "text-completion-openai": "openai", "openai_chat": "openai", "open_router": "openrouter", "zhipu": "zhipuai",
    "z.ai": "zai", "z-ai": "zai", "zai-org": "zai", "zai-coding-plan": "zai", "bigmodel": "zhipuai",
    "alibaba": "dashscope", "alibaba-cloud": "dashscope", "alibaba_cloud": "dashscope", "qwen": "dashscope",
    "aliyun": "dashscope", "model-studio": "dashscope", "anthropic-vertex": "google", "vertex_ai_anthropic": "google",
    "google-vertex-anthropic": "google", "bedrock_mantle": "aws", "codestral": "mistral",
    "text-completion-codestral": "mistral", "cohere_chat": "cohere",
    "perplexity_ai": "perplexity", "voyage": "voyageai", "novita_ai": "novita",
}  # fmt: skip
