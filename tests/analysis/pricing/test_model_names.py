"""56 well-known current and retired ids: each resolves without a provider, at the right price on three dates.

Prices in USD per million tokens (input, output), checked by hand against the announcements and price pages that
`analysis/prices/history.yaml` names, and for undated models against the providers' price pages.
"""

from __future__ import annotations

from datetime import UTC, datetime

import duckdb
import numpy as np
import pytest

from analysis.price_book.book import compile_book
from analysis.price_book.vocabulary import STATUSES, UNKNOWN
from analysis.pricing.load_rates import load_rates
from analysis.pricing.model_names import resolve
from analysis.pricing.rate_table import RateTable, Usage

# id -> three (day, input, output); output None = an embedding
KNOWN: dict[str, list[tuple[str, float, float | None]]] = {
    "gpt-3.5-turbo": [("2023-04-01", 2, 2), ("2023-08-25", 1.5, 2), ("2024-03-05", 0.5, 1.5)],
    "gpt-3.5-turbo-0301": [("2023-04-01", 2, 2), ("2023-07-01", 1.5, 2), ("2024-05-01", 1.5, 2)],
    "gpt-3.5-turbo-0613": [("2023-06-13", 1.5, 2), ("2023-12-01", 1.5, 2), ("2024-08-01", 1.5, 2)],
    "gpt-3.5-turbo-16k": [("2023-06-14", 3, 4), ("2023-12-01", 3, 4), ("2024-08-01", 3, 4)],
    "gpt-3.5-turbo-16k-0613": [("2023-06-14", 3, 4), ("2023-12-01", 3, 4), ("2024-08-01", 3, 4)],
    "gpt-3.5-turbo-1106": [("2023-11-06", 1, 2), ("2024-06-01", 1, 2), ("2026-01-01", 1, 2)],
    "gpt-3.5-turbo-0125": [("2024-01-25", 0.5, 1.5), ("2024-03-05", 0.5, 1.5), ("2026-01-01", 0.5, 1.5)],
    "gpt-3.5-turbo-instruct": [("2023-09-18", 1.5, 2), ("2024-06-01", 1.5, 2), ("2026-01-01", 1.5, 2)],
    "gpt-4": [("2023-03-14", 30, 60), ("2024-03-05", 30, 60), ("2026-01-01", 30, 60)],
    "gpt-4-0314": [("2023-03-14", 30, 60), ("2023-09-01", 30, 60), ("2024-06-01", 30, 60)],
    "gpt-4-0613": [("2023-06-13", 30, 60), ("2024-03-05", 30, 60), ("2026-01-01", 30, 60)],
    "gpt-4-32k": [("2023-03-14", 60, 120), ("2023-12-01", 60, 120), ("2025-01-01", 60, 120)],
    "gpt-4-1106-preview": [("2023-11-06", 10, 30), ("2024-03-05", 10, 30), ("2025-06-01", 10, 30)],
    "gpt-4-0125-preview": [("2024-01-25", 10, 30), ("2024-03-05", 10, 30), ("2025-06-01", 10, 30)],
    "gpt-4-turbo-preview": [("2024-01-25", 10, 30), ("2024-03-05", 10, 30), ("2025-06-01", 10, 30)],
    "gpt-4-turbo": [("2024-03-05", 10, 30), ("2024-06-01", 10, 30), ("2026-01-01", 10, 30)],
    "gpt-4-turbo-2024-04-09": [("2024-04-09", 10, 30), ("2025-01-01", 10, 30), ("2026-01-01", 10, 30)],
    "gpt-4-vision-preview": [("2023-11-06", 10, 30), ("2024-03-05", 10, 30), ("2024-12-01", 10, 30)],
    "gpt-4o": [("2024-06-01", 5, 15), ("2024-10-01", 5, 15), ("2024-10-02", 2.5, 10)],
    "gpt-4o-2024-05-13": [("2024-05-13", 5, 15), ("2024-12-01", 5, 15), ("2026-01-01", 5, 15)],
    "gpt-4o-2024-08-06": [("2024-08-06", 2.5, 10), ("2025-01-01", 2.5, 10), ("2026-01-01", 2.5, 10)],
    "gpt-4o-2024-11-20": [("2024-11-20", 2.5, 10), ("2025-06-01", 2.5, 10), ("2026-01-01", 2.5, 10)],
    "gpt-4o-mini": [("2024-07-18", 0.15, 0.6), ("2025-01-01", 0.15, 0.6), ("2026-01-01", 0.15, 0.6)],
    "gpt-4o-mini-2024-07-18": [("2024-07-18", 0.15, 0.6), ("2025-01-01", 0.15, 0.6), ("2026-01-01", 0.15, 0.6)],
    "chatgpt-4o-latest": [("2024-09-01", 5, 15), ("2025-01-01", 5, 15), ("2025-09-01", 5, 15)],
    "gpt-4.1": [("2025-04-14", 2, 8), ("2025-12-01", 2, 8), ("2026-06-01", 2, 8)],
    "gpt-4.1-mini": [("2025-04-14", 0.4, 1.6), ("2025-12-01", 0.4, 1.6), ("2026-06-01", 0.4, 1.6)],
    "gpt-4.5-preview": [("2025-02-27", 75, 150), ("2025-05-01", 75, 150), ("2025-07-01", 75, 150)],
    "gpt-5": [("2025-08-07", 1.25, 10), ("2025-12-01", 1.25, 10), ("2026-06-01", 1.25, 10)],
    "o1-preview": [("2024-09-12", 15, 60), ("2025-01-01", 15, 60), ("2025-06-01", 15, 60)],
    "o1-mini": [("2024-09-12", 3, 12), ("2025-01-30", 3, 12), ("2025-01-31", 1.1, 4.4)],
    "o1": [("2024-12-17", 15, 60), ("2025-06-01", 15, 60), ("2026-01-01", 15, 60)],
    "o1-pro": [("2025-03-19", 150, 600), ("2025-12-01", 150, 600), ("2026-06-01", 150, 600)],
    "o3": [("2025-05-01", 10, 40), ("2025-06-09", 10, 40), ("2025-06-10", 2, 8)],
    "o3-mini": [("2025-01-31", 1.1, 4.4), ("2025-12-01", 1.1, 4.4), ("2026-06-01", 1.1, 4.4)],
    "o4-mini": [("2025-04-16", 1.1, 4.4), ("2025-12-01", 1.1, 4.4), ("2026-06-01", 1.1, 4.4)],
    "text-embedding-ada-002": [("2023-01-01", 0.4, None), ("2023-06-13", 0.1, None), ("2026-01-01", 0.1, None)],
    "text-embedding-3-small": [("2024-01-25", 0.02, None), ("2025-01-01", 0.02, None), ("2026-01-01", 0.02, None)],
    "text-embedding-3-large": [("2024-01-25", 0.13, None), ("2025-01-01", 0.13, None), ("2026-01-01", 0.13, None)],
    "text-davinci-003": [("2022-12-01", 20, 20), ("2023-06-01", 20, 20), ("2024-01-01", 20, 20)],
    "claude-instant-1.2": [("2023-08-09", 1.63, 5.51), ("2023-11-20", 1.63, 5.51), ("2024-06-01", 0.8, 2.4)],
    "claude-2": [("2023-07-11", 11.02, 32.68), ("2023-11-20", 11.02, 32.68), ("2023-11-21", 8, 24)],
    "claude-2.1": [("2023-11-21", 8, 24), ("2024-06-01", 8, 24), ("2025-01-01", 8, 24)],
    "claude-3-opus-20240229": [("2024-03-04", 15, 75), ("2025-01-01", 15, 75), ("2026-01-01", 15, 75)],
    "claude-3-sonnet-20240229": [("2024-03-04", 3, 15), ("2024-12-01", 3, 15), ("2025-07-01", 3, 15)],
    "claude-3-haiku-20240307": [("2024-03-13", 0.25, 1.25), ("2025-01-01", 0.25, 1.25), ("2026-01-01", 0.25, 1.25)],
    "claude-3-5-sonnet-20240620": [("2024-06-20", 3, 15), ("2025-01-01", 3, 15), ("2025-10-01", 3, 15)],
    "claude-3-5-sonnet-20241022": [("2024-10-22", 3, 15), ("2025-01-01", 3, 15), ("2025-10-01", 3, 15)],
    "claude-3-5-haiku-20241022": [("2024-11-05", 1, 5), ("2024-12-02", 1, 5), ("2024-12-03", 0.8, 4)],
    "claude-3-7-sonnet-20250219": [("2025-02-24", 3, 15), ("2025-10-01", 3, 15), ("2026-01-01", 3, 15)],
    "claude-sonnet-4-20250514": [("2025-05-22", 3, 15), ("2025-08-12", 3, 15), ("2026-01-01", 3, 15)],
    "claude-opus-4-20250514": [("2025-05-22", 15, 75), ("2025-10-01", 15, 75), ("2026-01-01", 15, 75)],
    "gemini-1.0-pro": [("2024-03-01", 0.5, 1.5), ("2024-10-01", 0.5, 1.5), ("2025-01-01", 0.5, 1.5)],
    "gemini-1.5-pro": [("2024-06-01", 3.5, 10.5), ("2024-09-30", 3.5, 10.5), ("2024-10-01", 1.25, 5)],
    "gemini-1.5-flash": [("2024-06-01", 0.35, 1.05), ("2024-08-11", 0.35, 1.05), ("2024-08-12", 0.075, 0.3)],
    "gemini-2.0-flash": [("2025-02-05", 0.1, 0.4), ("2025-09-01", 0.1, 0.4), ("2026-01-01", 0.1, 0.4)],
}  # fmt: skip


