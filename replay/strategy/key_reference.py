"""What every key of a strategy file means, with a line to copy: for the JSON schema, `strategy explain` and errors.

A path names keys from the top of the file, `[]` an item of a list: `cache.tiers[].ttl`. Columns of `match` and the
parameters of compressors come from their own registries.
"""

from __future__ import annotations

import importlib
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Final

from analysis.dimensions import REGISTRY
from replay import compressors as compress
from replay.strategy.conditions import COLUMNS

_SELECTION: Final = {
    "match": ("Which calls: columns to values, all of which must hold. Exact in either case, with globs, lists and bounds "
              "(lt, le, gt, ge, not, contains).", "match: {task: 'summar*', input_words: {lt: 500}}"),
    "when": ("Which calls: a condition in SQL over the same columns.", "when: \"input_words > 1500 OR task = 'draft'\""),
}  # fmt: skip
_TABLE_ROW: Final = {
    "task": ("The task it holds for, a glob; any without it.", "task: 'summar*'"),
    "model": ("The model it holds for, a glob; any without it.", "model: gpt-4o-mini"),
}
# path -> (what it means, a line that may be copied)
KEYS: Final[dict[str, tuple[str, str]]] = {
    "name": ("What tables and reports call the strategy.", "name: routed and cached"),
    "description": ("A sentence for whoever reads the file or the report.", "description: Summaries go to the small model."),
    "prompts": ("Prompts that were changed in place, by template.", ""),
    "route": ("Which model answers: the first rule that fits decides; without a default, calls stay where they were.",
              "route: [{match: {task: 'summar*'}, model: gpt-4o-mini}, {default: gpt-4o}]"),
    "route[].name": ("What tables call the rule.", "name: short summaries"),
    "route[].model": ("The model that answers, named as in the log, or provider/model; `logged` leaves the call alone.",
                      "model: gpt-4o-mini"),
    "route[].default": ("The model of every call that no rule before took; the last rule.", "default: gpt-4o"),
    "route[].cascade": ("Models that are asked in turn, cheap first, until an answer is kept; all that were asked are paid.",
                        "cascade: [gpt-4o-mini, gpt-4o]"),
    "route[].escalate": ("When a cascade's cheap answer is not kept.", "escalate: {score_below: 0.8}"),
    "route[].escalate.score_below": ("Below this logged score the next model is asked.", "score_below: 0.8"),
    "route[].escalate.share": ("This share of calls, drawn by hash, goes on to the next model.", "share: 0.2"),
    "route[].escalate.when": ("A condition on the logged answer that asks the next model.", "when: \"finish_reason = 'length'\""),
    "route_by": ("`conversation`: every call of a conversation goes where its first call goes.", "route_by: conversation"),
    "on_error": ("The model that answers where the logged call failed.", "on_error: gpt-4o"),
    "classifier": ("A model call that decides the route, paid on every demand call.", "classifier: {model: gpt-4o-mini}"),
    "classifier.model": ("The model that decides.", "model: gpt-4o-mini"),
    "classifier.input_tokens": ("Tokens of its prompt.", "input_tokens: 200"),
    "classifier.output_tokens": ("Tokens of its answer.", "output_tokens: 5"),
    "classifier.placed": ("Whether it is asked before the cache is looked up or after a miss.", "placed: after_cache"),
    "cache": ("Our own response cache, in one or more tiers.",
              "cache: {tiers: [{name: memory, scope: process, ttl: 5m}, {name: redis, ttl: 24h}]}"),
    "cache.key": ("What makes two requests the same: canonical, canonical+mask, litellm, helicone or portkey.", "key: canonical"),
    "cache.tiers": ("The tiers, nearest first.", "tiers: [{name: redis, ttl: 24h, max_memory: 2GB}]"),
    "cache.tiers[].name": ("What tables call the tier.", "name: redis"),
    "cache.tiers[].scope": ("`process`: each process has its own; `shared`: all have one.", "scope: shared"),
    "cache.tiers[].ttl": ("How long an answer lives; without it, for ever.", "ttl: 24h"),
    "cache.tiers[].sliding": ("Whether a hit begins the time to live anew.", "sliding: true"),
    "cache.tiers[].max_entries": ("The most answers it holds.", "max_entries: 10000"),
    "cache.tiers[].max_memory": ("The most bytes it holds.", "max_memory: 2GB"),
    "cache.tiers[].policy": ("What goes first when it is full: lru, fifo, sieve, lfu, allkeys-lru, ...", "policy: lru"),
    "cache.tiers[].fill_on_lower_hit": ("Whether a hit in a tier below fills this one.", "fill_on_lower_hit: true"),
    "cache.in_flight": ("Equal calls while the first is under way: `duplicate` are paid, `coalesced` wait for it.",
                        "in_flight: coalesced"),
    "cache.processes": ("How many processes there are, where the log names none.", "processes: 4"),
    "cache.assign": ("How calls reach those processes: by conversation (`sticky`) or in turn.", "assign: sticky"),
    "cache.seed": ("The seed of what is drawn.", "seed: 0"),
    "cache.max_temperature": ("Hotter calls pass the cache by.", "max_temperature: 0.2"),
    "cache.skip": ("Calls that must always reach the model.", "skip: [{match: {task: news}}]"),
    "cache.restarts": ("When the memory of the processes starts empty: every so often, or at times.", "restarts: 24h"),
    "cache.restarts[].at": ("The moments: a period or times (UTC).", "at: 24h"),
    "cache.restarts[].process": ("One process that the log names; all without it.", "process: worker-1"),
    "cache.invalidate": ("When answers are deleted from every tier.", "invalidate: [{at: 6h, match: {task: news}}]"),
    "cache.invalidate[].at": ("The moments: a period or times (UTC).", "at: 6h"),
    "provider_cache": ("The provider's own prompt cache: auto (its dated rules), off, or on for every call.",
                       "provider_cache: auto"),
    "provider_cache.mode": ("auto, off or on.", "mode: on"),
    "provider_cache.ttl": ("How long it is asked to keep a prompt: 5m or 1h.", "ttl: 1h"),
    "compress": ("What shortens the prompt before anything looks at it, in order: names, or names with parameters.",
                 "compress: [whitespace, json_minify, {history_window: {messages: 10, match: {agent: chat}}}]"),
    "compress[].name": ("The compressor.", "name: whitespace"),
    "compress[].parameters": ("Its parameters by name.", "parameters: {messages: 10}"),
    "batch": ("Calls that can wait, at the batch or flex price.", "batch: [{match: {agent: research_agent, online: false}}]"),
    "batch[].tier": ("The tier that prices them: batch or flex.", "tier: batch"),
    "quality": ("The floor that must be kept, and evidence of your own.", "quality: {floor: 0.95}"),
    "quality.floor": ("The least share of the logged quality, 0.95 for 95 %.", "floor: 0.95"),
    "quality.relative_to": ("What the floor is a share of.", "relative_to: logged"),
    "quality.per_task": ("Floors of single tasks.", "per_task: {draft: 0.98}"),
    "quality.confidence": ("Of the one-sided lower bound.", "confidence: 0.9"),
    "quality.table": ("Scores that a person vouches for.", "table: [{task: draft, model: gpt-4o-mini, quality: 0.93, n: 200}]"),
    "quality.table[].quality": ("The mean score, 0 to 1.", "quality: 0.93"),
    "quality.table[].n": ("On how many calls it was seen.", "n: 200"),
    "quality.table[].evidence": ("`prior` where it was measured on somebody else's tasks.", "evidence: table"),
    "quality.table[].source": ("Where it comes from.", "source: review of May"),
    "quality.priors": ("Public benchmarks that are shown for tasks.", "priors: [{benchmark: aider-polyglot, task: 'code*'}]"),
    "quality.priors[].benchmark": ("One of `hindcast strategy priors`.", "benchmark: aider-polyglot"),
    "quality.priors[].task": ("The tasks it stands for, a glob.", "task: 'code*'"),
    "quality.accept_priors": ("Let public benchmarks count; without it they are only shown.", "accept_priors: false"),
    "quality.harmless": ("Lossy compressors that you declare neutral for quality.", "harmless: [filler]"),
    "output_ratio": ("How long another model's answers are, as a multiple of the logged ones.",
                     "output_ratio: [{task: draft, model: gpt-4o-mini, ratio: 0.8, low: 0.6, high: 1.1}]"),
    "output_ratio[].ratio": ("The multiple.", "ratio: 0.8"),
    "output_ratio[].low": ("The least that is believed.", "low: 0.6"),
    "output_ratio[].high": ("The most that is believed.", "high: 1.1"),
    "rework": ("Extra calls because a weaker answer comes back: `estimated` from the log, or rows.",
               "rework: [{model: gpt-4o-mini, extra_calls: 0.2}]"),
    "rework[].extra_calls": ("Extra calls for each call of the model.", "extra_calls: 0.2"),
    "rework[].low": ("The least that is believed.", "low: 0.1"),
    "rework[].high": ("The most that is believed.", "high: 0.4"),
    "behaviour": ("Calls per unit: `estimated` where a model may need more or fewer, or `fixed` as logged.",
                  "behaviour: fixed"),
    "rollout": ("Which share of which units the strategy is applied to; the rest is held back.",
                "rollout: {share: 0.5, unit: conversation}"),
    "rollout.share": ("The share of the units.", "share: 0.5"),
    "rollout.unit": ("What is drawn: conversation, user, ...", "unit: conversation"),
    "rollout.seed": ("The seed of the draw.", "seed: 0"),
}  # fmt: skip

