"""Requests as lists of distinct texts: what compression rewrites, cache keys hash and prefix caches compare."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

Int32 = NDArray[np.int32]
Int64 = NDArray[np.int64]


@dataclass(frozen=True)
class Encodings:
    """Which encoding counts most of the contents of a log, and which one most of them have hashed blocks of."""

    counted: str
    hashed: str | None


@dataclass(frozen=True)
class Contents:
    """The distinct texts of some traffic; position i of every array is content number i.

    `texts` is a sparse mapping: content number -> canonical JSON text, only where the store holds the text.
    `tokens[encoding]` counts the text's tokens, -1 where unknown. `block_offsets`/`block_hashes` (CSR) split each
    content into chained hashes of 128-token blocks, the last one shorter; a content without text is one block.
    """

    content_id: Int32  # id in the store; -1 for a text that a compressor made
    kind: NDArray[np.int8]  # KINDS index
    words: Int32
    tokens: Mapping[str, Int32]
    block_offsets: Int64
    block_hashes: Int64
    texts: Mapping[int, str] = field(repr=False)
    encodings: Encodings | None = None  # of the whole log, where these are the contents of a part of it

    def __len__(self) -> int:
        return len(self.content_id)


KINDS = ("tools", "system", "user", "assistant", "tool", "developer", "other")


@dataclass(frozen=True)
class Tree:
    """Requests as paths in a tree of contents: request i ends at node `path[i]`, node 0 being the empty request.

    `keys[node]` is (parent << 32 | content number); nodes come after their parents.
    """

    path: Int32  # n
    keys: Int64

    @classmethod
    def of(cls, offsets: Int64, ids: Int32) -> Tree:
        """The tree of requests in CSR form."""
        from replay.kernels.prompt_cache.prompt_tree import paths

        keys, path = np.zeros(len(ids) + 1, np.int64), np.empty(len(offsets) - 1, np.int32)
        nodes = paths(np.ascontiguousarray(offsets, np.int64), np.ascontiguousarray(ids, np.int32), keys, path)
        return cls(path, keys[:nodes].copy())


@dataclass(frozen=True)
class Prompts:
    """n requests in CSR form: request i is `contents` numbers `ids[offsets[i]:offsets[i + 1]]`, tools first."""

    offsets: Int64  # n + 1
    ids: Int32
    contents: Contents
    grown: Tree | None = field(default=None, repr=False)

    @cached_property
    def tree(self) -> Tree:
        """The requests as paths: the tree that was given, or one made when first asked for."""
        return self.grown or Tree.of(self.offsets, self.ids)

    def __len__(self) -> int:
        return len(self.offsets) - 1
