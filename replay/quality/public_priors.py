"""Public benchmarks as the weakest evidence on quality: how two models compared on somebody else's tasks.

A strategy names the benchmark and the tasks that it is to stand for; nothing is applied by itself. What a benchmark
says is shown, but the calls count as unknown until the file says `accept_priors: true`. Even then the interval is as
wide as LIKE_CALLS scored calls would make it, because the error that matters is not the benchmark's sampling.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import date
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Final

import yaml

from ingest.errors import did_you_mean
from replay.quality.intervals import Moments

if TYPE_CHECKING:
    from replay.strategy.schema import PriorUse, QualityRow

FILE: Final = Path(__file__).with_name("public_priors.yaml")
LIKE_CALLS: Final = 30


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


def rows(uses: tuple[PriorUse, ...]) -> Iterator[QualityRow]:
    """The results of the named benchmarks as rows of quality, for the tasks that each is to stand for."""
    from replay.strategy.schema import QualityRow

    for use in uses:
        for result in benchmarks()[use.benchmark].results:
            for model in result.models:
                yield QualityRow(
                    task=use.task,
                    model=model,
                    quality=result.quality,
                    n=result.n,
                    evidence="prior",
                    source=f"{use.benchmark}, {result.day.isoformat()}",
                )


def words(served: QualityRow, logged: QualityRow) -> str:
    """The two results in words: `0.52 against 0.23 (aider-polyglot, 2025-01-17)`."""
    return f"{served.quality:.2f} against {logged.quality:.2f} ({served.source or 'a table of priors'})"


def moments(served: QualityRow, logged: QualityRow) -> Moments:
    """The two results as if seen on few calls of one's own."""
    n = min(served.n or LIKE_CALLS, logged.n or LIKE_CALLS, LIKE_CALLS)
    one, other = (row.quality * (1 - row.quality) for row in (served, logged))
    return Moments(n, served.quality, logged.quality, one, other, 0.0)
