"""The provider's own prompt cache, by its dated rules: which tokens of each prompt it would have read from cache.

`block_chains` turns prompts into chained blocks once; `simulate` runs any set of rules over them. What a provider
really did depends on its machines, so a prediction is shown beside the logged cached tokens wherever a log has them.
"""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import cached_property
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from ingest.threads import at_most
from replay.provider_cache.dated_rules import PromptCacheRule, rule_for, rules_of
from replay.traffic.prompts import KINDS, Prompts

Int8 = NDArray[np.int8]
Int32 = NDArray[np.int32]
Int64 = NDArray[np.int64]
Bool = NDArray[np.bool_]

THREADS = 2
FEW_CALLS = 200_000  # below which a second thread gains nothing
SAMPLED = 16  # of so many calls, one tells how many calls each part has
MINUTE = 60_000

__all__ = [
    "BlockChains",
    "Cached",
    "PromptCacheRule",
    "block_chains",
    "prompted_answers",
    "rule_for",
    "rules_of",
    "simulate",
]


@dataclass(frozen=True)
class BlockChains:
    """n requests as paths of chained segments. Request i runs through the steps START to STOP of `routes[path[i]]`.

    A segment is a run of blocks that come together in every prompt, known by a dense number: equal iff the prompts
    agree up to its end. `steps` is (steps x 2): a segment's number, and its tokens, or minus its blocks where they are
    not counted. `ends`, over steps: 1 at the end of a content, 2 at the end of the leading tools and system texts, 3 at
    the end of an answer. `routes` is (paths x 4): START, STOP, KNOWN tokens, and REST: 1 where tools lead, twice the
    blocks without a count, and 2 ** 32 times the segment within which the first 256 tokens end.
    """

    path: Int32  # n
    routes: Int64
    steps: Int32
    ends: Int8
    chains: int  # numbers of segments, from 0

    def __len__(self) -> int:
        return len(self.path)

    @cached_property
    def parts(self) -> Int8:
        """A part for each path, such that no two parts have a segment in common, and about equally many calls.

        Prompts that begin differently share nothing, so parts can be simulated side by side.
        """
        from replay.kernels.prompt_cache import prompt_prefix

        part = np.zeros(len(self.routes), np.int8)
        if len(self) < FEW_CALLS:
            return part
        calls = np.zeros(self.chains, np.int64)
        prompt_prefix.heads(self.routes, self.steps, np.ascontiguousarray(self.path[::SAMPLED]), calls)
        first = np.flatnonzero(calls)
        owner, held = np.zeros(self.chains, np.int8), [0] * THREADS
        for segment in first[np.argsort(-calls[first], kind="stable")].tolist():
            lightest = min(range(THREADS), key=held.__getitem__)
            owner[segment] = lightest
            held[lightest] += int(calls[segment])
        some = np.flatnonzero(self.routes[:, 0] < self.routes[:, 1])
        part[some] = owner[self.steps[self.routes[some, 0], 0]]
        return part


class Cached(NamedTuple):
    """Tokens per request: read from the provider's cache, and written to it where writing has a price of its own."""

    cached_tokens: Int64
    written_tokens: Int64


