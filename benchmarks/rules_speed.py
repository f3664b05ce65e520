"""Ten strategies of routing rules over a million calls, beside a plain Python loop over the same rules."""

from __future__ import annotations

import fnmatch
import time

import numpy as np
import polars as pl

from replay.stages import rule_evaluation
from replay.strategy.schema import Strategy, parse

CALLS = 1_000_000
LOOPED = 20_000  # the loop runs over so many and is scaled up


def calls() -> pl.DataFrame:
    rng = np.random.default_rng(0)
    pick = np.array(["summary", "summarize", "critique", "rewrite", "draft", "a complex_reasoning b"])
    return pl.DataFrame(
        {
            "agent": np.array(["research", "outline", "drafting", "refinement"])[rng.integers(0, 4, CALLS)],
            "task": pick[rng.integers(0, len(pick), CALLS)],
            "input_words": rng.integers(0, 3000, CALLS),
            "max_tokens": rng.integers(0, 4000, CALLS),
        }
    )


def strategies() -> list[Strategy]:
    return [
        parse(f"""
name: s{number}
route:
  - {{match: {{task: "summar*", input_words: {{lt: {300 + 50 * number}}}}}, model: small}}
  - {{match: {{agent: refinement, task: [critique, rewrite]}}, model: big}}
  - {{when: "input_words > {1000 + 100 * number} OR task LIKE '%complex_reasoning%'", model: big}}
  - {{match: {{max_tokens: {{ge: 2000}}}}, model: mid}}
  - {{default: small}}
""")
        for number in range(10)
    ]


def loop(rows: list[tuple[str, str, int, int]], number: int) -> list[str]:
    """The same rules as a person would write them in Python."""
    found = []
    for agent, task, words, most in rows:
        by_hand = agent == "refinement" and task in ("critique", "rewrite")
        if fnmatch.fnmatch(task, "summar*") and words < 300 + 50 * number:
            found.append("small")
        elif by_hand or words > 1000 + 100 * number or "complex_reasoning" in task:
            found.append("big")
        elif most >= 2000:
            found.append("mid")
        else:
            found.append("small")
    return found


def main() -> None:
    frame, chosen = calls(), strategies()
    rule_evaluation.route(chosen[0], frame[:1000])
    start = time.perf_counter()
    routed = [rule_evaluation.route(strategy, frame) for strategy in chosen]
    ours = time.perf_counter() - start
    rows = frame[:LOOPED].rows()
    start = time.perf_counter()
    looped = [loop(rows, number) for number in range(len(chosen))]
    theirs = (time.perf_counter() - start) * CALLS / LOOPED
    for strategy, target, expected in zip(chosen, routed, looped, strict=True):
        names = rule_evaluation.targets(strategy)
        assert [names[i] for i in target[:LOOPED].tolist()] == expected
    print(f"10 strategies of 5 rules over {CALLS:,} calls: {ours:.2f} s")
    print(f"the same rules in a Python loop: {theirs:.1f} s ({theirs / ours:.0f} x)")
    print(f"decisions equal on the first {LOOPED:,} calls of each")


if __name__ == "__main__":
    main()