@pytest.fixture(scope="module")
def rates() -> RateTable:
    with duckdb.connect() as con:
        return load_rates(con, [(None, name) for name in KNOWN])


def test_there_are_56_ids_with_three_dates_each() -> None:
    assert len(KNOWN) == 56
    assert {len(dates) for dates in KNOWN.values()} == {3}


@pytest.mark.parametrize("name", KNOWN)
def test_the_price_was_right_on_the_day(name: str, rates: RateTable) -> None:
    found = resolve(None, name)
    assert found.confidence == "high", found
    for day, price_in, price_out in KNOWN[name]:
        at = int(datetime.fromisoformat(day).replace(tzinfo=UTC).timestamp() * 1000)
        priced = rates.price(
            Usage(
                model=np.array([list(KNOWN).index(name)], np.int32),
                start_ms=np.array([at]),
                input=np.array([1000]),
                output=np.array([UNKNOWN if price_out is None else 1000]),
            )
        )
        assert STATUSES[priced.status[0]] in ("priced", "priced_fallback")
        assert priced.uncached_input[0] == round(price_in * 10**9), (day, priced.uncached_input[0])
        assert priced.output[0] == round((price_out or 0) * 10**9), (day, priced.output[0])


LOGGED_AS = {
    ("azure", "azure/gpt-4o-2024-11-20"): ("openai", "gpt-4o", "low"),
    (None, "azure/eu/gpt-4o"): ("openai", "gpt-4o-latest", "low"),
    (None, "openai/gpt-4-turbo"): ("openai", "gpt-4-turbo", "high"),
    (None, "openai:gpt-4-turbo"): ("openai", "gpt-4-turbo", "high"),
    ("openai", "ft:gpt-3.5-turbo-0125:acme::x"): ("openai", "ft:gpt-3.5-turbo", "high"),
    (None, "ft:gpt-4o-2024-08-06:acme::x"): ("openai", "ft:gpt-4o", "high"),
    (None, "openrouter/anthropic/claude-3.5-sonnet"): ("openrouter", "anthropic/claude-3.5-sonnet", "high"),
    (None, "vertex_ai/gemini-1.5-pro"): ("google", "gemini-1.5-pro", "high"),
    ("gcp.vertex_ai", "claude-3-5-sonnet@20241022"): ("google", "claude-3-5-sonnet", "low"),
    ("gcp.gemini", "models/gemini-2.5-flash"): ("google", "gemini-2.5-flash", "high"),
    (None, "bedrock/eu-west-1/anthropic.claude-v2"): ("aws", "anthropic.claude-v2", "low"),
    (None, "us.anthropic.claude-3-5-sonnet-20241022-v2:0"): (
        "aws", "regional.anthropic.claude-3-5-sonnet-20241022-v2:0", "low",
    ),
    ("openai", "claude-3-opus-20240229"): ("anthropic", "claude-3-opus-latest", "low"),
    ("openai", "gpt-4o-20241120"): ("openai", "gpt-4o", "high"),
}  # fmt: skip


