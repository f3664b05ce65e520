"""A server that speaks OpenAI's protocol: an answer holds the digest of its question and the model asked."""

from __future__ import annotations

import hashlib
import json
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any


class Provider(ThreadingHTTPServer):
    """Counts what it is asked. `fails`: the status of every answer; `wait`: seconds before each, `hold`: what it waits
    for; `failing`: models that answer 500; `finish` and `says`: the reason to stop and the text by the request."""

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.asked: Counter[str] = Counter()  # by model
        self.fails: int | None = None
        self.cut = False  # streams end without their last chunk
        self.wait = 0.0
        self.hold: threading.Event | None = None
        self.failing: set[str] = set()
        self.finish: Callable[[dict[str, Any]], str] = lambda body: "tool_calls" if body.get("tools") else "stop"
        self.says: Callable[[dict[str, Any]], str] | None = None
        self.bodies: list[dict[str, Any]] = []
        self._came = threading.Condition()

    def take(self, body: dict[str, Any]) -> None:
        with self._came:
            self.asked[body["model"]] += 1
            self.bodies.append(body)
            self._came.notify_all()

    def await_asked(self, count: int) -> None:
        with self._came:
            assert self._came.wait_for(lambda: self.asked.total() >= count, 20)

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
        self.server.take(body)
        time.sleep(self.server.wait)
        if self.server.hold is not None:
            self.server.hold.wait(20)
        if self.server.fails or body["model"] in self.server.failing:
            failed = json.dumps({"error": {"message": "no", "code": "down"}}).encode()
            self._send(self.server.fails or 500, failed)
            return
        if "messages" not in body:
            self._send(
                200,
                json.dumps(
                    _responses(body, self.server.finish(body)) if self.path.endswith("/responses") else _vectors(body)
                ).encode(),
            )
            return
        text = f"{body['model']} {digest(body['messages'])}"
        if self.server.says is not None:
            text = self.server.says(body)
        finish = self.server.finish(body)
        usage = {"prompt_tokens": 20 + len(str(body["messages"])) // 4, "completion_tokens": 8}
        usage["total_tokens"] = sum(usage.values())
        head = {"id": f"chatcmpl-{time.time_ns()}", "created": 1770000000, "model": body["model"]}
        if not body.get("stream"):
            message = {"role": "assistant", "content": text}
            if body.get("tools"):
                call = {"id": "c", "type": "function", "function": {"name": "f", "arguments": "{}"}}
                message = {"role": "assistant", "content": None, "tool_calls": [call]}
            choice = {"index": 0, "message": message, "finish_reason": finish}
            answer = {**head, "object": "chat.completion", "choices": [choice], "usage": usage}
            self._send(200, json.dumps(answer).encode())
            return
        chunk = {**head, "object": "chat.completion.chunk"}
        events = [{**chunk, "choices": [{"index": 0, "delta": {"role": "assistant", "content": part}}]} for part in
                  (text[:5], text[5:])]  # fmt: skip
        if not self.server.cut:
            events.append({**chunk, "choices": [{"index": 0, "delta": {}, "finish_reason": finish}]})
            events.append({**chunk, "choices": [], "usage": usage})
        stream = b"".join(b"data: %b\n\n" % json.dumps(event).encode() for event in events)
        self._send(200, stream + (b"" if self.server.cut else b"data: [DONE]\n\n"), "text/event-stream")

    def _send(self, status: int, data: bytes, kind: str = "application/json") -> None:
        self.send_response(status)
        self.send_header("content-type", kind)
        self.send_header("content-length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)


def _responses(body: dict[str, Any], finish: str) -> dict[str, Any]:
    text = f"{body['model']} {digest([{'input': body['input']}])}"
    content = [{"type": "output_text", "text": text, "annotations": []}]
    message = {"type": "message", "id": "m", "role": "assistant", "status": "completed", "content": content}
    usage: dict[str, Any] = {"input_tokens": 20, "output_tokens": 8, "total_tokens": 28}
    usage |= {"input_tokens_details": {"cached_tokens": 0}, "output_tokens_details": {"reasoning_tokens": 0}}
    return {
        "id": f"resp-{time.time_ns()}", "object": "response", "created_at": 1770000000, "model": body["model"],
        "status": "completed" if finish == "stop" else "incomplete",
        "incomplete_details": None if finish == "stop" else {"reason": "max_output_tokens"}, "output": [message],
        "usage": usage, "parallel_tool_calls": True, "tool_choice": "auto",
        "tools": [],
    }  # fmt: skip


def _vectors(body: dict[str, Any]) -> dict[str, Any]:
    data = [{"object": "embedding", "index": n, "embedding": [0.5, 0.25, n]} for n, _ in enumerate(body["input"])]
    usage = {"prompt_tokens": 5, "total_tokens": 5}
    return {"object": "list", "data": data, "model": body["model"], "usage": usage}
