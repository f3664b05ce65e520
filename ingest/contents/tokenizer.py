"""Counting tokens offline: tiktoken with the rank files that bpe-openai ships, so nothing is ever downloaded.

A message counts as its text (tool calls as their names and arguments) plus 4 tokens of framing, as OpenAI's chat
format adds them (OpenAI cookbook, "How to count tokens", 2024-07). Other vendors' tokenizers are not public: their
models are counted with o200k_base, which serves for ratios, not for bills.
"""

from __future__ import annotations

import base64
import functools
import gzip
import hashlib
import hmac
import importlib.util
import os
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

import msgspec

if TYPE_CHECKING:
    import duckdb
    import tiktoken

    from ingest.store.database import Store

ENCODINGS = ("cl100k_base", "o200k_base")
BLOCK_TOKENS = 128
FRAME_TOKENS = 4
_BATCH = 20_000
_SAMPLE = 500  # contents that a faster tokenizer has to count as tiktoken does before it is used
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


Encode = Callable[[str], Any]  # text -> a numpy array of uint32 token ids


class Progress(Protocol):
    def advance(self, amount: float) -> None: ...

    def total(self, amount: float) -> None: ...


@functools.cache
def encoding(name: str) -> tiktoken.Encoding:
    """The tokenizer `cl100k_base` or `o200k_base`, from the files in the bpe-openai package."""
    import tiktoken

    from ingest.errors import InputError, did_you_mean

    if name not in ENCODINGS:
        raise InputError(f"there is no encoding '{name}'", remedy=did_you_mean(name, ENCODINGS))
    # found without importing the package, whose own tokenizer would be loaded with it
    package = importlib.util.find_spec("bpe_openai")
    folder = Path((package.submodule_search_locations or [""])[0] if package else "")
    packed = (folder / "data" / f"{name}.tiktoken.gz").read_bytes()
    ranks = {}
    for line in gzip.decompress(packed).splitlines():
        token, _, rank = line.partition(b" ")
        if rank:
            ranks[base64.b64decode(token)] = int(rank)
    return tiktoken.Encoding(name, pat_str=_PATTERNS[name], mergeable_ranks=ranks, special_tokens={})


def encoding_for_model(model: str | None) -> str:
    """`cl100k_base` for GPT-4, GPT-3.5 and the embeddings, `o200k_base` for everything since and for other vendors."""
    name = (model or "").lower().rpartition("/")[2]
    older = name.startswith(("gpt-4", "gpt-3.5", "gpt-35", "text-embedding", "davinci", "babbage"))
    newer = name.startswith(("gpt-4o", "gpt-4.1", "gpt-4.5"))
    return "cl100k_base" if older and not newer else "o200k_base"


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


def blocks(tokens: Any, key: bytes | None = None) -> list[int]:
    """Chained 64-bit hashes of the 128-token blocks of a token array, the last one shorter."""
    chain = b""
    found = []
    for start in range(0, len(tokens), BLOCK_TOKENS):
        material = chain + tokens[start : start + BLOCK_TOKENS].tobytes()
        chain = hmac.digest(key, material, "sha256") if key else hashlib.sha256(material).digest()
        found.append(int.from_bytes(chain[:8], "big", signed=True))
    return found


def measure(
    contents: Sequence[tuple[str, str]], encoding_name: str, key: bytes | None = None, encode: Encode | None = None
) -> list[Any]:
    """(tokens, block hashes) of each (content, kind); `encode` in place of tiktoken. Runs on all processors."""
    to_array = encode or _tiktoken(encoding_name)

    def one(item: tuple[str, str]) -> tuple[int, list[int]]:
        found = to_array(plain_text(*item))
        return len(found) + (0 if item[1] == "tools" else FRAME_TOKENS), blocks(found, key)

    with ThreadPoolExecutor(os.cpu_count() or 1) as pool:
        return list(pool.map(one, contents, chunksize=256))


def _tiktoken(name: str) -> Encode:
    return functools.partial(encoding(name).encode_to_numpy, disallowed_special=())


def _encoder(con: duckdb.DuckDBPyConnection, name: str) -> Encode:
    """tiktoken, or the `[fast]` extra where that is installed, pays for its start, and says the same of a sample."""
    from ingest.contents import fast_tokens

    plain = _tiktoken(name)
    if not fast_tokens.available():
        return plain
    size, contents = con.execute(
        f"SELECT coalesce(sum(strlen(text)), 0), count(*) FROM contents c WHERE {_UNCOUNTED}",
        {"name": name},
    ).fetchall()[0]
    quick = fast_tokens.array_encoder(name) if size >= fast_tokens.WORTH_BYTES else None
    if quick is None:
        return plain
    sample = con.execute(
        f"""SELECT text, kind FROM contents c WHERE {_UNCOUNTED} AND content_id % $step = 0
             ORDER BY content_id LIMIT {_SAMPLE}""",
        {"name": name, "step": max(1, contents // _SAMPLE)},
    ).fetchall()
    texts = [plain_text(text, kind) for text, kind in sample]
    return quick if all(quick(text).tolist() == plain(text).tolist() for text in texts) else plain


def ensure_counted(store: Store, encodings: Iterable[str], progress: Progress | None = None) -> int:
    """Count every content that has a text and no row in `content_tokens` yet. Returns how many were counted."""
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
                    encode = _encoder(con, name)
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
