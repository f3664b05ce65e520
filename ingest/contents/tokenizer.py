"""Counting tokens offline: tiktoken with the rank files that bpe-openai ships, so nothing is ever downloaded.

A message counts as its text (tool calls as their names and arguments) plus 4 tokens of framing, as OpenAI's chat
format adds them (OpenAI cookbook, "How to count tokens", 2024-07). Other vendors' tokenizers are not public: their
models are counted with o200k_base, which serves for ratios, not for bills.

The `[fast]` extra counts with fastokens: the same token ids at about ten times the speed, after seconds of set-up.
"""

from __future__ import annotations

import base64
import functools
import gzip
import hashlib
import hmac
import importlib.util
import tempfile
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec
import numpy as np

from ingest import threads

if TYPE_CHECKING:
    import duckdb
    import numpy.typing as npt
    import tiktoken

    from ingest.progress import Progress
    from ingest.store.database import Store

ENCODINGS = ("cl100k_base", "o200k_base")
BLOCK_TOKENS = 128
FRAME_TOKENS = 4
_BATCH = 20_000
FASTOKENS_BYTES = 30_000_000  # with less text tiktoken is done before fastokens is ready (measured, 2 cores)
_SAMPLE = 500  # contents that fastokens has to count as tiktoken does before it is used
_UNCOUNTED = """text IS NOT NULL AND NOT EXISTS (SELECT 1 FROM content_tokens t
                                                  WHERE t.content_id = c.content_id AND t.encoding = $name)"""
_CL100K_PATTERN = (
    r"""'(?i:[sdmt]|ll|ve|re)|[^\r\n\p{L}\p{N}]?+\p{L}++|\p{N}{1,3}+| ?[^\s\p{L}\p{N}]++[\r\n]*+|\s++$|\s*[\r\n]|"""
    r"""\s+(?!\S)|\s"""
)
_O200K_PATTERN = "|".join(
    [
        r"""[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]*[\p{Ll}\p{Lm}\p{Lo}\p{M}]+(?i:'s|'t|'re|'ve|'m|'ll|'d)?""",
        r"""[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]+[\p{Ll}\p{Lm}\p{Lo}\p{M}]*(?i:'s|'t|'re|'ve|'m|'ll|'d)?""",
        r"""\p{N}{1,3}""",
        r""" ?[^\s\p{L}\p{N}]+[\r\n/]*""",
        r"""\s*[\r\n]+""",
        r"""\s+(?!\S)""",
        r"""\s+""",
    ]
)
_PATTERNS = {"cl100k_base": _CL100K_PATTERN, "o200k_base": _O200K_PATTERN}


Encode = Callable[[str], "npt.NDArray[np.uint32]"]  # text -> token ids


@functools.cache
def encoding(name: str) -> tiktoken.Encoding:
    """The tokenizer `cl100k_base` or `o200k_base`, from the files in the bpe-openai package."""
    import tiktoken

    from ingest.errors import InputError, did_you_mean

    if name not in ENCODINGS:
        raise InputError(f"there is no encoding '{name}'", remedy=did_you_mean(name, ENCODINGS))
    ranks = {}
    for line in _rank_file(name).splitlines():
        token, _, rank = line.partition(b" ")
        if rank:
            ranks[base64.b64decode(token)] = int(rank)
    return tiktoken.Encoding(name, pat_str=_PATTERNS[name], mergeable_ranks=ranks, special_tokens={})


def _rank_file(name: str) -> bytes:
    """The lines `base64 rank` of an encoding."""
    # found without importing the package, whose own tokenizer would be loaded with it
    package = importlib.util.find_spec("bpe_openai")
    folder = Path((package.submodule_search_locations or [""])[0] if package else "")
    return gzip.decompress((folder / "data" / f"{name}.tiktoken.gz").read_bytes())


def count(text: str, encoding_name: str) -> int:
    """Tokens of a plain text. Special tokens in it are text like any other."""
    return len(encoding(encoding_name).encode_ordinary(text))


def plain_text(content: str, kind: str) -> str:
    """What of a content (canonical JSON, as in `contents.text`) reaches the tokenizer."""
    if kind == "tools":
        return content
    value = msgspec.json.decode(content)
    parts: list[str] = []
    _collect(value, parts)
    return "\n".join(parts)


def _collect(value: Any, parts: list[str]) -> None:
    """Texts, tool calls and tool results of a message, in their order; images and ids count nothing here."""
    if isinstance(value, str):
        parts.append(value)
    elif isinstance(value, list):
        for item in value:
            _collect(item, parts)
    elif isinstance(value, dict):
        for key in ("content", "parts", "choices", "message", "text", "thinking", "refusal", "tool_calls", "function",
                    "function_call", "input", "arguments", "output", "result", "response"):  # fmt: skip
            if key not in value or value[key] is None:
                continue
            if key in ("input", "arguments", "response", "result") and not isinstance(value[key], str):
                parts.append(msgspec.json.encode(value[key]).decode())
            else:
                _collect(value[key], parts)
        if "name" in value and ("arguments" in value or "input" in value) and isinstance(value["name"], str):
            parts.append(value["name"])


def count_content(content: str, kind: str, encoding_name: str) -> int:
    """Tokens of one content: its text, and for a message the 4 tokens that frame it."""
    return count(plain_text(content, kind), encoding_name) + (0 if kind == "tools" else FRAME_TOKENS)


