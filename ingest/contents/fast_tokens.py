"""The `[fast]` extra: fastokens in place of tiktoken, the same token ids at about ten times the speed.

It costs seconds to set up, so it pays only for tens of megabytes of distinct text: `ingest.contents.tokenizer` takes
it for those. Without the extra there is none.
"""

from __future__ import annotations

import functools
import gzip
import tempfile
from collections.abc import Callable, Sequence
from importlib import resources, util
from pathlib import Path
from typing import Any

import numpy as np

from ingest.contents.tokenizer import ENCODINGS, encoding

WORTH_BYTES = 30_000_000  # below this much text tiktoken is done before fastokens is ready (measured, 2 cores)


def available() -> bool:
    """Whether the extra is installed."""
    return util.find_spec("fastokens") is not None


@functools.cache
def encoder(name: str) -> Callable[[str], Sequence[int]] | None:
    """A function from text to token ids, special-token text being text like any other; None without the extra."""
    if not available() or name not in ENCODINGS:
        return None
    import fastokens

    ranks = gzip.decompress(resources.files("bpe_openai").joinpath(f"data/{name}.tiktoken.gz").read_bytes())
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / f"{name}.tiktoken"
        path.write_bytes(ranks)
        tokenizer = fastokens.Tokenizer.from_tiktoken(str(path), pattern=encoding(name)._pat_str, special_tokens={})

    def encode(text: str) -> Sequence[int]:
        found: Sequence[int] = tokenizer.encode_ordinary(text).ids
        return found

    return encode


def array_encoder(name: str) -> Callable[[str], Any] | None:
    """As `encoder`, into an array of uint32 as tiktoken's `encode_to_numpy` makes it."""
    encode = encoder(name)
    if encode is None:
        return None

    def to_array(text: str) -> Any:
        return np.array(encode(text), dtype=np.uint32)

    return to_array
