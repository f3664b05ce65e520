"""Public benchmarks as the weakest evidence on quality: how two models compared on somebody else's tasks.

A strategy names the benchmark and the tasks that it is to stand for; nothing is applied by itself. What a benchmark
says is shown, but the calls count as unknown until the file says `accept_priors: true`. Even then the interval is as
wide as LIKE_CALLS scored calls would make it, because the error that matters is not the benchmark's sampling.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from replay.quality.intervals import Moments
from replay.strategy.public_benchmarks import benchmarks
from replay.strategy.quality_schema import PriorUse, QualityRow

LIKE_CALLS: Final = 30


def rows(uses: tuple[PriorUse, ...]) -> Iterator[QualityRow]:
    """The results of the named benchmarks as rows of quality, for the tasks that each is to stand for."""
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