def blocks(tokens: npt.NDArray[np.uint32], key: bytes | None = None) -> list[int]:
    """Chained 64-bit hashes of the 128-token blocks of a token array, the last one shorter."""
    chain = b""
    hashes = []
    for start in range(0, len(tokens), BLOCK_TOKENS):
        material = chain + tokens[start : start + BLOCK_TOKENS].tobytes()
        chain = hmac.digest(key, material, "sha256") if key else hashlib.sha256(material).digest()
        hashes.append(int.from_bytes(chain[:8], "big", signed=True))
    return hashes


def measure(
    contents: Sequence[tuple[str, str]], encoding_name: str, key: bytes | None = None, encode: Encode | None = None
) -> list[tuple[int, list[int]]]:
    """(tokens, block hashes) of each (content, kind); `encode` in place of tiktoken. Runs on all processors."""
    to_array = encode or _tiktoken(encoding_name)

    def measure_one(content: tuple[str, str]) -> tuple[int, list[int]]:
        tokens = to_array(plain_text(*content))
        return len(tokens) + (0 if content[1] == "tools" else FRAME_TOKENS), blocks(tokens, key)

    with ThreadPoolExecutor(threads.at_most()) as pool:
        return list(pool.map(measure_one, contents, chunksize=256))


def _tiktoken(name: str) -> Encode:
    return functools.partial(encoding(name).encode_to_numpy, disallowed_special=())


def has_fastokens() -> bool:
    """Whether the `[fast]` extra is installed."""
    return importlib.util.find_spec("fastokens") is not None


@functools.cache
def fastokens_encoder(name: str) -> Callable[[str], Sequence[int]] | None:
    """A function from a text to its token ids by fastokens; None without the `[fast]` extra.

    Special tokens in a text are text like any other. Raises InputError if there is no encoding of this name.
    """
    tiktoken_encoding = encoding(name)
    if not has_fastokens():
        return None
    import fastokens

    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / f"{name}.tiktoken"
        path.write_bytes(_rank_file(name))
        tokenizer = fastokens.Tokenizer.from_tiktoken(str(path), pattern=tiktoken_encoding._pat_str, special_tokens={})

    def encode(text: str) -> Sequence[int]:
        ids: Sequence[int] = tokenizer.encode_ordinary(text).ids
        return ids

    return encode


def _fastest(con: duckdb.DuckDBPyConnection, name: str, fastokens_bytes: int) -> Encode:
    """tiktoken, or fastokens where it is installed, pays for its start, and agrees with tiktoken on a sample."""
    plain = _tiktoken(name)
    if not has_fastokens():
        return plain
    size, contents = con.execute(
        f"SELECT coalesce(sum(strlen(text)), 0), count(*) FROM contents c WHERE {_UNCOUNTED}",
        {"name": name},
    ).fetchall()[0]
    encode = fastokens_encoder(name) if size >= fastokens_bytes else None
    if encode is None:
        return plain

    def fast(text: str) -> npt.NDArray[np.uint32]:
        return np.array(encode(text), dtype=np.uint32)

    sample = con.execute(
        f"""SELECT text, kind FROM contents c WHERE {_UNCOUNTED} AND content_id % $step = 0
             ORDER BY content_id LIMIT {_SAMPLE}""",
        {"name": name, "step": max(1, contents // _SAMPLE)},
    ).fetchall()
    texts = [plain_text(text, kind) for text, kind in sample]
    return fast if all(fast(text).tolist() == plain(text).tolist() for text in texts) else plain


def ensure_counted(
    store: Store,
    encodings: Iterable[str],
    progress: Progress | None = None,
    *,
    fastokens_bytes: int = FASTOKENS_BYTES,
) -> int:
    """Count every content that has a text and no row in `content_tokens` yet. Returns how many were counted.

    From `fastokens_bytes` of such text on, fastokens counts where it is installed. Raises InputError for an encoding
    that does not exist.
    """
    import pyarrow as pa

    counted = 0
    for name in encodings:
        encoding(name)
        encode: Encode | None = None
        last = -1
        while True:
            with store.read() as con:
                rows = con.execute(
                    f"""SELECT content_id, text, kind FROM contents c
                         WHERE content_id > $last AND {_UNCOUNTED} ORDER BY content_id LIMIT $limit""",
                    {"last": last, "name": name, "limit": _BATCH},
                ).fetchall()
                if rows and encode is None:
                    encode = _fastest(con, name, fastokens_bytes)
            if not rows:
                break
            last = rows[-1][0]
            measured = measure([(text, kind) for _, text, kind in rows], name, encode=encode)
            table = pa.table(
                {
                    "content_id": pa.array([row[0] for row in rows], pa.int32()),
                    "tokens": pa.array([tokens for tokens, _ in measured], pa.int32()),
                    "blocks": pa.array([hashes for _, hashes in measured], pa.list_(pa.int64())),
                }
            )
            with store.write() as con:
                con.register("measured", table)
                con.execute(
                    """INSERT INTO content_tokens (content_id, encoding, tokens, blocks)
                       SELECT content_id, $name, tokens, blocks FROM measured m
                        WHERE NOT EXISTS (SELECT 1 FROM content_tokens t
                                           WHERE t.content_id = m.content_id AND t.encoding = $name)
                        ORDER BY content_id""",
                    {"name": name},
                )
            counted += len(rows)
            if progress:
                progress.advance(len(rows))
    return counted
