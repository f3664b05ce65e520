"""What carrying out a strategy waits for, as steps that a plain program and one of asyncio take alike.

A generator of steps decides; `run` and `run_async` do what each step asks for and hand the result back.
"""

from __future__ import annotations

import asyncio
import concurrent.futures
import time
from collections.abc import Awaitable, Callable, Generator
from typing import Any, NamedTuple

from ingest.capture.call_context import entered


class Send(NamedTuple):
    """Send a request with these names for its log line; `whole`: read its answer to the end. Gives the response."""

    request: Any
    fields: dict[str, Any]
    whole: bool = False


class Read(NamedTuple):
    """Read the answer of a response to its end and close it."""

    response: Any


class Ask(NamedTuple):
    """Call a function that may wait for the network. Gives its result."""

    question: Callable[[], Any]


class Wait(NamedTuple):
    """Wait for a result of another call at most so long. Gives it, or None."""

    result: concurrent.futures.Future[Any]
    seconds: float


class Pause(NamedTuple):
    seconds: float


Step = Send | Read | Ask | Wait | Pause
Steps = Generator[Step, Any, Any]


def run(steps: Steps, send: Callable[..., Any], args: Any, kwargs: Any) -> Any:
    """Take the steps in this thread; `send` of the HTTP client sends with the caller's own arguments."""
    take, value = steps.send, None
    while True:
        try:
            step = take(value)
        except StopIteration as end:
            return end.value
        try:
            take, value = steps.send, _taken(step, send, args, kwargs)
        except BaseException as error:
            take, value = steps.throw, error


def _taken(step: Step, send: Callable[..., Any], args: Any, kwargs: Any) -> Any:
    if isinstance(step, Send):
        with entered(step.fields):
            response = send(step.request, *args, **kwargs)
            if step.whole:
                response.read()
            return response
    if isinstance(step, Read):
        step.response.read()
        return None
    if isinstance(step, Ask):
        return step.question()
    if isinstance(step, Pause):
        return time.sleep(step.seconds)
    try:
        return step.result.result(step.seconds)
    except concurrent.futures.TimeoutError:
        return None


async def run_async(steps: Steps, send: Callable[..., Awaitable[Any]], args: Any, kwargs: Any) -> Any:
    """Take the steps in a task; what may wait for the network goes to a thread."""
    take, value = steps.send, None
    while True:
        try:
            step = take(value)
        except StopIteration as end:
            return end.value
        try:
            take, value = steps.send, await _taken_async(step, send, args, kwargs)
        except BaseException as error:
            take, value = steps.throw, error


async def _taken_async(step: Step, send: Callable[..., Awaitable[Any]], args: Any, kwargs: Any) -> Any:
    if isinstance(step, Send):
        with entered(step.fields):
            response = await send(step.request, *args, **kwargs)
            if step.whole:
                await response.aread()
            return response
    if isinstance(step, Read):
        await step.response.aread()
        return None
    if isinstance(step, Ask):
        return await asyncio.to_thread(step.question)
    if isinstance(step, Pause):
        return await asyncio.sleep(step.seconds)
    done, _ = await asyncio.wait([asyncio.wrap_future(step.result)], timeout=step.seconds)
    return done.pop().result() if done else None
