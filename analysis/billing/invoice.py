"""What a provider says it billed: usage and cost reports as lines of one shape.

OpenAI usage and costs pages (openai-python 2.54 `types/admin/organization`), Anthropic usage and cost reports
(platform.claude.com, amounts are decimal strings in cents), AWS CUR 2.0 lines for Bedrock (one line per token type),
OpenRouter activity, or any CSV through a mapping. Days are UTC as the providers report them.
"""

from __future__ import annotations

import gzip
import json
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import UTC, date, datetime
from decimal import Decimal, InvalidOperation
from pathlib import Path
from typing import Any, Final

from ingest.errors import InputError

KINDS: Final = ("input", "cache_read", "cache_write", "cache_write_1h", "output", "other")


@dataclass(frozen=True)
class InvoiceLine:
    """One billed quantity of one kind on one day. None means that the report does not say."""

    day: date
    provider: str | None
    model: str | None
    kind: str  # one of KINDS; `other` is what is not tokens: searches, storage, requests, taxes
    tier: str | None
    quantity: Decimal | None  # tokens
    amount_usd: Decimal | None
    text: str  # what the report calls it
    where: str  # file and place


def read_text(path: Path) -> str:
    """The file's text, unpacked where it is gzip. Raises InputError where it is not UTF-8."""
    data = path.read_bytes()
    if data[:2] == b"\x1f\x8b":
        data = gzip.decompress(data)
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise InputError(f"not text in UTF-8 (byte {error.start})", where=str(path)) from error


def read_pages(text: str, path: Path) -> Iterator[InvoiceLine]:
    """The lines of API pages: one page, a list of pages, or one page a line. Raises InputError with the place."""
    try:
        documents = [json.loads(text, parse_float=Decimal)]
    except ValueError:
        documents = []
        for number, row in enumerate(text.splitlines(), start=1):
            if row.strip():
                try:
                    documents.append(json.loads(row, parse_float=Decimal))
                except ValueError as error:
                    raise InputError(f"not JSON: {error}", where=f"{path}:{number}") from error
    pages = [page for item in documents for page in (item if isinstance(item, list) else [item])]
    for page_number, page in enumerate(pages):
        buckets = page.get("data", [page]) if isinstance(page, dict) else []
        for bucket_number, bucket in enumerate(buckets):
            where = f"{path.name}: page {page_number + 1}, bucket {bucket_number + 1}"
            if not isinstance(bucket, dict):
                continue
            if "prompt_tokens" in bucket and "requests" in bucket:
                yield from openrouter_line(bucket, where)
                continue
            start = bucket.get("start_time", bucket.get("starting_at"))
            for result in bucket.get("results") or bucket.get("result") or []:
                if isinstance(result, dict) and start is not None:
                    yield from _result(result, day_of(start, where), where)


def _result(result: dict[str, Any], day: date, where: str) -> Iterator[InvoiceLine]:
    kind = str(result.get("object") or "")
    if kind == "organization.costs.result":
        yield _openai_cost(result, day, where)
    elif kind.startswith("organization.usage."):
        yield from _openai_usage(result, day, where)
    elif "amount" in result:
        yield _anthropic_cost(result, day, where)
    elif "uncached_input_tokens" in result:
        yield from _anthropic_usage(result, day, where)


def _openai_usage(result: dict[str, Any], day: date, where: str) -> Iterator[InvoiceLine]:
    """`input_tokens` includes cached and cache-write tokens."""
    total = number_of(result.get("input_tokens"), where) or Decimal(0)
    read = number_of(result.get("input_cached_tokens"), where) or Decimal(0)
    write = number_of(result.get("input_cache_write_tokens"), where) or Decimal(0)
    tier = "batch" if result.get("batch") else tier_name(result.get("service_tier"))
    for kind, count in (
        ("input", total - read - write), ("cache_read", read), ("cache_write", write),
        ("output", number_of(result.get("output_tokens"), where) or Decimal(0)),
    ):  # fmt: skip
        if count:
            yield InvoiceLine(day, "openai", result.get("model"), kind, tier, count, None, f"usage {kind}", where)


def _openai_cost(result: dict[str, Any], day: date, where: str) -> InvoiceLine:
    item = str(result.get("line_item") or "")
    amount = result.get("amount") or {}
    model, kind, tier = split_line_item(item)
    quantity = number_of(result.get("quantity"), where) if kind != "other" else None
    return InvoiceLine(day, "openai", model, kind, tier, quantity, number_of(amount.get("value"), where), item, where)


