"""A small server of OpenAI's chat protocol for benchmarks: an answer holds the digest of its question.

What it does is asked for by the first word of the last message: `stream:N:MS` sends N chunks MS milliseconds apart,
`drip` a byte at a time, `reset` breaks the connection in the middle, `half` ends before the length it promised,
`garbage` is no HTTP, `fail` a status of 500. `GET /count` tells how often each question was answered or begun.
"""

from __future__ import annotations

import asyncio
import hashlib
import json
import random
import sys
from collections import Counter
from typing import Any


def digest(messages: Any) -> str:
    """Of the messages of a question, 16 hex digits."""
    return hashlib.sha256(json.dumps(messages, sort_keys=True).encode()).hexdigest()[:16]


class _Connection(asyncio.Protocol):
    def __init__(self, asked: Counter[str], fails: float) -> None:
        self.asked, self.fails = asked, fails
        self.held = bytearray()
        self.tasks: set[asyncio.Task[None]] = set()

    def connection_made(self, transport: Any) -> None:
        self.out = transport

    def connection_lost(self, _: Exception | None) -> None:
        for task in self.tasks:
            task.cancel()

    def data_received(self, data: bytes) -> None:
        self.held += data
        while (end := self.held.find(b"\r\n\r\n")) >= 0:
            head = bytes(self.held[:end]).lower()
            place = head.find(b"content-length:")
            size = int(head[place + 15 :].split(b"\r\n", 1)[0]) if place >= 0 else 0
            if len(self.held) < end + 4 + size:
                return
            body = bytes(self.held[end + 4 : end + 4 + size])
            del self.held[: end + 4 + size]
            self._answer(head, body)

    def _answer(self, head: bytes, body: bytes) -> None:
        if head.startswith(b"get /count"):
            self._send(200, json.dumps(self.asked).encode())
            return
        if not head.startswith(b"post "):
            self._send(404, b"{}")
            return
        asked = json.loads(body)
        mark = digest(asked["messages"])
        self.asked[mark] += 1
        said = asked["messages"][-1]["content"]
        mode, *numbers = (said if isinstance(said, str) else "").split(" ", 1)[0].split(":")
        if mode == "fail" or (self.fails and random.random() < self.fails):
            self._send(500, b'{"error": {"message": "down", "type": "server_error"}}')
        elif mode == "garbage":
            self.out.write(b"\x00\xff\x13 not HTTP at all\r\n" * 3)
            self.out.close()
        elif mode in ("drip", "reset", "half") or asked.get("stream"):
            count, pause = (int(numbers[0]), int(numbers[1]) / 1000) if mode == "stream" else (8, 0.0)
            task = asyncio.ensure_future(self._stream(mode, asked["model"], mark, count, pause))
            self.tasks.add(task)
            task.add_done_callback(self.tasks.discard)
        else:
            self._send(200, json.dumps(_whole(asked["model"], mark)).encode())

    def _send(self, status: int, body: bytes) -> None:
        self.out.write(
            f"HTTP/1.1 {status} X\r\ncontent-type: application/json\r\ncontent-length: {len(body)}\r\n\r\n".encode()
            + body
        )

    async def _stream(self, mode: str, model: str, mark: str, count: int, pause: float) -> None:
        self.out.write(b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked\r\n\r\n")
        for number in range(count):
            delta = {"role": "assistant", "content": f"{mark} "}
            data = _event(model, {"index": 0, "delta": delta, "finish_reason": None})
            if mode == "drip":
                for byte in data:
                    self._chunk(bytes([byte]))
                    await asyncio.sleep(0)
            else:
                self._chunk(data)
            if mode in ("reset", "half") and number == count // 2:
                self.out.abort() if mode == "reset" else self.out.close()
                return
            await asyncio.sleep(pause)
        self._chunk(_event(model, {"index": 0, "delta": {}, "finish_reason": "stop"}))
        self._chunk(b"data: [DONE]\n\n")
        self.out.write(b"0\r\n\r\n")

    def _chunk(self, data: bytes) -> None:
        self.out.write(b"%x\r\n%b\r\n" % (len(data), data))


def _event(model: str, choice: dict[str, Any]) -> bytes:
    event = {"id": "chatcmpl-1", "object": "chat.completion.chunk", "created": 1770000000, "model": model}
    return b"data: " + json.dumps({**event, "choices": [choice]}).encode() + b"\n\n"


def _whole(model: str, mark: str) -> dict[str, Any]:
    message = {"role": "assistant", "content": f"{model} {mark}"}
    return {
        "id": f"chatcmpl-{random.getrandbits(48):x}", "object": "chat.completion", "created": 1770000000,
        "model": model, "choices": [{"index": 0, "finish_reason": "stop", "message": message}],
        "usage": {"prompt_tokens": 20, "completion_tokens": 8, "total_tokens": 28},
    }  # fmt: skip


async def serve(port: int, fails: float = 0.0) -> None:
    """Until the process ends. `fails`: the share of questions that are answered with 500."""
    asked: Counter[str] = Counter()
    loop = asyncio.get_running_loop()
    server = await loop.create_server(lambda: _Connection(asked, fails), "127.0.0.1", port, backlog=4096)
    await server.serve_forever()


if __name__ == "__main__":
    asyncio.run(serve(int(sys.argv[1]), float(sys.argv[2]) if len(sys.argv) > 2 else 0.0))