def block_chains(prompts: Prompts, encoding: str | None = None) -> BlockChains:
    """Chain the prompts' blocks, counting tokens by `encoding`; default: the first that has a count."""
    from replay.kernels.prompt_cache import prompt_tree as kernel

    contents = prompts.contents
    counts = _counts(prompts, encoding)
    block_offsets, hashes = contents.block_offsets, np.ascontiguousarray(contents.block_hashes, np.int64)
    bare = np.diff(block_offsets) == 0
    if bare.any():  # a content without blocks is one block, known by its number
        block_offsets, hashes = _with_bare_blocks(block_offsets, hashes, bare)
    keys, node_of = prompts.tree.keys, prompts.tree.path
    nodes = len(keys)
    up, first, size = np.empty(2 * nodes, np.int32), np.empty(2 * nodes, np.int64), np.empty(2 * nodes, np.int32)
    point_of = np.zeros(nodes, np.int32)
    depth, known, unknown = np.zeros(nodes, np.int32), np.zeros(nodes, np.int64), np.zeros(nodes, np.int32)
    with ThreadPoolExecutor(1) as beside:
        distinct = beside.submit(_distinct, node_of, nodes)
        chains = kernel.points(keys, block_offsets, hashes, up, first, size, point_of)
        kernel.accumulate(keys, counts, block_offsets, up, point_of, depth, known, unknown)
        wanted, path = distinct.result()
    routes = np.empty((len(wanted), 4), np.int64)
    laid = int(kernel.begin(wanted, depth, known, unknown, routes))
    steps, ends = np.empty((laid, 2), np.int32), np.empty(laid, np.int8)
    head = np.isin(contents.kind, [KINDS.index(kind) for kind in ("system", "developer")]).astype(np.int8)
    head[contents.kind == KINDS.index("tools")] = 2
    head[contents.kind == KINDS.index("assistant")] = -1

    def lay_out(some: slice) -> None:
        kernel.lay_out(wanted[some], keys, counts, block_offsets, up, size, point_of, head, routes[some], steps, ends)

    half = len(wanted) // 2
    with ThreadPoolExecutor(at_most(THREADS)) as pool:
        list(pool.map(lay_out, (slice(0, half), slice(half, None))))
    return BlockChains(path, routes, steps, ends, chains)


def _distinct(nodes_of: Int32, nodes: int) -> tuple[Int32, Int32]:
    """The nodes that end some prompt, rising, and each prompt's position among them."""
    from replay.kernels.common.dense_ids import mark, pick

    used = np.zeros(nodes, np.bool_)
    mark(nodes_of, used)
    position = np.cumsum(used, dtype=np.int32)
    position -= 1
    return np.flatnonzero(used).astype(np.int32), pick(position, nodes_of)


def _counts(prompts: Prompts, encoding: str | None) -> Int32:
    """Tokens per content; without a choice, of the first encoding that has a count for it. -1 where none has."""
    tokens = prompts.contents.tokens
    counts = np.full(len(prompts.contents), -1, np.int32)
    for name in tokens if encoding is None else (encoding,):
        counts = np.where(counts < 0, tokens.get(name, counts), counts).astype(np.int32)
    return counts


def _with_bare_blocks(offsets: Int64, hashes: Int64, bare: Bool) -> tuple[Int64, Int64]:
    length = np.diff(offsets)
    widened = np.concatenate([[0], np.cumsum(np.where(bare, 1, length))]).astype(np.int64)
    filled = np.empty(int(widened[-1]), np.int64)
    own = np.repeat(bare, np.where(bare, 1, length))
    filled[~own] = hashes
    # any value that no hash has by more than chance: the number, mixed
    filled[own] = ((np.flatnonzero(bare) + 1).astype(np.uint64) * np.uint64(0xD6E8FEB86659FD93)).view(np.int64)
    return widened, filled


