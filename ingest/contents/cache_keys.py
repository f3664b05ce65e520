"""What makes two requests the same, by the policy of the cache that is asked (everything but the model).

- canonical: messages and tools with sorted keys in NFC, parameters without transport fields and with defaults filled
  in; `masked` is the same with numbers, dates and ids masked.
- litellm: messages and parameters as logged, in their order, without metadata (litellm/caching/caching.py, 2026-10).
- helicone: the whole body as logged (Helicone caching documentation, 2026-10).
- portkey: the whole body and the request's metadata (Portkey cache documentation, 2026-10).
"""

from __future__ import annotations

import hashlib
import hmac
from typing import Any

import msgspec

from ingest.contents.messages import Content
from ingest.records.call import Call

POLICIES = ("canonical", "masked", "litellm", "helicone", "portkey")
_sha256 = hashlib.sha256
_encode = msgspec.json.Encoder().encode
_encode_sorted = msgspec.json.Encoder(order="sorted").encode

_TRANSPORT = frozenset(
    {
        "stream", "stream_options", "user", "metadata", "store", "service_tier", "safety_identifier", "background",
        "prompt_cache_key", "prompt_cache_retention", "timeout", "extra_headers", "extra_body", "api_key",
        "num_retries", "max_retries", "cache_control", "include", "litellm_params", "proxy_server_request",
    }
)  # fmt: skip
_DEFAULTS: dict[str, Any] = {
    "temperature": 1, "top_p": 1, "n": 1, "presence_penalty": 0, "frequency_penalty": 0, "logprobs": False,
    "tool_choice": "auto", "parallel_tool_calls": True, "response_format": {"type": "text"}, "truncation": "disabled",
}  # fmt: skip
_MEMO_LIMIT = 10_000


class RequestKeys:
    """Numbers the distinct keys of one segment; `hashes` holds them, 16 bytes each, in order."""

    def __init__(self, *, hash_key: bytes | None = None) -> None:
        self._hash_key = hash_key
        self._numbers: dict[bytes, int] = {}
        self._params: dict[bytes, tuple[bytes, bytes, bytes]] = {}
        self.hashes: list[bytes] = []

    def numbers(
        self,
        exact: bytes,
        masked: bytes,
        raw: bytes,
        tools: Content | None,
        params: tuple[bytes, bytes, bytes],
        tenant: bytes,
    ) -> tuple[int, int, int, int, int]:
        """The key number under each policy, in the order of POLICIES.

        `exact`, `masked` and `raw` are these digests of the messages, one after the other; `params` comes from
        `parameters`, and `tenant` is the request's metadata.
        """
        canonical, litellm, body = params
        if tools is not None:
            exact += b"t" + tools.key
            masked += b"t" + tools.key
            raw += b"t" + tools.raw
        # a number is a number of the material alone: policies that look at the same material share it
        number = self._number
        exact_key = number(exact + canonical)
        as_logged = number(raw + litellm)
        whole = as_logged if body == litellm else number(raw + body)
        return (
            exact_key,
            exact_key if masked == exact else number(masked + canonical),
            as_logged,
            whole,
            whole if not tenant else number(raw + body + b"|" + tenant),
        )

    def _number(self, material: bytes) -> int:
        key = self._hash_key
        digest = (_sha256(material).digest() if key is None else hmac.digest(key, material, "sha256"))[:16]
        found = self._numbers.get(digest)
        if found is None:
            found = len(self.hashes)
            self._numbers[digest] = found
            self.hashes.append(digest)
        return found

    def parameters(self, params: dict[str, Any] | None) -> tuple[bytes, bytes, bytes]:
        """(canonical, litellm, whole body) forms of the parameters."""
        if not params:
            return (b"", b"", b"")
        body = _encode(params)
        found = self._params.get(body)
        if found is None:
            canonical = {
                name: value
                for name, value in params.items()
                if value is not None and name not in _TRANSPORT and _DEFAULTS.get(name, _DEFAULTS) != value
            }
            litellm = {name: value for name, value in params.items() if name != "metadata" and value is not None}
            found = (_encode_sorted(canonical) if canonical else b"", _encode(litellm), body)
            if len(self._params) >= _MEMO_LIMIT:
                self._params.clear()
            self._params[body] = found
        return found


def tenant(call: Call) -> bytes:
    """The user and the tags of a request, for the policies that keep tenants apart; empty without either."""
    return f"{call.user_id}\0{call.tags}".encode() if call.user_id or call.tags else b""
