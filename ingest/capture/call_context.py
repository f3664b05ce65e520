"""What the calls of a program are for: names that the program gives, in force until their block ends."""

from __future__ import annotations

import contextlib
import contextvars
import functools
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from ingest.errors import did_you_mean

NAMES = (
    "agent", "task", "conversation_id", "request_id", "user_id", "team", "environment", "service_name", "workflow_name",
    "prompt_name", "prompt_version", "trace_id", "span_id", "parent_span_id", "retry_of", "attempt", "region", "tags",
    "score", "scores", "score_scope", "propensity", "assignment", "rollout", "arm",
)  # fmt: skip
_context: contextvars.ContextVar[dict[str, Any] | None] = contextvars.ContextVar("hindcast_context", default=None)
_once = threading.Lock()


def context(**fields: Any) -> contextlib.AbstractContextManager[None]:
    """Name what the calls inside are for: `agent`, `task`, `conversation_id`, `request_id`, `user_id`, `tags`, ...

    Contexts nest; tags add up. Tasks, threads and thread pools take over the context in which they are given their
    work. Raises TypeError for a name that a log has no place for, with the nearest that it has.
    """
    for name in fields:
        if name not in NAMES:
            raise TypeError(f"context() has no '{name}'. {did_you_mean(name, NAMES)}")
    carry_to_threads()
    return entered(fields)


def current() -> dict[str, Any]:
    """The names in force here."""
    return _context.get() or {}


@contextlib.contextmanager
def entered(fields: dict[str, Any]) -> Iterator[None]:
    """As `context`, for the program's own names, which are not checked."""
    outer = current()
    merged = {**outer, **fields}
    if outer.get("tags") and fields.get("tags"):
        merged["tags"] = [*outer["tags"], *fields["tags"]]
    token = _context.set(merged)
    try:
        yield
    finally:
        _context.reset(token)


def carry_to_threads() -> None:
    """Let a thread, and what a thread pool is given, run in the context of who started it.

    Wraps `Thread.start` and `ThreadPoolExecutor.submit` for this process, once; outside any `context` both do what
    they did.
    """
    with _once:
        if getattr(threading.Thread.start, "_hindcast", False):
            return
        start: Callable[..., Any] = threading.Thread.start
        submit: Callable[..., Any] = ThreadPoolExecutor.submit

        @functools.wraps(start)
        def started(self: threading.Thread) -> None:
            inside = _context.get()
            if inside is not None:
                self.run = functools.partial(_within, inside, self.run)  # type: ignore[method-assign]
            start(self)

        @functools.wraps(submit)
        def submitted(self: ThreadPoolExecutor, fn: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Any:
            inside = _context.get()
            # an empty context is carried too: a pool's thread may have been started inside another
            return submit(self, _within, inside, fn, *args, **kwargs)

        started._hindcast = True  # type: ignore[attr-defined]
        threading.Thread.start = started  # type: ignore[method-assign]
        ThreadPoolExecutor.submit = submitted  # type: ignore[method-assign, assignment]


def _within(inside: dict[str, Any] | None, function: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Any:
    token = _context.set(inside)
    try:
        return function(*args, **kwargs)
    finally:
        _context.reset(token)