# what other routers and people call it -> the key or column that is meant
_OTHER_WORDS: Final = {
    "prompt": "text", "content": "text", "message": "text", "question": "text", "query": "text",
    "user": "user_id", "customer": "user_id", "provider": "provider_name", "session": "conversation_id",
    "length": "input_words", "prompt_length": "input_words", "words": "input_words", "tokens": "input_tokens",
    "prompt_tokens": "input_tokens", "tool": "tool_count", "tools": "tool_count", "tag": "tags", "images": "has_images",
    "routes": "route", "router": "route", "routing": "route", "rules": "route", "models": "route", "caching": "cache",
    "compression": "compress", "compressors": "compress", "threshold": "quality", "floor": "quality",
}  # fmt: skip


@dataclass(frozen=True)
class Explained:
    """One key, compressor, parameter or column: its path, what it means, its default, and a line to copy."""

    path: str
    kind: str  # key, compressor, parameter or column
    about: str
    example: str
    default: str | None = None


def meant(word: str, known: Iterator[str] | Any) -> str | None:
    """The key or column among `known` that people call `word` elsewhere."""
    found = _OTHER_WORDS.get(word.lower())
    return found if found in set(known) else None


def example(path: str) -> str | None:
    """The line to copy of a key's path; None where the key is not documented."""
    found = KEYS.get(path) or _beside(path)
    return found[1] if found and found[1] else None


