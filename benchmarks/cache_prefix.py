"""The provider's prompt cache over conversations of 24 blocks a call, beside the same rules in plain Python.

    python -m benchmarks cache_prefix        (HINDCAST_BENCH_CALLS sets the number of calls, default 1,000,000)

Conversations resend their history; every agent has a long system prompt in common. Times are for chaining the prompts
into blocks, which a store does once per strategy that changes prompts, and for the simulation, which every question
repeats.
"""

from __future__ import annotations

import os
import time
from datetime import date

import numpy as np

from replay.provider_cache.simulate import PromptCacheRule, block_chains, simulate
from replay.traffic.prompts import KINDS, Contents, Prompts

CALLS = int(os.environ.get("HINDCAST_BENCH_CALLS", "1000000"))
TURNS = 8
SYSTEM_BLOCKS, MESSAGE_BLOCKS = 12, 3
RULE = PromptCacheRule(
    name="openai", provider="openai", models=("*",), since=date(2024, 10, 1), minimum=1024, increment=128,
    ttl_ms=600_000, requests_per_minute=15, source="benchmark",
)  # fmt: skip


def conversations(calls: int) -> tuple[Prompts, np.ndarray, np.ndarray]:
    """Prompts of conversations of eight turns that run side by side, their scope and their start times."""
    rng = np.random.default_rng(3)
    count = -(-calls // TURNS)
    agents = 40
    texts = agents + count * TURNS
    blocks = np.concatenate([np.full(agents, SYSTEM_BLOCKS), np.full(count * TURNS, MESSAGE_BLOCKS)])
    contents = Contents(
        content_id=np.arange(texts, dtype=np.int32),
        kind=np.where(np.arange(texts) < agents, KINDS.index("system"), KINDS.index("user")).astype(np.int8),
        words=np.zeros(texts, np.int32),
        tokens={"o200k_base": (blocks * 128 - 40).astype(np.int32)},
        block_offsets=np.concatenate([[0], np.cumsum(blocks)]).astype(np.int64),
        block_hashes=rng.integers(-(2**62), 2**62, int(blocks.sum())),
        texts={},
    )
    conversation = np.repeat(np.arange(count), TURNS)[:calls]
    turn = np.tile(np.arange(TURNS), count)[:calls]
    begins = rng.integers(0, 86_400_000 * 5, count)
    start = begins[conversation] + np.cumsum(rng.integers(5_000, 90_000, calls)) % 300_000 + turn * 60_000
    order = np.argsort(start, kind="stable")
    conversation, turn, start = conversation[order], turn[order], start[order]
    sizes = turn + 2
    offsets = np.concatenate([[0], np.cumsum(sizes)]).astype(np.int64)
    within = np.arange(int(offsets[-1])) - np.repeat(offsets[:-1], sizes)
    owner = np.repeat(conversation, sizes)
    ids = np.where(within == 0, owner % agents, agents + owner * TURNS + within - 1).astype(np.int32)
    return Prompts(offsets, ids, contents), (conversation % agents % 4).astype(np.int32), start


def loop(prompts: Prompts, scope: np.ndarray, start: np.ndarray, calls: int) -> int:
    """The implicit rule over the first calls, with prefixes as chained hashes in a dict."""
    last: dict[tuple[int, int], int] = {}
    contents, total = prompts.contents, 0
    counts = contents.tokens["o200k_base"].tolist()
    offsets, hashes = contents.block_offsets.tolist(), contents.block_hashes.tolist()
    for call in range(calls):
        now, mine, chain, matched, whole, going = int(start[call]), int(scope[call]), 0, 0, 0, True
        for number in prompts.ids[prompts.offsets[call] : prompts.offsets[call + 1]].tolist():
            stop = offsets[number + 1]
            for at in range(offsets[number], stop):
                size = 128 if at + 1 < stop else counts[number] - 128 * (stop - 1 - offsets[number])
                chain = hash((chain, hashes[at]))
                seen = last.get((mine, chain))
                going = going and seen is not None and now - seen <= RULE.ttl_ms
                matched += size if going else 0
                whole += size
                last[mine, chain] = now
        total += matched // 128 * 128 if matched >= 1024 else 0
    return total


def main() -> None:
    prompts, scope, start = conversations(CALLS)
    n = len(prompts)
    asked = {
        "scope": scope, "start_ms": start, "alive": np.ones(n, np.bool_), "rule": np.zeros(n, np.int32),
    }  # fmt: skip
    simple = RULE.model_copy(update={"requests_per_minute": None})
    block_chains(Prompts(prompts.offsets[:9], prompts.ids, prompts.contents))
    began = time.perf_counter()
    chains = block_chains(prompts)
    chained = time.perf_counter() - began
    sizes = np.diff(prompts.contents.block_offsets)
    blocks = int(sizes[prompts.ids].sum())
    simulate(chains, rules=[RULE], **asked)
    print(f"{n:,} calls of {blocks / n:.1f} blocks")
    for name, rule in (("without overflow", simple), ("with overflow at 15 a minute", RULE)):
        times = []
        for _ in range(3):
            began = time.perf_counter()
            found = simulate(chains, rules=[rule], **asked)
            times.append(time.perf_counter() - began)
        best = min(times)
        speed = f"{n / best / 1e6:.1f} M calls/s, {blocks / best / 1e6:.0f} M blocks/s"
        tokens = int(found.cached_tokens.sum())
        print(f"simulation {name}: {speed}   >= 5 M calls/s ({tokens / 1e6:,.0f} M tokens cached)")
    print(f"chaining: {n / chained / 1e6:.2f} M calls/s")
    few = min(n, 20_000)
    began = time.perf_counter()
    total = loop(prompts, scope, start, few)
    slow = time.perf_counter() - began
    part = simulate(chains, rules=[simple], **asked).cached_tokens[:few].sum()
    same = "equal" if part == total else "DIFFERENT"
    print(f"plain Python: {few / slow / 1e6:.3f} M calls/s on {few:,} calls, cached tokens {same}")
    print(f"simulation against plain Python: {(n / best) / (few / slow):,.0f}x")


if __name__ == "__main__":
    main()
