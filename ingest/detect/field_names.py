"""Which of our fields a key of an unknown log is, by the words of its name and the values that it holds."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

from ingest.records.call import BadRecordError
from ingest.records.number_text import number
from ingest.records.timestamps import time_us

_WORDS = re.compile(r"[A-Z]+(?![a-z])|[A-Z]?[a-z]+|\d+[a-z]*")
_GLUED = re.compile(r"([a-z]{2,})(tokens?)$")
KILO = {"ktokens", "ktok", "kilotokens"}
TOKEN = {"token", "tokens", "tok", "toks", *KILO}
INPUT = {"input", "inputs", "prompt", "prompts", "context", "request", "in", "message", "query", "sent", "evaluated",
          "eingabe", "entrada"}  # fmt: skip
OUTPUT = {"output", "outputs", "completion", "completions", "generated", "generation", "response", "out", "answer",
           "candidates", "candidate", "reply", "received", "predicted", "ausgabe", "salida", "saida"}  # fmt: skip
CACHE = {"cache", "cached", "caching"}
_READ = {"read", "reads", "hit", "hits"}
_WRITE = {"write", "writes", "written", "creation", "created", "create"}
_REASONING = {"reasoning", "thinking", "thoughts", "thought"}
_DIRECTIONS = INPUT | OUTPUT | CACHE | _READ | _WRITE | _REASONING | {"total", "1h"}
MONEY = {"cost", "costs", "price", "spend", "charge", "charged", "usd", "dollars", "cents", "kosten", "microusd",
          "microdollars", "nanousd", "nanodollars"}  # fmt: skip
_BILLED = {"net", "gross", "billed"}  # amounts of money, where `amount` follows
_NO_COUNT = MONEY | {"rate", "limit", "max", "min", "per", "second", "details", "audio", "image", "images", "video",
                      "text", "miss", "saved", "budget", "remaining", "5m", "time", "latency", "accepted", "rejected",
                      "window", "ratio", "percent", "id", "ids", "accumulated"}  # fmt: skip
_NO_AMOUNT = TOKEN | INPUT | OUTPUT | CACHE | _REASONING | {
    "million", "1k", "1m", "mtok", "quantity", "each", "rate", "unit", "limit", "budget", "max", "saved", "savings",
    "id", "model", "name", "discount", "currency",
}  # fmt: skip
_ENDS = {"end", "ended", "finish", "finished", "completed", "stop", "stopped"}
_NO_START = _ENDS | {"updated", "modified", "expires", "expired", "deleted", "first", "reset", "birth", "zone"}
_STARTS = (
    {"start", "started", "begin", "began"}, {"timestamp", "ts", "datetime", "timegenerated"}, {"created"},
    {"when", "time", "date", "datum"}, {"logged"},
)  # fmt: skip
_SPANS = {"latency", "duration", "elapsed", "took", "runtime", "seconds", "delay", "dauer"}
_UNITS = {
    "ns": "ns", "nanos": "ns", "us": "us", "micros": "us", "ms": "ms", "millis": "ms", "milliseconds": "ms", "s": "s",
    "sec": "s", "secs": "s", "seconds": "s", "min": "min", "minutes": "min",
}  # fmt: skip
_COUNT_NAMES = {("prompt", "eval", "count"): "input_tokens", ("eval", "count"): "output_tokens"}  # of Ollama
_MODEL_WORDS = {"model", "name", "id", "request", "requested", "llm", "ai", "gen", "used", "slug", "ls", "modell",
                "version", "permaslug"}  # fmt: skip
# texts by their whole names, best first; a name may be that of the key, or of the key and what holds it
_TEXTS: dict[str, tuple[str, ...]] = {
    "provider_name": ("provider_name", "provider", "vendor", "custom_llm_provider", "ls_provider", "gen_ai_system"),
    "agent": ("agent", "agent_name", "agent_id", "component", "service", "service_name"),
    "task": ("task", "task_type", "task_name", "phase", "step"),
    "conversation_id": ("conversation_id", "session_id", "thread_id", "chat_id", "session"),
    "user_id": ("user_id", "user", "request_user_id", "end_user", "customer", "customer_id"),
    "finish_reason": ("finish_reason", "stop_reason", "finish_reasons_0"),
    "status": ("status", "status_code", "http_status", "response_status", "success"),
    "score_scope": ("score_scope", "reward_scope"),
}  # fmt: skip
_KEYS = ("call_id", "request_id", "response_id", "completion_id", "generation_id", "span_id", "id", "uuid")
_STATUSES = {"ok", "success", "succeeded", "completed", "error", "failed", "failure", "true", "false", "cancelled"}
Values = list[Any]


def words(name: str) -> tuple[str, ...]:
    """The words of a name in camel case, with underscores, dashes or blanks, in small letters."""
    found: list[str] = []
    for word in _WORDS.findall(name):
        small = word.lower()
        glued = _GLUED.match(small)
        found += glued.groups() if glued else [small]
    return tuple(found)


def field_of(path: str, values: Values) -> tuple[str, int] | None:
    """(our field, rank: the lower the surer) of a path and the values there other than None; None for no field."""
    parts = path.split(".")
    if not values or any(isinstance(value, dict | list) for value in values):
        return None
    tails = [words(".".join(parts[-depth:])) for depth in range(1, min(len(parts), 3) + 1)]
    numeric = all(is_number(value) for value in values)
    if numeric:
        for kind in (_count_field, _amount_field, _duration_field):
            if (found := kind(tails)) is not None:
                return found
    if (found := _time_field(tails, values)) is not None:
        return found[0], found[1] + len(parts) - 1
    if numeric and not {*tails[0]} & {"status", "code", "id", "user"}:
        if tails[0] == ("propensity",):
            return "propensity", 0
        return ("score", 0) if tails[0] in (("score",), ("reward",), ("quality",)) else None
    return _text_field(tails, values)


def is_number(value: Any) -> bool:
    """Whether the value is a number, or a text that is one with either mark before the fraction."""
    if isinstance(value, bool):
        return False
    for decimal in (None, ","):
        try:
            return number(_plain(value), "$", decimal=decimal, whole=True) is not None
        except BadRecordError:
            continue
    return False


def _plain(value: Any) -> Any:
    """A text without a currency sign or a unit at its ends."""
    return value.strip(" \u00a0$€£USDEsm") if isinstance(value, str) and value.strip(" \u00a0$€£USDEsm") else value


def _count_field(tails: list[tuple[str, ...]]) -> tuple[str, int] | None:
    if tails[0] in _COUNT_NAMES:
        return _COUNT_NAMES[tails[0]], 5
    if {*tails[0]} & _NO_COUNT:
        return None
    for depth, tail in enumerate(tails):
        found = {*tail}
        if depth and (found & (_NO_COUNT - {"details", "accumulated"}) or not {*tails[0]} & _DIRECTIONS):
            return None
        kind = _count_kind(found, TOKEN | ({"usage", "usages"} if depth else set()))
        if kind == "input_tokens" and len(tails) > depth + 1 and {*tails[depth + 1]} & CACHE:
            continue  # `cache_creation.input_tokens`: what holds it says more
        if kind is not None:
            return kind, 10 * depth + len(tail)
    if len(tails[0]) == 1 and tails[0][0] in ("in", "out"):
        return ("input_tokens" if tails[0][0] == "in" else "output_tokens"), 90
    return None


def _count_kind(found: set[str], token: set[str]) -> str | None:
    if found & CACHE:
        if found & _WRITE:
            return "cache_creation_1h_input_tokens" if found & {"1h", "hour"} else "cache_creation_input_tokens"
        return "cache_read_input_tokens" if found & (token | _READ | INPUT) or found <= CACHE else None
    if not found & token:
        return None
    if found & _REASONING:
        return "reasoning_output_tokens"
    asked, made = bool(found & INPUT), bool(found & (OUTPUT - {"response"} if found & INPUT else OUTPUT))
    if asked != made:
        return "input_tokens" if asked else "output_tokens"
    return "total_tokens" if found & {"total", "all"} and not asked else None


def _amount_field(tails: list[tuple[str, ...]]) -> tuple[str, int] | None:
    for depth, tail in enumerate(tails[:2]):
        found = {*tail}
        if found & MONEY and not found & _NO_AMOUNT and (not depth or {*tails[0]} & {"total", "amount", "value"}):
            return "logged_cost_usd", (0 if "total" in found else 2) + 10 * depth
        if "amount" in found and found & _BILLED and not found & _NO_AMOUNT:
            return "logged_cost_usd", (0 if "net" in found else 3) + 10 * depth
    return None


def _duration_field(tails: list[tuple[str, ...]]) -> tuple[str, int] | None:
    found = {*tails[0]}
    if found & {"ttft", "ttfb"} or ("first" in found and found & {"token", "chunk", "byte"}):
        return "time_to_first_chunk_ms", len(found)
    if found & (TOKEN | {"timestamp", "per", "start", "end", "created", "first", "load", "eval"}):
        return None
    if found & _SPANS or ("time" in found and found & {"response", "total", "request", "processing", "taken", "wall"}):
        return "duration_ms", len(found)
    return None


def unit_of(path: str) -> str | None:
    """The unit of time or money that a name ends in, or None."""
    last = words(path.rpartition(".")[2])
    if "cents" in last:
        return "cents"
    return _UNITS.get(last[-1]) if last else None


def _time_field(tails: list[tuple[str, ...]], values: Values) -> tuple[str, int] | None:
    found = {*tails[0]}
    ends = bool(found & _ENDS)
    rank = next((rank for rank, names in enumerate(_STARTS) if found & names), None)
    if (rank is None and not ends) or (not ends and found & _NO_START) or isinstance(values[0], bool):
        return None
    if found & (MONEY | _SPANS | TOKEN | {"reason", "user", "by", "model"}):
        return None
    if ends:
        return ("end_time", 0) if all(is_time(value) for value in values) else None
    if all(is_time(value) for value in values):
        return "start_time", rank or 0
    texts = all(isinstance(value, str) and re.search(r"\d\d", value) and len(value) < 40 for value in values)
    # a clock without a date, or a number that counts from a moment of its own
    return ("start_time", 50 + (rank or 0)) if texts or all(is_number(value) for value in values) else None


def is_time(value: Any) -> bool:
    """Whether the value is a moment that can be read, whatever the order of day and month."""
    for day_first in (None, True, False):
        try:
            time_us(value, "$", day_first=day_first)
        except BadRecordError:
            continue
        return True
    return not isinstance(value, int | float | str) and value is not None and hasattr(value, "isoformat")


def _text_field(tails: list[tuple[str, ...]], values: Values) -> tuple[str, int] | None:
    texts = all(isinstance(value, str) and 0 < len(value) < 200 for value in values)
    named = {*tails[0]}
    around = {*tails[1]} if len(tails) > 1 else set()
    models = named & {"model", "modell", "engine", "deployment"} or (
        around & {"model"} and named <= {"name", "id", "slug"}
    )
    if texts and models and (named <= _MODEL_WORDS | {"engine", "deployment", "response"}):
        ours = "response_model" if "response" in named | around else "request_model"
        unsure = not named & {"model", "modell"} or "version" in named
        return ours, len(tails[0]) + (3 if unsure else 0)
    for depth, tail in enumerate(tails):
        whole = "_".join(tail)
        for ours, names in _TEXTS.items():
            if whole not in names:
                continue
            if ours == "status":
                if not all(_is_status(value) for value in values):
                    continue
            elif not (texts or all(isinstance(value, int) for value in values)):
                continue
            return ours, names.index(whole) + 10 * depth
    return None


def _is_status(value: Any) -> bool:
    word = str(value).lower()
    return word in _STATUSES or (word.isdecimal() and 100 <= int(word) < 600)


def key_rank(path: str) -> int | None:
    """How likely a path is the id of a call, the lower the likelier; None for what names something else."""
    parts = path.split(".")
    last = "_".join(words(parts[-1]))
    if last in _KEYS and (last not in ("id", "uuid") or len(parts) == 1):
        return _KEYS.index(last)
    both = "_".join(words(".".join(parts[-2:])))
    return 20 + _KEYS.index(both) if len(parts) > 1 and both in _KEYS else None


def content_of(path: str, values: Values) -> tuple[str, int] | None:
    """(`messages`, `response`, `tools` or `params`, rank) where the name and the values are such; None for others."""
    last = "_".join(words(path.rpartition(".")[2]))
    for section, names, fits in _CONTENTS:
        if last in names and all(fits(value) for value in values):
            return section, names.index(last)
    return None


def _is_messages(value: Any) -> bool:
    if isinstance(value, list):
        return bool(value) and all(isinstance(one, str | dict) for one in value)
    return _is_text(value)


def _is_text(value: Any) -> bool:
    return isinstance(value, str) and not is_number(value)


_CONTENTS: tuple[tuple[str, tuple[str, ...], Callable[[Any], bool]], ...] = (
    ("messages", ("messages", "input_messages", "prompt", "input", "history"), _is_messages),
    ("response", ("response", "completion", "answer", "output", "reply", "output_messages"),
     lambda value: isinstance(value, dict) or _is_messages(value)),
    ("tools", ("tools", "functions"), lambda value: isinstance(value, list)),
)  # fmt: skip