def about(path: str) -> str | None:
    """What a key means."""
    found = KEYS.get(path) or _beside(path)
    return found[0] if found else None


def _beside(path: str) -> tuple[str, str] | None:
    """The keys that many parts share."""
    head, _, last = path.rpartition(".")
    if head.endswith(("output_ratio[]", "rework[]", "quality.table[]")) and last in _TABLE_ROW:
        return _TABLE_ROW[last]
    return _SELECTION.get(last) if head else None


def elsewhere(key: str) -> list[str]:
    """The paths whose last part is the key."""
    return [path for path in KEYS if path.split(".")[-1].removesuffix("[]") == key]


def explain(word: str) -> list[Explained]:
    """All that a word stands for: keys with that path or last part, compressors, parameters, columns of `match`."""
    found = [
        Explained(path, "key", text, line)
        for path, (text, line) in KEYS.items()
        if path == word or path.split(".")[-1] == word or path.replace("[]", "") == word
    ]
    if word in _SELECTION and not found:
        found.append(Explained(word, "key", *_SELECTION[word]))
    if word in compress.names():
        one = compress.find(word)
        kind = "lossless" if one.lossless else "lossy"
        prefix = "keeps" if one.prefix_stable else "moves"
        text = f"{summary_of(word)} ({kind}; {prefix} the beginning of prompts)"
        main = one.main_parameter
        line = f"{{{word}: {one.parameters[main]}}}" if main else word
        found.append(Explained(f"compress: {word}", "compressor", text, f"compress: [{line}]"))
        found += [
            Explained(f"{word}.{name}", "parameter", one.about[name], f"compress: [{{{word}: {{{name}: {default}}}}}]",
                      str(default))
            for name, default in one.parameters.items()
        ]  # fmt: skip
    else:
        for name in compress.names():
            one = compress.find(name)
            if word in one.parameters:
                default = one.parameters[word]
                line = f"compress: [{{{name}: {{{word}: {default}}}}}]"
                found.append(Explained(f"{name}.{word}", "parameter", one.about[word], line, str(default)))
    if word in COLUMNS:
        found.append(Explained(f"match.{word}", "column", column_about(word), f"match: {{{word}: {_sample(word)}}}"))
    return found


def words() -> list[str]:
    """Every word that `explain` knows."""
    last = {path.split(".")[-1].removesuffix("[]") for path in KEYS}
    parameters = {name for one in compress.names() for name in compress.find(one).parameters}
    return sorted({*KEYS, *last, *_SELECTION, *compress.names(), *parameters, *COLUMNS})


def summary_of(compressor: str) -> str:
    """The first sentence of a compressor's module."""
    text = importlib.import_module(f"replay.compressors.{compressor}").__doc__ or ""
    return " ".join(text.split("\n\n")[0].split()).split(". ")[0].rstrip(".:")


def column_about(name: str) -> str:
    """What a column of `match` and `when` holds."""
    about = next((entry.about for entry in REGISTRY if entry.rule == name), name)
    return f"{about} ({COLUMNS[name]})"


def _sample(column: str) -> str:
    kind = COLUMNS[column]
    return {"number": "{gt: 100}", "flag": "true", "list": "[nightly]"}.get(kind, "'a*'")
