"""Which HTTP clients an SDK's client calls through, and how they are watched."""

from __future__ import annotations

import contextlib
import contextvars
import functools
import inspect
import logging
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from ingest.capture.http_call import HttpCall, is_call
from ingest.capture.log_file import Log

_hide_usage: contextvars.ContextVar[bool] = contextvars.ContextVar("hindcast_hide_usage", default=False)
_STREAMED = (("chat", "completions"), ("beta", "chat", "completions"), ("completions",))
_PROVIDERS = {
    "api.openai.com": "openai", "api.anthropic.com": "anthropic", "generativelanguage.googleapis.com": "gcp.gemini",
}  # fmt: skip


def record(
    client: Any, path: str | Path | Log = "calls.jsonl", *, text: bool = True, include_usage: bool | None = None
) -> Any:
    """Watch the client's calls and return it. `text=False` logs sizes and hashes, no texts.

    `include_usage`: ask for the usage of streamed chat completions whose caller does not, and keep the chunk that
    brings it from the caller. None asks OpenAI's own servers only, as others may refuse it. Raises TypeError for what
    is no client of a known SDK.
    """
    log = path if isinstance(path, Log) else Log(path, text=text)
    found = list(http_clients(client))
    if not found:
        raise TypeError(f"record() knows clients of openai, anthropic and google-genai, not {type(client).__name__}")
    with contextlib.suppress(Exception):
        log.start()
    for http in found:
        if not getattr(http.send, "_hindcast", False):
            http.send = _watched(http.send, log, _provider(client))
    if include_usage is None:
        include_usage = urlsplit(str(getattr(client, "base_url", ""))).hostname == "api.openai.com"
    if include_usage:
        for parts in _STREAMED:
            _ask_for_usage(client, parts)
    client._hindcast_log = log
    return client


def http_clients(client: Any) -> Iterator[Any]:
    """The HTTP clients through which an SDK's client calls; none for what is no client of a known SDK."""
    inner = getattr(client, "_client", None)  # openai, anthropic
    if callable(getattr(inner, "send", None)):
        yield inner
    genai = getattr(client, "_api_client", None)
    for name in ("_httpx_client", "_async_httpx_client"):
        if callable(getattr(getattr(genai, name, None), "send", None)):
            yield getattr(genai, name)
    with contextlib.suppress(Exception):
        if genai is not None and genai._use_aiohttp():
            logging.getLogger("hindcast.capture").warning("async calls of google-genai over aiohttp are not logged")


def _provider(client: Any) -> str | None:
    """The provider where the client's class tells it; else the host does, by `provider_of`."""
    return "azure.ai.openai" if "Azure" in type(client).__name__ else None


PROVIDERS = frozenset({*_PROVIDERS.values(), "gcp.vertex_ai", "azure.ai.openai", "aws.bedrock"})
"""The providers that are known by their hosts; any other is told by its address."""


def hides_usage() -> bool:
    """Whether the caller of the call in progress is to see no usage, because it did not ask for it."""
    return _hide_usage.get()


def provider_of(host: str, netloc: str) -> str:
    """The provider behind a host, or the host itself."""
    if host in _PROVIDERS:
        return _PROVIDERS[host]
    if host.endswith("aiplatform.googleapis.com"):
        return "gcp.vertex_ai"
    if host.endswith((".openai.azure.com", ".cognitiveservices.azure.com", ".services.ai.azure.com")):
        return "azure.ai.openai"
    return "aws.bedrock" if host.startswith("bedrock") and host.endswith(".amazonaws.com") else netloc


def _ask_for_usage(client: Any, parts: tuple[str, ...]) -> None:
    """Let `create` of a resource ask for the usage of a stream."""
    target: Any = client
    with contextlib.suppress(Exception):
        for part in parts:
            target = getattr(target, part)
        create = target.create
        if getattr(create, "_hindcast", False):
            return

        @functools.wraps(create)
        def asking(*args: Any, **kwargs: Any) -> Any:
            given = kwargs.get("stream_options")
            if type(given).__name__ in ("NoneType", "NotGiven", "Omit"):
                given = {}
            if kwargs.get("stream") is not True or not isinstance(given, dict) or "include_usage" in given:
                return create(*args, **kwargs)
            kwargs["stream_options"] = {**given, "include_usage": True}
            if inspect.iscoroutinefunction(inspect.unwrap(create)):
                return _hiding_async(create, args, kwargs)
            token = _hide_usage.set(True)
            try:
                return create(*args, **kwargs)
            finally:
                _hide_usage.reset(token)

        asking._hindcast = True  # type: ignore[attr-defined]
        target.create = asking


async def _hiding_async(create: Callable[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
    token = _hide_usage.set(True)
    try:
        return await create(*args, **kwargs)
    finally:
        _hide_usage.reset(token)


def _watched(send: Callable[..., Any], log: Log, provider: str | None) -> Callable[..., Any]:
    """`send` of an HTTP client, whose calls of a model are logged."""

    def begin(request: Any) -> HttpCall | None:
        if not is_call(request.method, request.url.path):
            return None
        by = provider or provider_of(request.url.host, request.url.netloc.decode("ascii", "replace"))
        return HttpCall(log, by, request, hide_usage=_hide_usage.get())

    if inspect.iscoroutinefunction(send):

        @functools.wraps(send)
        async def send_async(request: Any, *args: Any, **kwargs: Any) -> Any:
            call = _quiet(begin, request)
            try:
                response = await send(request, *args, **kwargs)
            except BaseException as error:
                _quiet(call and call.failed, error)
                raise
            _quiet(call and call.answered, response)
            return response

        send_async._hindcast = True  # type: ignore[attr-defined]
        return send_async

    @functools.wraps(send)
    def send_sync(request: Any, *args: Any, **kwargs: Any) -> Any:
        call = _quiet(begin, request)
        try:
            response = send(request, *args, **kwargs)
        except BaseException as error:
            _quiet(call and call.failed, error)
            raise
        _quiet(call and call.answered, response)
        return response

    send_sync._hindcast = True  # type: ignore[attr-defined]
    return send_sync


def _quiet(function: Any, *arguments: Any) -> Any:
    """Call `function` and swallow whatever goes wrong in it: the caller's program must not notice us."""
    if not function:
        return None
    with contextlib.suppress(Exception):
        return function(*arguments)
    return None
