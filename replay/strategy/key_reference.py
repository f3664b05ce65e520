"""What every key of a strategy file means, with a line to copy: for the JSON schema, `strategy explain` and errors.

A path names keys from the top of the file, `[]` an item of a list: `cache.tiers[].ttl`. Columns of `match` and the
parameters of compressors come from their own registries.
"""

from __future__ import annotations

import importlib
from collections.abc import Iterable
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Final

import yaml

from analysis.dimensions import REGISTRY
from replay import compressors as compress
from replay.strategy.conditions import COLUMNS

_SELECTION: Final = {
    "match": ("Which calls: columns to values that all hold, in either case; globs, lists, bounds "
              "(lt, le, gt, ge, not, contains).", "match: {task: 'summar*', input_words: {lt: 500}}"),
    "when": ("Which calls: a condition in SQL over the same columns.", "when: \"input_words > 1500 OR turn = 1\""),
}  # fmt: skip
_TABLE_ROW: Final = {
    "task": ("The task it holds for, a glob; any without it.", "task: 'summar*'"),
    "model": ("The model it holds for, a glob; any without it.", "model: gpt-4o-mini"),
}
_TABLE: Final = Path(__file__).with_name("key_reference.yaml")


@cache
def keys() -> dict[str, tuple[str, str]]:
    """Path -> (what the key means, a line that may be copied; empty where there is none)."""
    loader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
    found = yaml.load(_TABLE.read_text("utf-8"), Loader=loader)  # noqa: S506  safe, both
    return {path: (entry["about"], entry.get("example", "")) for path, entry in found.items()}


# what other routers and people call it -> the key that is meant
_OTHER_WORDS: Final = {
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


def meant(word: str, known: Iterable[str]) -> str | None:
    """The key among `known` that people call `word` elsewhere."""
    found = _OTHER_WORDS.get(word.lower())
    return found if found in set(known) else None


def example(path: str) -> str | None:
    """The line to copy of a key's path; None where the key is not documented."""
    found = keys().get(path) or _beside(path)
    return found[1] if found and found[1] else None


def about(path: str) -> str | None:
    """What a key means."""
    found = keys().get(path) or _beside(path)
    return found[0] if found else None


def _beside(path: str) -> tuple[str, str] | None:
    """The keys that many parts share."""
    head, _, last = path.rpartition(".")
    if head.endswith(("output_ratio[]", "rework[]", "quality.table[]")) and last in _TABLE_ROW:
        return _TABLE_ROW[last]
    return _SELECTION.get(last) if head else None


def beside(parent: str) -> list[str]:
    """The keys that stand directly in `parent`, a path or nothing for the top of the file."""
    return [path.rpartition(".")[2] for path in keys() if path.rpartition(".")[0] == parent]


def elsewhere(key: str) -> list[str]:
    """The paths whose last part is the key."""
    return [path for path in keys() if path.split(".")[-1].removesuffix("[]") == key]


def explain(word: str) -> list[Explained]:
    """All that a word stands for: keys with that path or last part, compressors, parameters, columns of `match`."""
    found = [
        Explained(path, "key", text, line)
        for path, (text, line) in keys().items()
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


def everything() -> list[Explained]:
    """Every key, then every compressor with its parameters, then every column of `match`."""
    found = [Explained(path, "key", text, line) for path, (text, line) in keys().items()]
    for name in (*compress.names(), *COLUMNS):
        found += [one for one in explain(name) if one.kind != "key" and one not in found]
    return found


def words() -> list[str]:
    """Every word that `explain` knows."""
    last = {path.split(".")[-1].removesuffix("[]") for path in keys()}
    parameters = {name for one in compress.names() for name in compress.find(one).parameters}
    return sorted({*keys(), *last, *_SELECTION, *compress.names(), *parameters, *COLUMNS})


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
