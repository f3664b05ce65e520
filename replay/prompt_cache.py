"""The provider's own prompt cache, by its dated rules: which tokens of each prompt it would have read from cache.

`block_chains` turns prompts into chained blocks once; `simulate` runs any set of rules over them. What a provider
really did depends on its machines, so a prediction is shown beside the logged cached tokens wherever a log has them.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from replay.prompt_cache_rules import PromptCacheRule, rule_for, rules_of
from replay.prompts import KINDS, Prompts

Int8 = NDArray[np.int8]
Int32 = NDArray[np.int32]
Int64 = NDArray[np.int64]
Bool = NDArray[np.bool_]

BLOCK_TOKENS = 128
_TABLE = 1 << 12  # places that a look-up table starts with; it grows with what it holds

__all__ = ["BlockChains", "Cached", "PromptCacheRule", "block_chains", "rule_for", "rules_of", "simulate"]


@dataclass(frozen=True)
class BlockChains:
    """n requests as paths of chained segments. Request i runs through `offsets[path[i]]:offsets[path[i] + 1]`.

    A segment is a run of blocks that come together in every prompt. `ids` are dense: equal iff the prompts agree up to
    there. `tokens` of each segment, or minus the number of its blocks where they are not counted. `ends`: 1 at the end
    of a content, 2 at the end of the leading tools and system texts. Per path: `known` tokens, `unknown` blocks without
    a count, `has_tools`, and `lead`, the segment within which the first 256 tokens end.
    """

    path: Int32  # n
    offsets: Int64  # paths + 1
    ids: Int32
    tokens: Int32
    ends: Int8
    known: Int64  # paths
    unknown: Int32
    has_tools: Bool
    lead: Int32
    chains: int  # distinct segments

    def __len__(self) -> int:
        return len(self.path)


class Cached(NamedTuple):
    """Tokens per request: read from the provider's cache, and written to it where writing has a price of its own."""

    cached_tokens: Int64
    written_tokens: Int64


def block_chains(prompts: Prompts, encoding: str | None = None) -> BlockChains:
    """Chain the prompts' blocks, counting tokens by `encoding`; default: the first that has a count."""
    from replay.kernels import chains as kernel
    from replay.kernels.dense import factorise

    contents = prompts.contents
    n = len(prompts)
    counts = _counts(prompts, encoding)
    block_offsets, hashes = contents.block_offsets, contents.block_hashes
    bare = np.diff(block_offsets) == 0
    if bare.any():  # a content without blocks is one block, known by its number
        block_offsets, hashes = _with_bare_blocks(block_offsets, hashes, bare)
    block, _ = factorise(hashes)
    block_tokens = _block_tokens(counts, block_offsets)
    keys = np.zeros(len(prompts.ids) + 1, np.int64)
    node_of = np.empty(n, np.int32)
    asked = np.ascontiguousarray(prompts.offsets, np.int64), np.ascontiguousarray(prompts.ids, np.int32)
    nodes = kernel.paths(*asked, np.zeros((_TABLE, 2), np.int64), keys, node_of)
    content = keys[:nodes] & 0xFFFFFFFF
    length = np.diff(block_offsets)[content] if len(contents) else np.zeros(nodes, np.int64)
    length[0] = 0
    starts = np.concatenate([[0], np.cumsum(length)]).astype(np.int64)
    total = int(starts[-1])
    last, chain, children = np.zeros(nodes, np.int32), np.empty(total, np.int32), np.zeros(total + 1, np.int32)
    table = np.zeros((_TABLE, 2), np.int64)
    chains = kernel.node_blocks(keys, nodes, block_offsets, starts, last, chain, table, children, block)
    firsts = np.zeros(nodes + 1, np.int64)
    pieces = np.empty(total, np.int32), np.empty(total, np.int32), np.empty(total, np.int32)
    number_of = np.full(chains, -1, np.int32)
    segments = kernel.segments(
        keys, nodes, block_offsets, starts, chain, children, block_tokens, firsts, number_of, *pieces
    )
    wanted, path = _distinct(node_of, nodes)
    known, unknown = np.zeros(nodes, np.int64), np.zeros(nodes, np.int32)
    counted = np.where(counts[content] >= 0, counts[content], 0) if len(contents) else np.zeros(nodes, np.int64)
    missing = np.where(counts[content] < 0, length, 0) if len(contents) else np.zeros(nodes, np.int64)
    depth = np.diff(firsts)
    depth[0] = 0
    kernel.accumulate(keys[:nodes] >> 32, counted.astype(np.int64), missing, depth, known, unknown)
    offsets = np.concatenate([[0], np.cumsum(depth[wanted])]).astype(np.int64)
    laid = int(offsets[-1])
    ids, tokens, ends = np.empty(laid, np.int32), np.empty(laid, np.int32), np.empty(laid, np.int8)
    lead = np.zeros(len(wanted), np.int32)
    head = np.isin(contents.kind, [KINDS.index(kind) for kind in ("tools", "system", "developer")]).astype(np.int8)
    kernel.spread(wanted, keys, firsts, *pieces, head, offsets, ids, tokens, ends, lead)
    has_tools = np.zeros(len(wanted), np.bool_)
    first = prompts.offsets[:-1]
    some = prompts.offsets[1:] > first
    leads = np.zeros(n, np.bool_)
    leads[some] = contents.kind[prompts.ids[first[some]]] == KINDS.index("tools")
    has_tools[path[leads]] = True
    return BlockChains(
        path=path,
        offsets=offsets,
        ids=ids,
        tokens=tokens,
        ends=ends,
        known=known[wanted],
        unknown=unknown[wanted],
        has_tools=has_tools,
        lead=lead,
        chains=segments,
    )


