"""Servers that speak the protocols of providers, for tests of what their real SDKs send and get."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

MESSAGES: list[Any] = [{"role": "user", "content": "Say hello"}]
USAGE = {
    "prompt_tokens": 21,
    "completion_tokens": 5,
    "total_tokens": 26,
    "prompt_tokens_details": {"cached_tokens": 16},
}
CHUNK = {"id": "chatcmpl-7", "object": "chat.completion.chunk", "created": 1770000000, "model": "gpt-4o-2024-08-06"}


class Provider(BaseHTTPRequestHandler):
    """A server that is silent about its requests and sends whole answers."""

    def log_message(self, *args: Any) -> None:
        pass

    def send(self, status: int, text: str, kind: str = "application/json", length: int | None = None) -> None:
        """Send an answer; `length` promises another one than the text has."""
        data = text.encode()
        self.send_response(status)
        self.send_header("content-type", kind)
        self.send_header("content-length", str(length or len(data)))
        self.end_headers()
        self.wfile.write(data)


class OpenAi(Provider):
    """Answers as OpenAI does: chat, streams, Responses, embeddings, and an error for the model `broken`."""

    def do_POST(self) -> None:
        body = json.loads(self.rfile.read(int(self.headers["content-length"])))
        if body["model"] == "broken":
            self.send(429, json.dumps({"error": {"message": "slow down", "code": "rate_limit_exceeded"}}))
        elif self.path.endswith("/embeddings"):
            self.send(200, json.dumps({"object": "list", "model": body["model"],
                                        "data": [{"object": "embedding", "index": 0, "embedding": [0.1]}],
                                        "usage": {"prompt_tokens": 4, "total_tokens": 4}}))  # fmt: skip
        elif self.path.endswith("/responses"):
            self.send(200, json.dumps({
                "id": "resp_1", "object": "response", "created_at": 1770000000, "model": body["model"],
                "status": "completed", "parallel_tool_calls": True, "tool_choice": "auto", "tools": [],
                "output": [{"type": "message", "id": "m", "role": "assistant", "status": "completed",
                            "content": [{"type": "output_text", "text": "hello", "annotations": []}]}],
                "usage": {"input_tokens": 9, "input_tokens_details": {"cached_tokens": 0}, "output_tokens": 3,
                          "output_tokens_details": {"reasoning_tokens": 0}, "total_tokens": 12}}))  # fmt: skip
        elif body.get("stream"):
            if body["model"] == "slow":
                self.send(
                    200,
                    f"data: {json.dumps({**CHUNK, 'choices': [{'index': 0, 'delta': {'content': 'h'}}]})}\n\n",
                    "text/event-stream",
                    length=10_000,
                )  # the rest never comes
                return
            usage = [{**CHUNK, "choices": [], "usage": USAGE}]
            chunks = [
                {**CHUNK, "choices": [{"index": 0, "delta": {"role": "assistant", "content": "hel"}}]},
                {**CHUNK, "choices": [{"index": 0, "delta": {"content": "lo"}, "finish_reason": "stop"}]},
                *(usage if (body.get("stream_options") or {}).get("include_usage") else []),
            ]
            text = "".join(f"data: {json.dumps(chunk)}\n\n" for chunk in chunks) + "data: [DONE]\n\n"
            self.send(200, text, "text/event-stream")
        else:
            self.send(200, json.dumps({
                "id": f"chatcmpl-{time.monotonic_ns()}", "object": "chat.completion", "created": 1770000000,
                "model": "gpt-4o-2024-08-06", "usage": USAGE, "choices": [
                    {"index": 0, "finish_reason": "stop",
                     "message": {"role": "assistant", "content": "hello"}}]}))  # fmt: skip


@contextmanager
def served(provider: type[Provider]) -> Iterator[str]:
    """The address of a server on a free port."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), provider)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
