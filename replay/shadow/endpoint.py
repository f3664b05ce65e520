"""One paid call to an endpoint that may be slow, wrong or hostile: bounded in time and size, and believed in nothing.

Text of the server is never shown: it may repeat the key that was sent.
"""

from __future__ import annotations

import json
import math
import queue
import random
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from http import HTTPStatus
from typing import Any, Protocol

from ingest.errors import InputError

ATTEMPTS = 5
DEADLINE_S = 180.0  # of one attempt, from sending to the last byte
READ_S = 60.0  # without any byte
MOST_BYTES = 8 << 20  # of an answer with all that is around it
CHARACTERS = 200  # of one token at most, and by far
MOST_TOKENS = 10**9  # that a usage can name
REFUSED = (409, 425, 429, 503, 529)  # before any work: asked again, at no cost
PERHAPS_PAID = (408, 500, 502, 504)  # the work may have been done, and a proxy lost it


class Client(Protocol):
    """The part of `openai.OpenAI` that is used."""

    chat: Any


class UnusableAnswerError(Exception):
    """The endpoint answered with nothing that can be used. It may have been paid for."""


@dataclass(frozen=True)
class Answer:
    """A checked answer; token counts are None where the endpoint does not tell them in a usable way."""

    text: str
    input_tokens: int | None
    output_tokens: int | None


def client(base_url: str | None, key: str | None) -> Any:
    """An OpenAI client that reads no answer beyond MOST_BYTES, follows no redirect and repeats nothing by itself."""
    import openai

    http = openai.DefaultHttpxClient(
        follow_redirects=False,  # the prompts would go elsewhere
        event_hooks={"response": [_bound]},
        headers={"accept-encoding": "identity"},
    )
    return openai.OpenAI(base_url=base_url, api_key=key or "none", max_retries=0, timeout=READ_S, http_client=http)


def _bound(response: Any) -> None:
    """Let the body be read up to MOST_BYTES, packed ones not at all: they may grow without bound."""
    if response.headers.get("content-encoding", "identity").lower() != "identity":
        raise UnusableAnswerError("a packed answer")
    kind = next(base for base in type(response.stream).__mro__ if base.__name__ == "SyncByteStream")
    bounded = type("BoundedStream", (_Bounded, kind), {})  # of the transport's own kind, which differs by version
    response.stream = bounded(response.stream)


class _Bounded:
    def __init__(self, stream: Any) -> None:
        self._stream = stream

    def __iter__(self) -> Iterator[bytes]:
        left, until = MOST_BYTES, time.monotonic() + DEADLINE_S
        for chunk in self._stream:
            left -= len(chunk)
            if left < 0 or time.monotonic() > until:
                raise UnusableAnswerError("an answer without end")
            yield chunk

    def close(self) -> None:
        self._stream.close()


@dataclass
class Endpoint:
    """An endpoint as asked in one run. `pause` sleeps between attempts."""

    client: Client
    pause: Callable[[float], None] = time.sleep
    deadline_s: float = DEADLINE_S
    rng: random.Random = field(default_factory=lambda: random.Random(0))

    def send(self, model: str, messages: Sequence[dict[str, Any]], most: int) -> Answer | None:
        """The answer, after polite retries; None where the endpoint refuses this request for good, before any work.

        Raises TimeoutError where an answer may have been made and lost, UnusableAnswerError where one came that is
        none, InputError where no request can succeed.
        """
        import openai

        wait: float | None = None
        unreachable = False
        for attempt in range(ATTEMPTS):
            if attempt:
                self.pause(wait if wait is not None else min(2.0 ** (attempt - 1), 30.0) * self.rng.uniform(0.5, 1.0))
            wait = None
            try:
                body = self._body(model, messages, most)
            except openai.APIStatusError as error:
                status = error.status_code
                if status in (401, 403, 404) or 300 <= status < 400:
                    raise InputError(
                        f"the endpoint refuses: {status} {_phrase(status)}",
                        remedy="Check --base-url, the model's name and the API key.",
                    ) from None
                if status in PERHAPS_PAID:
                    raise TimeoutError(f"answered {status}") from None
                if status not in REFUSED:
                    return None
                wait, unreachable = _retry_after(error), False
            except openai.APIConnectionError as error:
                if isinstance(error.__cause__, UnusableAnswerError):
                    raise error.__cause__ from None
                # by name: the SDK's transport differs between its versions (httpx, httpx2)
                if type(error.__cause__).__name__ not in ("ConnectError", "ConnectTimeout"):
                    raise TimeoutError("sent, and never answered") from None
                unreachable = True
            except openai.OpenAIError:
                raise UnusableAnswerError("an answer that the client cannot read") from None
            else:
                return read_answer(body, most)
        if unreachable:
            raise InputError("the endpoint cannot be reached", remedy="Check --base-url.")
        return None

    def _body(self, model: str, messages: Sequence[dict[str, Any]], most: int) -> bytes:
        """The bytes of a successful answer. The thread of a call that outlasts its deadline is left to itself."""
        answers: queue.SimpleQueue[bytes | BaseException] = queue.SimpleQueue()

        def work() -> None:
            try:
                found = self.client.chat.completions.with_raw_response.create(
                    model=model, messages=list(messages), max_tokens=most, temperature=0
                )
                answers.put(bytes(found.content))
            except BaseException as error:
                answers.put(error)

        threading.Thread(target=work, daemon=True).start()
        try:
            found = answers.get(timeout=self.deadline_s)
        except queue.Empty:
            raise TimeoutError("no whole answer in time") from None
        if isinstance(found, BaseException):
            raise found
        return found


def read_answer(body: bytes, most: int) -> Answer:
    """The text and the usage of a chat completion. Raises UnusableAnswerError for anything else."""
    try:
        document = json.loads(body)
        choice = document["choices"][0]
        text = choice["message"].get("content")
    except (ValueError, KeyError, IndexError, TypeError, AttributeError, RecursionError):
        raise UnusableAnswerError("no chat completion") from None
    if isinstance(text, list):  # parts, as some servers write them
        text = "".join(part["text"] for part in text if isinstance(part, dict) and isinstance(part.get("text"), str))
    if text is None:
        text = ""
    if not isinstance(text, str) or len(text) > CHARACTERS * (most + 10):
        raise UnusableAnswerError("longer than was asked for")
    usage = document.get("usage")
    counts = [usage.get(name) if isinstance(usage, dict) else None for name in ("prompt_tokens", "completion_tokens")]
    known = all(type(count) is int and 0 <= count <= MOST_TOKENS for count in counts)
    read, wrote = counts if known else (None, None)
    return Answer(text.encode("utf-8", "replace").decode(), read, wrote)


def _retry_after(error: Any) -> float | None:
    """Seconds that the endpoint asks to wait, at most a minute."""
    try:
        seconds = float(error.response.headers.get("retry-after"))
    except (TypeError, ValueError, AttributeError):
        return None
    return min(max(seconds, 0.0), 60.0) if math.isfinite(seconds) else None


def _phrase(status: int) -> str:
    try:
        return HTTPStatus(status).phrase
    except ValueError:
        return ""
