"""What a row that becomes no call says it used: tokens and dollars by the names of its own fields.

A reader that passes a row over, or cannot use it, does not look at its counts; these are what would be lost. The names
are read without regard to any format, so a sum is what the row claims, not what it would have been billed.
"""

from __future__ import annotations

import re
from functools import lru_cache
from typing import Any

import msgspec

from ingest.records.call import NOTHING, TOKEN_LIMIT, BadRecordError, Call, Claimed, pico_dollars
from ingest.records.number_text import number
from ingest.records.token_usage import apply_usage

UNREAD = "usage_not_read"
_ASKED = frozenset({"messages", "input", "inputs", "prompt", "request", "req", "request_body", "requestBody", "kwargs"})
_DEPTH = 16
_TEXT_LIMIT = 1 << 20
_WORDS = re.compile(r"[A-Z]+(?![a-z])|[A-Z]?[a-z]+|[0-9]+")
_SIDES = {
    "input": "in", "prompt": "in", "in": "in", "request": "in", "context": "in",
    "output": "out", "completion": "out", "out": "out", "candidates": "out", "response": "out", "generated": "out",
    "total": "total",
}  # fmt: skip
_BESIDE_A_SIDE = frozenset({
    "token", "tokens", "count", "counts", "num", "n", "llm", "gen", "ai", "usage", "eval", "billed",
    "metrics", "number", "of", "amount", "model",
})  # fmt: skip
_BESIDE_A_COST = frozenset({
    "cost", "costs", "spend", "charge", "charged", "charges", "total", "usd", "dollars", "cents", "response", "request",
    "calculated", "logged", "estimated", "amount", "llm", "gen", "ai", "usage", "operation", "in", "of", "model", "api",
})  # fmt: skip
_COSTS = frozenset(("cost", "costs", "spend", "charge", "charged"))
_MARKS = (b"oken", b"ost", b"pend", b"sage", b"eval_count", b"harge")
# a name that may be a count or an amount, with a value that is not zero; `"` and `\` bound it, so quoted logs are out
_CLAIM = re.compile(
    rb"""(?:[tT]oken|[cC]ost|[sS]pend|[uU]sage|eval_count|[cC]harge)[^"\\]{0,60}"\s*:\s*(?:"?[0-9.]*[1-9]|\{|")"""
)
_PAIR = re.compile(rb'"([A-Za-z][\w.\-]{0,80})"\s*:\s*"?([0-9]+(?:\.[0-9]+)?(?:[eE]-?[0-9]+)?)')


def may_claim(raw: bytes) -> bool:
    """Whether the bytes of a row may hold a count or an amount: a test that lets most rows go at once."""
    return any(mark in raw for mark in _MARKS) and _CLAIM.search(raw) is not None


def claimed_usage(record: Any) -> Claimed:
    """What a record claims. What the keys of one object say is one usage told twice or more; items of a list add up."""
    return _of(record, 0, usage=False)


def names_tokens(name: str) -> bool:
    """Whether the name of a field or column is that of a count of a call's tokens."""
    within, found = _words_of(name)
    return _side(found, usage=within) is not None


def flag_unread(call: Call, fields: Any) -> None:
    """Flag a call without token counts whose own `fields` name some: the counts stand under names that none reads."""
    if call.tokens_source not in (None, "missing") or call.input_tokens is not None or call.output_tokens is not None:
        return
    if not isinstance(fields, dict):
        return
    tokens = claimed_usage({name: value for name, value in fields.items() if name not in _ASKED}).tokens
    if tokens and not any(code == UNREAD for code, _ in call.issues or ()):
        call.issue(UNREAD, f"{tokens} tokens by names that are not known")


def claimed_in_bytes(raw: bytes) -> Claimed:
    """The same for bytes that are no JSON, from the names and numbers that stand in them."""
    if not may_claim(raw):
        return NOTHING
    found: dict[str, Any] = {}
    for name, value in _PAIR.findall(raw[:_TEXT_LIMIT]):
        found.setdefault(name.decode("ascii", "replace"), value.decode())
    return _of(found, 0, usage=False)