@pytest.mark.parametrize("logged", LOGGED_AS, ids=str)
def test_names_as_gateways_and_clouds_write_them_resolve(logged: tuple[str | None, str]) -> None:
    provider, model, confidence = LOGGED_AS[logged]
    found = resolve(*logged)
    assert (found.key, found.confidence) == ((provider, model), confidence), found.rule


@pytest.mark.parametrize(
    "logged",
    [
        (None, "ollama_chat/qwen2.5:7b"), ("vllm", "gpt-oss-20b"), (None, "hosted_vllm/llama-3"),
        ("openai", "qwen2.5-7b"),
        (None, "no-such-model"), (None, None), ("openai", ""), ("azure", "my-deployment"), ("ollama", "deepseek-chat"),
        ("openai", "ft:davinci-9:acme"),
    ],
    ids=str,
)  # fmt: skip
def test_own_machines_and_unknown_names_have_no_price(logged: tuple[str | None, str | None]) -> None:
    assert resolve(*logged).key is None


WRITTEN = {
    ("anthropic", "claude-opus-5[1m]"): ("anthropic", "claude-opus-5"),
    ("anthropic", "claude-sonnet-4-5[1m]"): ("anthropic", "claude-sonnet-4-5"),
    ("gcp.vertex_ai", "claude-opus-5@default"): ("google", "claude-opus-5"),
    ("cursor", "claude-4.5-sonnet-thinking"): ("anthropic", "claude-sonnet-4-5"),
    (None, "gpt-5.3-codex-xhigh"): ("openai", "gpt-5.3-codex"),
    (None, "gpt-5.2-high-fast"): ("openai", "gpt-5.2-fast"),
    ("anthropic", "claude-opus-4-6-fast"): ("anthropic", "claude-opus-4-6-fast"),
    ("cursor", "composer-1"): ("cursor", "composer-1"),
    ("anthropic", "glm-4.7"): ("zai", "GLM-4.7"),
    (None, "glm-4.6"): ("zai", "GLM-4.6"),
    ("zhipuai", "glm-4.7"): ("zhipuai", "GLM-4.7"),
    (None, "qwen3-coder-plus"): ("dashscope", "qwen3-coder-plus"),
    ("alibaba", "qwen3-max"): ("dashscope", "qwen3-max"),
    ("mistral", "devstral-latest"): ("mistral", "devstral-medium"),
    ("anthropic", "claude-mythos-5-1"): ("anthropic", "claude-mythos-5-1"),
}


