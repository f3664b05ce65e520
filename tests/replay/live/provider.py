"""A server that speaks OpenAI's protocol: an answer holds the digest of its question and the model asked."""

from __future__ import annotations

import hashlib
import json
import threading
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any


class Provider(ThreadingHTTPServer):
    """Counts what it is asked. `fails`: the status of every answer; `wait`: seconds before each."""

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.asked: Counter[str] = Counter()  # by model
        self.fails: int | None = None
        self.cut = False  # streams end without their last chunk
        self.wait = 0.0

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_port}/v1"


@contextmanager
def serving() -> Iterator[Provider]:
    server = Provider()
    thread = threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True)
    thread.start()
    yield server
    server.shutdown()
    server.server_close()


def digest(messages: list[dict[str, Any]]) -> str:
    return hashlib.sha256(json.dumps(messages, sort_keys=True).encode()).hexdigest()[:16]


class _Handler(BaseHTTPRequestHandler):
    server: Provider
    protocol_version = "HTTP/1.1"

    def log_message(self, *args: Any) -> None:
        pass

    def do_POST(self) -> None:
        body = json.loads(self.rfile.read(int(self.headers["content-length"])))
        self.server.asked[body["model"]] += 1
        time.sleep(self.server.wait)
        if self.server.fails:
            self._send(self.server.fails, json.dumps({"error": {"message": "no", "code": "down"}}).encode())
            return
        text = f"{body['model']} {digest(body['messages'])}"
        usage = {"prompt_tokens": 20 + len(str(body["messages"])) // 4, "completion_tokens": 8}
        usage["total_tokens"] = sum(usage.values())
        head = {"id": f"chatcmpl-{time.time_ns()}", "created": 1770000000, "model": body["model"]}
        if not body.get("stream"):
            message = {"role": "assistant", "content": text}
            if body.get("tools"):
                call = {"id": "c", "type": "function", "function": {"name": "f", "arguments": "{}"}}
                message = {"role": "assistant", "content": None, "tool_calls": [call]}
            choice = {"index": 0, "message": message, "finish_reason": "tool_calls" if body.get("tools") else "stop"}
            answer = {**head, "object": "chat.completion", "choices": [choice], "usage": usage}
            self._send(200, json.dumps(answer).encode())
            return
        chunk = {**head, "object": "chat.completion.chunk"}
        events = [{**chunk, "choices": [{"index": 0, "delta": {"role": "assistant", "content": part}}]} for part in
                  (text[:5], text[5:])]  # fmt: skip
        if not self.server.cut:
            events.append({**chunk, "choices": [{"index": 0, "delta": {}, "finish_reason": "stop"}]})
            events.append({**chunk, "choices": [], "usage": usage})
        stream = b"".join(b"data: %b\n\n" % json.dumps(event).encode() for event in events)
        self._send(200, stream + (b"" if self.server.cut else b"data: [DONE]\n\n"), "text/event-stream")

    def _send(self, status: int, data: bytes, kind: str = "application/json") -> None:
        self.send_response(status)
        self.send_header("content-type", kind)
        self.send_header("content-length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)
