"""The served pages are read through the names of this machine only, in no frame, and beyond it with a token only."""

from __future__ import annotations

import base64
import http.client
import json
import os
import re
import socket
import threading
import time
from collections.abc import Iterator
from datetime import datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
from builder import build_store
from visits import Server

from analysis.ledger import ledger

SECRET = "zebra-crossing-prompt"


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Path:
    made = build_store(
        tmp_path_factory.mktemp("served") / "s.duckdb",
        [{"start_time": datetime(2026, 3, day, 10), "agent": SECRET} for day in range(1, 8)],
    )
    ledger.update(made)
    return made.path


@pytest.fixture(scope="module")
def local(store: Path) -> Iterator[Server]:
    """A dashboard started in a folder whose `.streamlit` wants scripts and secrets of its own."""
    folder = store.parent / "folder"
    (folder / ".streamlit").mkdir(parents=True)
    (folder / ".streamlit" / "config.toml").write_text("[server]\nenableCORS = false\nenableXsrfProtection = false\n")
    (folder / ".streamlit" / "secrets.toml").write_text(f'PYTHONPATH = "{folder}"\nHOSTILE = "yes"\n')
    for name in ("analysis", "streamlit", "sitecustomize", "duckdb", "dashboard"):
        (folder / f"{name}.py").write_text(f"open({str(folder / 'ran')!r}, 'a').write({name!r})\n")
    server = Server(store, folder).ready()
    yield server
    server.stop()


@pytest.fixture(scope="module")
def public(store: Path) -> Iterator[tuple[Server, str]]:
    """A dashboard on all addresses, and its token."""
    server = Server(store, store.parent, "--host", "0.0.0.0")
    deadline = time.monotonic() + 90
    while True:
        found = re.search(r"\?token=([\w-]+)", server.log.read_text())
        if found:
            break
        assert server.process.poll() is None, server.log.read_text()
        assert time.monotonic() < deadline
        time.sleep(0.05)
    while ask(server.port)[0] == 0:
        assert time.monotonic() < deadline
        time.sleep(0.05)
    yield server, found.group(1)
    server.stop()