def simulate(
    chains: BlockChains,
    *,
    scope: Int32,
    start_ms: Int64,
    alive: Bool,
    rule: Int32,
    rules: Sequence[PromptCacheRule | None],
    input_tokens: Int64 | None = None,
    answer_tokens: Int64 | None = None,
    ready_ms: Int64 | None = None,
) -> Cached:
    """Cached and written tokens of each request, in time order.

    `scope`: requests that may share a cache (provider, model, account) as dense ids from 0. `alive` False: the request
    never reaches the provider. `rule`: position in `rules`, -1 for none (as a None there). `input_tokens`: the
    provider's own count of each prompt, -1 where unknown: our counts are fitted to it. `answer_tokens`: what each
    answer adds to the prompt that goes on with it, -1 where unknown. `ready_ms`: when the prompt has
    been read and can be matched by others; default its start.
    """
    from replay.kernels.prompt_cache import prompt_prefix

    n = len(chains)
    if not len(chains.steps):
        return Cached(np.zeros(n, np.int64), np.zeros(n, np.int64))
    if input_tokens is None:
        input_tokens = np.full(n, -1, np.int64)
    answers = answer_tokens is not None and any(one is not None and one.answers for one in rules)
    answer = np.ascontiguousarray(answer_tokens if answers else np.empty(0), np.int64)
    scope, alive = np.ascontiguousarray(scope, np.int32), np.ascontiguousarray(alive, np.bool_)
    none = np.array([one is None for one in rules] or [True])
    rule = np.ascontiguousarray(rule, np.int32)
    if none.any():
        rule = np.where((rule >= 0) & ~none[rule], rule, -1).astype(np.int32)
    table = np.array([_row(one) for one in rules], np.int64).reshape(len(rules), 10)
    start_ms = np.ascontiguousarray(start_ms, np.int64)
    ready = np.empty(0, np.int64) if ready_ms is None else np.maximum(ready_ms, start_ms).astype(np.int64, copy=False)
    limited, aged = bool((table[:, prompt_prefix.RPM] > 0).any()), bool((table[:, prompt_prefix.MAX_AGE] > 0).any())
    cached, written = np.zeros(n, np.int64), np.zeros(n, np.int64)
    state = np.zeros((chains.chains, 2 if limited else 1), np.int64)
    born = np.empty((chains.chains if aged else 0, 2), np.int64)
    load = np.zeros((chains.chains if limited else 0, 2), np.int64)
    answered = np.zeros(chains.chains if answers else 0, np.int64)
    epoch = _epochs(start_ms, ready, int(scope.max(initial=0)) + 1, int(table[:, prompt_prefix.TTL].max(initial=0)))

    def run(order: Int32) -> None:
        prompt_prefix.run(
            order, scope, epoch, start_ms, ready, rule, chains.path, chains.routes, chains.steps, chains.ends,
            np.ascontiguousarray(input_tokens, np.int64), answer, table, state, born, load, answered, cached, written,
        )  # fmt: skip

    part = chains.parts
    sizes = np.zeros((THREADS, int(scope.max(initial=0)) + 1), np.int64)
    prompt_prefix.per_part(scope, alive, rule, chains.path, part, sizes)
    starts = (np.cumsum(sizes) - sizes.ravel()).reshape(sizes.shape)
    order = np.empty(int(sizes.sum()), np.int32)
    prompt_prefix.in_scope_order(scope, alive, rule, chains.path, part, starts, order)
    pieces = [piece for piece in np.split(order, np.cumsum(sizes.sum(axis=1))[:-1]) if len(piece)]
    if len(pieces) < 2:
        run(order)
    else:
        with ThreadPoolExecutor(at_most(THREADS)) as pool:
            list(pool.map(run, pieces))
    return Cached(cached, written)


def prompted_answers(output: Int64, reasoning: Int64 | None) -> Int64:
    """Tokens that an answer adds to the prompt that goes on with it: -1 where it was thought about first.

    Thoughts come before the answer and are left out of the next prompt, so what was remembered behind them never fits.
    """
    return output if reasoning is None else np.where(reasoning > 0, -1, output)


def _epochs(start_ms: Int64, ready_ms: Int64, scopes: int, longest: int) -> Int64:
    """What to add to the times of each scope, in whole minutes: a scope begins when no life of the one before lasts."""
    first = int(start_ms.min()) // MINUTE * MINUTE if len(start_ms) else 0
    last = max(int(times.max(initial=first)) for times in (start_ms, ready_ms))
    apart = ((last - first + longest) // MINUTE + 2) * MINUTE
    return np.arange(1, scopes + 1, dtype=np.int64) * apart - first


def _row(rule: PromptCacheRule | None) -> list[int]:
    from replay.kernels.prompt_cache.prompt_prefix import BREAKPOINTS, IMPLICIT

    if rule is None:
        return [0] * 10
    return [
        IMPLICIT if rule.breakpoints is None else BREAKPOINTS,
        rule.minimum,
        rule.increment,
        rule.ttl_ms,
        rule.max_age_ms or 0,
        rule.requests_per_minute or 0,
        rule.lookback,
        rule.breakpoints is not None and "head" in rule.breakpoints,
        rule.writes_billed,
        rule.answers,
    ]