def _distinct(nodes_of: Int32, nodes: int) -> tuple[Int32, Int32]:
    """The nodes that end some prompt, rising, and each prompt's position among them."""
    used = np.zeros(nodes, np.bool_)
    used[nodes_of] = True
    position = np.cumsum(used, dtype=np.int32) - 1
    return np.flatnonzero(used).astype(np.int32), position[nodes_of]


def _counts(prompts: Prompts, encoding: str | None) -> Int64:
    """Tokens per content; without a choice, of the first encoding that has a count for it. -1 where none has."""
    tokens = prompts.contents.tokens
    counts = np.full(len(prompts.contents), -1, np.int64)
    for name in tokens if encoding is None else (encoding,):
        counts = np.where(counts < 0, tokens.get(name, counts), counts)
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


def _block_tokens(counts: Int64, offsets: Int64) -> Int32:
    """128 a block, the last one what remains; a single block has the whole count; -1 where there is no count."""
    length = np.diff(offsets)
    tokens = np.full(int(offsets[-1]), BLOCK_TOKENS, np.int32)
    tokens[offsets[1:] - 1] = np.where(length > 1, np.maximum(counts - BLOCK_TOKENS * (length - 1), 1), counts)
    tokens[np.repeat(counts < 0, length)] = -1
    return tokens


def simulate(
    chains: BlockChains,
    *,
    scope: Int32,
    start_ms: Int64,
    alive: Bool,
    rule: Int32,
    rules: Sequence[PromptCacheRule | None],
    input_tokens: Int64 | None = None,
    ready_ms: Int64 | None = None,
) -> Cached:
    """Cached and written tokens of each request, in time order.

    `scope`: requests that may share a cache (provider, model, account) as dense ids from 0. `alive` False: the request
    never reaches the provider. `rule`: position in `rules`, -1 for none (as a None there). `input_tokens`: the
    provider's own count of each prompt, -1 where unknown: our counts are fitted to it. `ready_ms`: when the prompt has
    been read and can be matched by others; default its start.
    """
    from replay.kernels import prefix

    n = len(chains)
    if ready_ms is None:
        ready_ms = start_ms
    if input_tokens is None:
        input_tokens = np.full(n, -1, np.int64)
    scope = np.ascontiguousarray(scope, np.int32)
    rule = np.ascontiguousarray(rule, np.int32)
    alive = np.ascontiguousarray(alive, np.bool_)
    table = np.array([_row(one) for one in rules], np.int64).reshape(len(rules), 9)
    none = np.array([one is None for one in rules] or [True])
    rule = np.where((rule >= 0) & ~none[rule], rule, -1).astype(np.int32)
    reached = alive & (rule >= 0)
    sizes = np.bincount(scope[reached], minlength=1)
    starts = (np.cumsum(sizes) - sizes).astype(np.int64)
    order = np.empty(int(reached.sum()), np.int32)
    prefix.in_scope_order(scope, alive, rule, starts, order)
    limited = any(one is not None and one.requests_per_minute for one in rules)
    aged = any(one is not None and one.max_age_ms for one in rules)
    cached, written = np.zeros(n, np.int64), np.zeros(n, np.int64)
    state = np.full((chains.chains, 2), -1, np.int64)
    prefix.run(
        order,
        scope,
        np.ascontiguousarray(start_ms, np.int64),
        np.ascontiguousarray(np.maximum(ready_ms, start_ms), np.int64),
        rule,
        chains.path,
        chains.offsets,
        chains.ids,
        chains.tokens,
        chains.ends,
        chains.known,
        chains.unknown,
        chains.has_tools,
        chains.lead,
        np.ascontiguousarray(input_tokens, np.int64),
        table,
        state,
        np.empty(chains.chains if limited else 0, np.int64),
        np.empty((chains.chains if aged else 0, 2), np.int64),
        np.zeros((chains.chains if limited else 0, 3), np.int64),
        cached,
        written,
    )
    return Cached(cached, written)


def _row(rule: PromptCacheRule | None) -> list[int]:
    from replay.kernels.prefix import BREAKPOINTS, IMPLICIT

    if rule is None:
        return [0] * 9
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
    ]