@pytest.mark.parametrize("name", WRITTEN)
def test_a_name_is_priced_by_its_model_however_a_tool_writes_it(name: tuple[str | None, str]) -> None:
    assert resolve(*name).key == WRITTEN[name]
    assert any(row.key == WRITTEN[name] and row.tier == "standard" for row in compile_book().rows)


@pytest.mark.parametrize("place", ["us", "eu", "apac", "jp", "au", "us-gov", "global", "ca"])
@pytest.mark.parametrize("provider", ["anthropic", "aws.bedrock", None])
def test_a_bedrock_profile_is_priced_at_bedrock_whoever_was_logged(place: str, provider: str | None) -> None:
    name = f"{place}.anthropic.claude-sonnet-4-5-20250929-v1:0"
    arn = f"arn:aws:bedrock:us-east-1:123456789012:inference-profile/{name}"
    keys = {resolve(provider, name).key, resolve(provider, arn).key}
    [key] = keys
    assert key is not None
    [price] = {row.prices[0] for row in compile_book().of(key) if row.tier == "standard" and row.above_tokens is None}
    assert price == {"us-gov": 3_600_000_000, "global": 3_000_000_000}.get(place, 3_300_000_000)


@pytest.mark.parametrize("name", ["qwen9-max", "kimi-for-coding", "auto", "default", "no-such-model-high"])
def test_a_name_of_a_plan_has_no_price(name: str) -> None:
    assert resolve(None, name).key is None


@pytest.mark.parametrize(("provider", "model", "confidence"), [
    ("sambanova", "gpt-oss-120b", "low"),  # an unknown host runs open weights itself
    ("nebius", "moonshotai/Kimi-K2.6", "low"),
    ("perplexity", "google/gemini-3.6-flash", "low"),  # a known host that the book has no such model of
    ("my-gateway", "claude-sonnet-4-6", "high"),  # a gateway hands on what one maker alone sells
    ("zai", "glm-4.7", "high"),
    (None, "gpt-oss-120b", "high"),
    ("openrouter", "openai/gpt-oss-120b", "high"),
])  # fmt: skip
def test_the_price_of_another_host_is_of_low_confidence(provider: str | None, model: str, confidence: str) -> None:
    found = resolve(provider, model)
    assert found.key is not None
    assert found.confidence == confidence, found.rule


@pytest.mark.parametrize("before", ["", "projects/p/locations/us-east5/"])
def test_a_resource_name_of_vertex_is_its_model(before: str) -> None:
    found = resolve(None, f"{before}publishers/google/models/gemini-2.5-pro")
    assert found.key == ("google", "gemini-2.5-pro")