def split_line_item(text: str) -> tuple[str | None, str, str | None]:
    """(model, kind, tier) of an invoice line such as `gpt-4o-2024-08-06, cached input` or `gpt-4o, input (batch)`."""
    low = text.lower()
    kind = "other"
    if re.search(r"cache[ -]?writ|cache creation", low):
        kind = "cache_write_1h" if "1h" in low or "1 hour" in low else "cache_write"
    elif re.search(r"cached|cache[ -]?(read|hit)", low):
        kind = "cache_read"
    elif "output" in low or "completion" in low:
        kind = "output"
    elif "input" in low or "prompt" in low or "embedding" in low:
        kind = "input"
    tier = next((name for name in ("batch", "flex", "priority") if name in low), None)
    head = re.split(r"[,|]", text)[0].strip()
    model = head if re.search(r"\d|gpt|claude|embedding|gemini", head.lower()) and head.lower() != low else None
    if model is not None:
        model = re.sub(r"\s*\((batch|flex|priority)\)\s*$", "", model, flags=re.IGNORECASE)
    return model, kind, tier or ("standard" if model else None)


def _anthropic_usage(result: dict[str, Any], day: date, where: str) -> Iterator[InvoiceLine]:
    created = result.get("cache_creation") or {}
    tier = tier_name(result.get("service_tier"))
    for kind, value in (
        ("input", result.get("uncached_input_tokens")), ("cache_read", result.get("cache_read_input_tokens")),
        ("cache_write", created.get("ephemeral_5m_input_tokens")),
        ("cache_write_1h", created.get("ephemeral_1h_input_tokens")), ("output", result.get("output_tokens")),
    ):  # fmt: skip
        count = number_of(value, where)
        if count:
            yield InvoiceLine(day, "anthropic", result.get("model"), kind, tier, count, None, f"usage {kind}", where)


_ANTHROPIC_KINDS: Final = {
    "uncached_input_tokens": "input", "cache_read_input_tokens": "cache_read", "output_tokens": "output",
    "cache_creation.ephemeral_5m_input_tokens": "cache_write",
    "cache_creation.ephemeral_1h_input_tokens": "cache_write_1h",
}  # fmt: skip


def _anthropic_cost(result: dict[str, Any], day: date, where: str) -> InvoiceLine:
    """Amounts are decimal strings in cents: "123.45" is $1.2345."""
    text = str(result.get("description") or result.get("cost_type") or "")
    kind = _ANTHROPIC_KINDS.get(str(result.get("token_type")), "other")
    amount = number_of(result.get("amount"), where)
    usd = None if amount is None else amount / 100
    tier = tier_name(result.get("service_tier")) if kind != "other" else None
    return InvoiceLine(day, "anthropic", result.get("model"), kind, tier, None, usd, text, where)


def openrouter_line(record: dict[str, Any], where: str) -> Iterator[InvoiceLine]:
    """Activity: tokens by kind and one amount for all of them; reasoning is part of the completion."""
    day = day_of(record["date"], where)
    model = record.get("model_permaslug") or record.get("model")
    prompt, answer = number_of(record.get("prompt_tokens"), where), number_of(record.get("completion_tokens"), where)
    yield InvoiceLine(day, "openrouter", model, "input", None, prompt, None, "prompt tokens", where)
    yield InvoiceLine(day, "openrouter", model, "output", None, answer, None, "completion tokens", where)
    yield InvoiceLine(
        day, "openrouter", model, "all", None, None, number_of(record.get("usage"), where), "usage", where
    )


def tier_name(value: Any) -> str | None:
    """A report's service tier in our names; None where it does not say."""
    if value is None or value == "":
        return None
    name = str(value).lower()
    return "standard" if name in ("standard", "default", "auto", "on_demand", "on-demand") else name


def day_of(value: Any, where: str) -> date:
    """The UTC day of a bucket's start: epoch seconds or ISO. Raises InputError for anything else."""
    try:
        if isinstance(value, int | Decimal):
            return datetime.fromtimestamp(int(value), UTC).date()
        moment = datetime.fromisoformat(str(value).strip().replace("Z", "+00:00"))
        return (moment if moment.tzinfo is None else moment.astimezone(UTC)).date()
    except (ValueError, OverflowError, OSError) as error:
        raise InputError(f"not a day: {str(value)[:40]!r}", where=where) from error


def number_of(value: Any, where: str) -> Decimal | None:
    """A field as an exact number; None where it is empty. Raises InputError for anything else."""
    if value is None or value == "":
        return None
    try:
        number = Decimal(str(value).replace(",", ""))
    except InvalidOperation as error:
        raise InputError(f"not a number: {str(value)[:40]!r}", where=where) from error
    if not number.is_finite():
        raise InputError(f"not a number: {str(value)[:40]!r}", where=where)
    return number


def days_of(lines: Iterable[InvoiceLine]) -> tuple[date, date]:
    """The first and last day that the lines cover."""
    days = [line.day for line in lines]
    return min(days), max(days)
