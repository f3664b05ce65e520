"""The packaged results of public benchmarks (public_benchmarks.yaml): names, results, sources and licences."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date
from functools import cache
from pathlib import Path
from typing import Final

import yaml

from ingest.errors import did_you_mean

FILE: Final = Path(__file__).with_name("public_benchmarks.yaml")


@dataclass(frozen=True)
class Result:
    """One model's result on one benchmark: the share of `n` tasks that it passed, published on `day`."""

    benchmark: str
    models: tuple[str, ...]
    quality: float
    n: int
    day: date


@dataclass(frozen=True)
class Benchmark:
    """A packaged benchmark, where it was published, and under which licence."""

    name: str
    what: str
    source: str
    licence: str
    results: tuple[Result, ...]


@cache
def benchmarks() -> dict[str, Benchmark]:
    """The packaged benchmarks by name."""
    found = {}
    for name, entry in yaml.safe_load(FILE.read_text("utf-8"))["benchmarks"].items():
        results = tuple(
            Result(name, tuple(row["models"]), row["passed"] / row["n"], row["n"], row["date"]) for row in entry["rows"]
        )
        found[name] = Benchmark(name, entry["what"], entry["source"], entry["licence"], results)
    return found


def check(name: str) -> str:
    """The name of a packaged benchmark; ValueError names the nearest one otherwise."""
    if name not in benchmarks():
        raise ValueError(f"no benchmark '{name}' is packaged. {did_you_mean(name, benchmarks())}")
    return name
