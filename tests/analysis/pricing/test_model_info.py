"""What models can take: windows, answer limits, abilities, tokenizers; None where nobody says."""

from __future__ import annotations

import pytest

from analysis.pricing.model_info import ModelInfo, model_info


@pytest.mark.parametrize(
    ("provider", "model", "window", "answer", "vision", "encoding"),
    [
        ("openai", "gpt-4-turbo", 128000, 4096, True, "cl100k_base"),
        ("openai", "gpt-4-1106-preview", 128000, 4096, False, "cl100k_base"),
        ("openai", "gpt-3.5-turbo", 16385, 4096, False, "cl100k_base"),
        ("openai", "gpt-3.5-turbo-0613", 4096, 4096, False, "cl100k_base"),
        ("openai", "gpt-4o", 128000, 16384, True, "o200k_base"),
        ("openai", "gpt-4.1-mini", 1047576, 32768, True, "o200k_base"),
        ("azure", "azure/gpt-4o-2024-11-20", 128000, 16384, True, "o200k_base"),
        ("anthropic", "claude-3-opus-20240229", 200000, 4096, True, None),
        ("anthropic", "claude-2.0", 100000, 4096, False, None),
        ("google", "gemini-1.5-pro", 2097152, 8192, True, None),
    ],
)
def test_known_models_have_their_published_limits(
    provider: str, model: str, window: int, answer: int, vision: bool, encoding: str | None
) -> None:
    found = model_info(provider, model)
    assert (found.context_window, found.max_output_tokens) == (window, answer)
    assert (found.supports_vision, found.encoding) == (vision, encoding)


def test_the_window_comes_from_the_price_catalogue_where_no_entry_says_it() -> None:
    assert model_info("anthropic", "claude-opus-4-6").context_window == 1000000
    assert model_info("deepseek", "deepseek-chat").context_window == 64000


def test_an_unknown_model_is_unknown_in_every_field() -> None:
    assert model_info("vllm", "house-7b") == ModelInfo()
    assert model_info(None, None) == ModelInfo()