def ask(port: int, path: str = "/", **headers: str) -> tuple[int, dict[str, str], str]:
    """(status, headers, body) of a request; status 0 where nobody listens yet."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=20)
    try:
        connection.putrequest("GET", path, skip_host="Host" in headers)
        for name, value in headers.items():
            connection.putheader(name.replace("_", "-"), value)
        connection.endheaders()
        answer = connection.getresponse()
        return (
            answer.status,
            {name.lower(): value for name, value in answer.getheaders()},
            answer.read().decode("latin-1"),
        )
    except ConnectionRefusedError:
        return 0, {}, ""
    finally:
        connection.close()


def shake_hands(port: int, **headers: str) -> int:
    """The status of a WebSocket handshake: 101 where it is let in."""
    lines = [
        "GET /_stcore/stream HTTP/1.1", "Upgrade: websocket", "Connection: Upgrade", "Sec-WebSocket-Version: 13",
        f"Sec-WebSocket-Key: {base64.b64encode(os.urandom(16)).decode()}", "Sec-WebSocket-Protocol: streamlit",
        *(f"{name}: {value}" for name, value in headers.items()),
    ]  # fmt: skip
    with socket.create_connection(("127.0.0.1", port), timeout=20) as client:
        client.sendall(("\r\n".join(lines) + "\r\n\r\n").encode())
        return int(client.recv(64).split()[1])


REBOUND = ("evil.example", "localhost.evil.example", "127.0.0.1.nip.io", "192.168.0.7", "", "[::2]")
FOREIGN = ("http://localhost:9999", "http://evil.example", "null", "file://", "http://127.0.0.1", None)


@pytest.mark.parametrize("name", REBOUND)
def test_a_rebound_name_gets_no_page_and_no_connection(local: Server, name: str) -> None:
    host = f"{name}:{local.port}"
    for path in ("/", "/_stcore/health", "/_stcore/host-config", "/media/x", "/overview"):
        status, _, body = ask(local.port, path, Host=host)
        assert status in (400, 403)
        assert "streamlit" not in body.lower()
    assert shake_hands(local.port, Host=host, Origin=f"http://{host}") in (400, 403)


@pytest.mark.parametrize("name", ["localhost", "127.0.0.1", "[::1]", "LOCALHOST"])
def test_the_names_of_this_machine_are_answered(local: Server, name: str) -> None:
    host = f"{name}:{local.port}"
    assert ask(local.port, Host=host)[0] == 200
    assert shake_hands(local.port, Host=host, Origin=f"http://{host}") == 101


@pytest.mark.parametrize("origin", FOREIGN)
def test_a_connection_from_another_origin_is_refused(local: Server, origin: str | None) -> None:
    headers = {"Host": f"localhost:{local.port}"} | ({} if origin is None else {"Origin": origin})
    assert shake_hands(local.port, **headers) == 403


def test_two_hosts_are_none(local: Server) -> None:
    assert shake_hands(local.port, Host=f"localhost:{local.port}", host="evil.example") in (400, 403)


def test_every_answer_forbids_frames_and_foreign_contents(local: Server) -> None:
    for path in ("/", "/_stcore/health", "/static/nothing", "/favicon.png"):
        _, headers, _ = ask(local.port, path)
        assert headers["x-frame-options"] == "DENY"
        policy = headers["content-security-policy"]
        assert "frame-ancestors 'none'" in policy
        assert "unsafe-eval" not in policy
        assert "unsafe-inline" not in policy.split("script-src")[1].split(";")[0]
        assert headers["x-content-type-options"] == "nosniff"


def test_settings_and_modules_of_the_working_folder_change_nothing(local: Server, store: Path) -> None:
    folder = store.parent / "folder"
    assert not (folder / "ran").exists()
    environment = Path(f"/proc/{local.process.pid}/environ")
    if environment.exists():
        assert b"HOSTILE" not in environment.read_bytes()
    assert "Served to this machine" not in local.log.read_text()
    assert "Warning" not in local.log.read_text()


def test_beyond_this_machine_a_token_is_asked_for_and_the_reader_is_warned(public: tuple[Server, str]) -> None:
    server, token = public
    host = f"127.0.0.1:{server.port}"
    said = server.log.read_text()
    for word in ("Warning", "read", "prompt", "write", "strategy files", "not encrypted"):
        assert word in said
    for path in ("/", "/?token=", f"/?token={token[:-1]}x", "/_stcore/health", f"/overview?token={token}x"):
        status, headers, body = ask(server.port, path)
        assert status == 401
        assert "streamlit" not in body.lower()
        assert "set-cookie" not in headers
    assert shake_hands(server.port, Host=host, Origin=f"http://{host}") == 403
    status, headers, _ = ask(server.port, f"//evil.example/spike?token={token}&day=2026-03-02")
    assert (status, headers["location"]) == (303, "/evil.example/spike?day=2026-03-02")
    assert "HttpOnly" in headers["set-cookie"]
    cookie = headers["set-cookie"].split(";")[0]
    assert ask(server.port, Cookie=cookie)[0] == 200
    assert ask(server.port, Cookie=f"a=b; {cookie}; c=d")[0] == 200
    assert shake_hands(server.port, Host=host, Origin=f"http://{host}", Cookie=cookie) == 101
    assert shake_hands(server.port, Host=host, Origin="http://evil.example", Cookie=cookie) == 403
    assert ask(server.port, Host="evil.example", Cookie=cookie)[0] == 403
    assert ask(server.port, Host="192.168.0.7", Cookie=cookie)[0] == 200


@pytest.fixture
def attacker() -> Iterator[Any]:
    """A page of another site that shows the dashboard in a frame."""

    class Page(BaseHTTPRequestHandler):
        target = ""

        def do_GET(self) -> None:
            body = f"<iframe id=f src='{self.target}' width=900 height=900></iframe>".encode()
            self.send_response(200)
            self.send_header("Content-Type", "text/html")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *args: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Page)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield server, Page
    server.shutdown()
    server.server_close()


@pytest.mark.browser
def test_in_a_browser_only_this_machine_s_own_name_shows_the_page(
    local: Server, public: tuple[Server, str], attacker: Any, chromium: str
) -> None:
    from playwright.sync_api import sync_playwright

    site, page_of_site = attacker
    with sync_playwright() as playwright:
        rules = "MAP *.example 127.0.0.1"
        browser = playwright.chromium.launch(
            executable_path=chromium, args=["--no-sandbox", f"--host-resolver-rules={rules}"]
        )
        page = browser.new_page()
        complaints: list[str] = []
        page.on("console", lambda message: complaints.append(message.text))
        drawn = '[data-testid="stApp"][data-test-script-state="notRunning"]'
        page.goto(f"http://localhost:{local.port}/data")
        page.locator(drawn).wait_for(timeout=90_000)
        page.get_by_text("Served to this machine").wait_for(timeout=30_000)
        assert not [text for text in complaints if "Content Security Policy" in text]

        page.goto(f"http://evil.example:{local.port}/data")
        assert page.locator("body").inner_text().strip() == "This server does not go by that name."

        page_of_site.target = f"http://localhost:{local.port}/"
        complaints.clear()
        page.goto(f"http://evil.example:{site.server_port}/")
        page.wait_for_timeout(3000)
        frame = page.frames[1]
        assert frame.locator('[data-testid="stApp"]').count() == 0
        assert any("frame" in text.lower() for text in complaints)

        server, token = public
        page.goto(f"http://127.0.0.1:{server.port}/data?token={token}")
        page.locator(drawn).wait_for(timeout=90_000)
        assert "token" not in page.url
        page.get_by_text("whoever has this address and its token").wait_for(timeout=30_000)
        browser.close()


def test_a_taken_port_is_told(local: Server, store: Path) -> None:
    other = Server(store, store.parent)
    other.stop()
    with socket.create_server(("127.0.0.1", other.port)):
        again = Server(store, store.parent, "--port", str(other.port))
        assert again.process.wait(60) == 2
        assert "port is taken" in again.log.read_text()
    assert json.dumps(again.log.read_text()).count("Traceback") == 0