def _of(value: Any, depth: int, *, usage: bool) -> Claimed:
    if depth > _DEPTH:
        return NOTHING
    if isinstance(value, dict):
        return _of_object(value, depth, usage=usage)
    if isinstance(value, list):
        named = _key_values(value)
        if named is not None:
            return _of_object(named, depth, usage=usage)
        tokens = cost = 0
        for item in value:
            if isinstance(item, dict | list | str):
                found = _of(item, depth + 1, usage=usage)
                tokens += found.tokens
                cost += found.cost_pico
        return Claimed(tokens, cost)
    if isinstance(value, str) and value[:1] in ("{", "[") and len(value) < _TEXT_LIMIT and may_claim(value.encode()):
        try:
            return _of(msgspec.json.decode(value), depth + 1, usage=usage)
        except (msgspec.DecodeError, RecursionError):
            return NOTHING
    return NOTHING


def _key_values(items: list[Any]) -> dict[str, Any] | None:
    """OTLP's list of attributes as an object; None for any other list."""
    if not items or not all(isinstance(one, dict) and "key" in one and "value" in one for one in items):
        return None
    found = {}
    for one in items:
        value = one["value"]
        found[str(one["key"])] = next(iter(value.values()), None) if isinstance(value, dict) else value
    return found


def _of_object(value: dict[Any, Any], depth: int, *, usage: bool) -> Claimed:
    sides = {"in": 0, "out": 0, "total": 0}
    cost = nested_tokens = nested_cost = 0
    told = False
    for key, item in value.items():
        within, words = _words_of(key) if isinstance(key, str) else (False, ())
        if isinstance(item, dict | list):
            inside = "usage" in words or "tokens" in words
            found = _of(item, depth + 1, usage=inside)
            nested_tokens, nested_cost = max(nested_tokens, found.tokens), max(nested_cost, found.cost_pico)
            continue
        side = _side(words, usage=usage or within)
        if side is not None:
            told = True
            sides[side] = max(sides[side], _count(item))
        elif _names_cost(words):
            cost = max(cost, _amount(item, words))
        elif isinstance(item, str) and item[:1] in ("{", "["):
            found = _of(item, depth + 1, usage="usage" in words)
            nested_tokens, nested_cost = max(nested_tokens, found.tokens), max(nested_cost, found.cost_pico)
    tokens = max(sides["in"] + sides["out"], sides["total"])
    if told and tokens:
        tokens = max(tokens, _by_dialect(value))
    return Claimed(max(tokens, nested_tokens), max(cost, nested_cost))


def _by_dialect(usage: dict[Any, Any]) -> int:
    """Input and output as the provider's rule has them, cache included; 0 where the object is of no known dialect."""
    call = Call()
    try:
        apply_usage(call, usage)
    except (BadRecordError, TypeError, ValueError, AttributeError):
        return 0
    return (call.input_tokens or 0) + (call.output_tokens or 0)


@lru_cache(4096)
def _words_of(key: str) -> tuple[bool, tuple[str, ...]]:
    """Whether what stands before a name's last dot says that it is a count of tokens, and the words after that dot."""
    before, _, last = key.rpartition(".")
    within = any(word.lower() in ("token", "tokens", "usage") for word in _WORDS.findall(before))
    return within, tuple(word.lower() for word in _WORDS.findall(last))


def _side(words: tuple[str, ...], *, usage: bool) -> str | None:
    """Which side a count is of; None for what is no count of a call's tokens (limits, parts, rates)."""
    if not words:
        return None
    counts = usage or "tokens" in words or "token" in words or "eval" in words
    if not counts or not set(words) <= _BESIDE_A_SIDE | _SIDES.keys():
        return None
    sides = [_SIDES[word] for word in words if word in _SIDES]
    if "eval" in words:
        return "in" if "in" in sides else "out"
    if "total" in sides:
        return "total"
    if sides:
        return sides[-1]
    return "total" if words[-1] in ("tokens", "count") and ("token" in words or "tokens" in words) else None


def _names_cost(words: tuple[str, ...]) -> bool:
    return bool(_COSTS & set(words)) and set(words) <= _BESIDE_A_COST


def _count(item: Any) -> int:
    try:
        count = 0 if isinstance(item, bool) else number(item, "$", whole=True) or 0
    except BadRecordError:
        return 0
    return int(count) if 0 < count < TOKEN_LIMIT else 0


def _amount(item: Any, words: tuple[str, ...]) -> int:
    if isinstance(item, bool) or not isinstance(item, int | float | str):
        return 0
    try:
        return max(0, pico_dollars(item, "$", 100 if "cents" in words else 1) or 0)
    except BadRecordError:
        return 0
