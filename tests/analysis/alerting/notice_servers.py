"""Servers that take notices: webhooks that answer what their path says, and mail."""

from __future__ import annotations

import json
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from email import message_from_bytes
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest


class Hook(BaseHTTPRequestHandler):
    """Answers what the path says (`/200`, `/500`, `/hang`), and keeps what came."""

    got: list[tuple[str, dict[str, Any], str]]
    free: threading.Event

    def do_POST(self) -> None:
        body = json.loads(self.rfile.read(int(self.headers["content-length"])))
        self.got.append((self.path, body, self.headers["idempotency-key"]))
        status = self.path[1:4]
        if status == "han":
            self.free.wait(20)
            status = "200"
        self.send_response(int(status))
        if status == "302":
            self.send_header("location", "/200-elsewhere")
        self.end_headers()

    def log_message(self, *_: Any) -> None:
        """Quiet."""


@contextmanager
def hook_server() -> Iterator[tuple[str, type[Hook]]]:
    """Its address, and the class that keeps what came."""
    handler = type("Handler", (Hook,), {"got": [], "free": threading.Event()})
    server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield f"http://127.0.0.1:{server.server_port}", handler
    finally:
        handler.free.set()
        server.shutdown()
        server.server_close()


@contextmanager
def mail_server() -> Iterator[tuple[int, list[Any]]]:
    controller_of = pytest.importorskip("aiosmtpd.controller")

    class Handler:
        def __init__(self) -> None:
            self.got: list[Any] = []

        async def handle_DATA(  # noqa: N802
            self, _server: Any, _session: Any, envelope: Any
        ) -> str:
            self.got.append((envelope.rcpt_tos, message_from_bytes(envelope.content)))
            return "250 OK"

    handler = Handler()
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    controller = controller_of.Controller(handler, hostname="127.0.0.1", port=port)
    controller.start()
    try:
        yield port, handler.got
    finally:
        controller.stop()
