"""The HTTP requests and responses of an SDK's library, whichever it is: read, changed and made."""

from __future__ import annotations

import hashlib
import sys
from collections.abc import Callable, Mapping
from typing import Any, Final

import msgspec

from ingest.capture.call_context import NAMES, current
from ingest.capture.clients import hides_usage
from ingest.capture.http_call import Shown
from replay.live.answer_tiers import Answer
from replay.live.live_request import LiveRequest
from replay.strategy.schema import Strategy
from replay.traffic.policy_marks import MARK

HEADER: Final = "x-hindcast-"  # begins the headers in which a caller gives the names of the context
# what the strategy in force decides or others judge: a caller that could say it would choose its arm, or its own score
_NOT_A_CALLERS: Final = frozenset(
    {"score", "scores", "score_scope", "propensity", "assignment", "rollout", "arm", "attempt", "retry_of"}
)


def with_body(request: Any, body: dict[str, Any], path: str | None = None, timeout_s: float | None = None) -> Any:
    """The HTTP request with another body, all else as it was."""
    headers = [(name, value) for name, value in request.headers.raw if name.lower() != b"content-length"]
    extensions = dict(request.extensions)
    if timeout_s is not None:
        extensions["timeout"] = dict.fromkeys(("connect", "read", "write", "pool"), timeout_s)
    url = request.url if path is None else request.url.copy_with(path=path)
    return type(request)(request.method, url, headers=headers, content=msgspec.json.encode(body), extensions=extensions)


def names_of(request: Any) -> dict[str, Any]:
    """The context, with the attempt that the SDK makes."""
    names = dict(current())
    retries = request.headers.get("x-stainless-retry-count")
    if retries and retries.isdecimal() and int(retries):
        names["attempt"] = int(retries) + 1
    return names


def names_in_headers(headers: Mapping[str, Any]) -> dict[str, Any]:
    """The names of the context that a caller gives in headers; `tags` are separated by commas."""
    found: dict[str, Any] = {}
    for header, value in headers.items():
        name = str(header).lower()
        if name.startswith(HEADER):
            name = name.removeprefix(HEADER).replace("-", "_")
            found[name] = [tag.strip() for tag in str(value).split(",")] if name == "tags" else value
    return from_a_caller(found)


def from_a_caller(names: Mapping[str, Any]) -> dict[str, Any]:
    """What a caller may say of its call: who it is and what it is for, not what was decided about it."""
    found = {name: value for name, value in names.items() if name in NAMES and name not in _NOT_A_CALLERS}
    if isinstance(tags := found.get("tags"), list):
        found["tags"] = [tag for tag in tags if not str(tag).strip().lower().startswith(MARK)]
    return found


def keyed(sent: LiveRequest, strategy: Strategy, request: Any, host: str) -> Callable[[str], bytes]:
    """The cache's key by the model: the request under the file's policy, how it is sent, and whose key pays for it."""
    headers = request.headers
    credential = headers.get("authorization") or headers.get("x-api-key") or headers.get("api-key") or ""

    def key(model: str) -> bytes:
        assert strategy.cache is not None
        parts = (
            sent.key(strategy.cache.key) or b"", model.encode(), b"stream" if sent.body.get("stream") is True else b"",
            request.url.path.encode(), host.encode(), hashlib.sha256(credential.encode()).digest(),
        )  # fmt: skip
        return hashlib.sha256(b"\0".join(hashlib.sha256(part).digest() for part in parts)).digest()

    return key


def response_of(answer: Answer, request: Any) -> Any:
    """The HTTP response of a cached answer, of the library that sends the requests."""
    library = sys.modules[type(request).__module__.partition(".")[0]]
    body = answer.body
    if hides_usage():
        shown = Shown(True)
        body = shown.add(body) + shown.rest()
    headers = {"content-type": answer.content_type, "x-hindcast-cache": "hit"}
    return library.Response(200, headers=headers, content=body, request=request)
