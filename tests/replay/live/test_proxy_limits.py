"""The proxy under bad callers and bad providers: bounded, counted, and nobody gets another's answer."""

from __future__ import annotations

import asyncio
import http.client
import json
import os
import socket
import subprocess
import sys
import time
from collections.abc import Coroutine, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from benchmarks._openai_server import digest
from replay.live import provider_connections, sockets

ROOT = Path(__file__).resolve().parents[3]
STRATEGY = """
name: served
route: [{match: {agent: writer}, model: gpt-4o-mini}]
cache: {tiers: [{name: memory, scope: process, ttl: 1h}]}
"""


def process(folder: Path, *words: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-m", *words], cwd=folder, env={**os.environ, "PYTHONPATH": str(ROOT)},
        stderr=subprocess.PIPE, text=True,
    )  # fmt: skip


@pytest.fixture(scope="module")
def ports(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[int, int]]:
    """Of a provider that behaves as it is asked to, and of the proxy before it."""
    folder = tmp_path_factory.mktemp("proxy")
    (folder / "s.yaml").write_text(STRATEGY)
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        provider = int(free.getsockname()[1])
    running = [process(folder, "benchmarks._openai_server", str(provider))]
    for _ in range(400):
        with socket.socket() as probe:
            if not probe.connect_ex(("127.0.0.1", provider)):
                break
        time.sleep(0.02)
    running.append(
        process(folder, "cli.entry", "serve", "s.yaml", "--port", "0", "--upstream", f"http://127.0.0.1:{provider}/v1")
    )
    assert running[1].stderr is not None
    proxy = int(running[1].stderr.readline().split(" at http://127.0.0.1:")[1].split("/")[0])
    yield provider, proxy
    for one in running:
        one.terminate()
        one.wait(20)


def asked(port: int, said: str, *, stream: bool = False, more: int = 0) -> tuple[int, bytes, str]:
    """Status, body and the digest that the answer must hold."""
    messages = [{"role": "user", "content": said}]
    body: dict[str, Any] = {"model": "gpt-4o", "messages": messages, "stream": stream}
    if more:
        body["metadata"] = {"more": "x" * more}
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=60)
    connection.request("POST", "/v1/chat/completions", json.dumps(body), {"content-type": "application/json"})
    answer = connection.getresponse()
    try:
        return answer.status, answer.read(), digest(messages)
    except http.client.IncompleteRead as error:
        return 0, error.partial, digest(messages)


def in_a_thread(work: Coroutine[Any, Any, Any]) -> Any:
    """Of its own: a browser of another test has a loop in this one."""
    with ThreadPoolExecutor(1) as pool:
        return pool.submit(asyncio.run, work).result()


def metric(port: int, name: str) -> float:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=30)
    connection.request("GET", "/metrics")
    lines = connection.getresponse().read().decode().splitlines()
    return sum(float(line.rsplit(" ", 1)[1]) for line in lines if line.startswith(name))


def settled(port: int, name: str, value: float) -> bool:
    for _ in range(300):
        if metric(port, name) == value:
            return True
        time.sleep(0.02)
    return False


def test_a_provider_that_drips_breaks_off_or_answers_garbage_harms_nobody_else(ports: tuple[int, int]) -> None:
    provider, proxy = ports
    status, direct, _ = asked(provider, "drip it", stream=True)
    assert asked(proxy, "drip it", stream=True)[:2] == (status, direct)  # byte for byte
    assert asked(proxy, "garbage please")[0] == 502
    assert asked(proxy, "fail this one")[0] == 500
    for mode in ("reset", "half"):
        status, partial, mark = asked(proxy, f"{mode} this stream", stream=True)
        assert status == 0  # the caller sees that it was cut
        assert mark.encode() in partial
    assert metric(proxy, 'hindcast_decisions_total{what="an answer broke off"}') == 2
    for number in range(20):
        status, body, mark = asked(proxy, f"question {number}")
        assert (status, mark.encode() in body) == (200, True)
    assert settled(proxy, "hindcast_open_calls", 0)
    assert settled(proxy, "hindcast_held_bytes", 0)


def test_many_streams_at_once_each_get_their_own_answer(ports: tuple[int, int]) -> None:
    _, proxy = ports
    number = 150

    async def stream(place: int) -> bool:
        messages = [{"role": "user", "content": f"stream:4:20 number {place}"}]
        body = json.dumps({"model": "gpt-4o", "messages": messages, "stream": True}).encode()
        reader, writer = await asyncio.open_connection("127.0.0.1", proxy)
        writer.write(b"POST /v1/chat/completions HTTP/1.0\r\nhost: localhost\r\ncontent-length: %d\r\n\r\n" % len(body))
        writer.write(body)
        data = await reader.read()
        writer.close()
        return data.count(digest(messages).encode()) == 4 and b"[DONE]" in data

    async def every() -> list[bool]:
        return await asyncio.gather(*map(stream, range(number)))

    assert all(in_a_thread(every()))
    assert settled(proxy, "hindcast_open_calls", 0)


def test_a_caller_that_leaves_ends_the_call_at_the_provider(ports: tuple[int, int]) -> None:
    _, proxy = ports
    body = json.dumps(
        {"model": "gpt-4o", "messages": [{"role": "user", "content": "stream:2000:20 x"}], "stream": True}
    )
    before = metric(proxy, 'hindcast_decisions_total{what="the caller left"}')
    with socket.create_connection(("127.0.0.1", proxy)) as caller:
        head = f"POST /v1/chat/completions HTTP/1.1\r\nhost: localhost\r\ncontent-length: {len(body)}\r\n\r\n"
        caller.sendall((head + body).encode())
        assert b"200" in caller.recv(2000)
        assert metric(proxy, "hindcast_open_calls") == 1
    assert settled(proxy, "hindcast_open_calls", 0)  # long before the 40 s that the answer would take
    assert metric(proxy, 'hindcast_decisions_total{what="the caller left"}') == before + 1


def test_a_body_that_is_cut_off_is_asked_of_nobody_and_a_large_one_is_passed_whole(ports: tuple[int, int]) -> None:
    provider, proxy = ports
    messages = [{"role": "user", "content": "cut off"}]
    body = json.dumps({"model": "gpt-4o", "messages": messages}).encode()
    with socket.create_connection(("127.0.0.1", proxy)) as caller:
        caller.sendall(
            b"POST /v1/chat/completions HTTP/1.1\r\nhost: localhost\r\ncontent-length: %d\r\n\r\n" % (len(body) + 100)
        )
        caller.sendall(body)
    assert settled(proxy, 'hindcast_decisions_total{what="the caller left before it had asked"}', 1)
    connection = http.client.HTTPConnection("127.0.0.1", provider, timeout=30)
    connection.request("GET", "/count")
    assert digest(messages) not in json.loads(connection.getresponse().read())
    status, answer, mark = asked(proxy, "a large body", more=3 << 20)
    assert (status, mark.encode() in answer) == (200, True)
    with socket.create_connection(("127.0.0.1", proxy)) as caller:  # refused by what it says, before it is sent
        caller.sendall(b"POST /v1/chat/completions HTTP/1.1\r\nhost: localhost\r\ncontent-length: 99999999\r\n\r\n")
        assert b" 413 " in caller.recv(200)
    assert settled(proxy, "hindcast_held_bytes", 0)


def test_small_packets_are_sent_at_once() -> None:
    listening = sockets.listening("127.0.0.1", 0)
    with listening, socket.create_connection(listening.getsockname()):
        accepted, _ = listening.accept()
        with accepted:
            assert accepted.proto == socket.IPPROTO_TCP  # what asyncio goes by
    assert 1 <= sockets.most_streams(50) <= 50


def test_connections_are_spread_over_pools_and_come_back() -> None:
    client = provider_connections.client(5.0)
    seen: list[str] = []

    async def run() -> None:
        async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            while request := (await reader.read(4096)):
                seen.append(request.decode())
                await asyncio.sleep(0.2)
                writer.write(b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok")

        server = await asyncio.start_server(serve, "127.0.0.1", 0)
        port = server.sockets[0].getsockname()[1]
        for _ in range(2):
            answers = await asyncio.gather(*(client.get(f"http://127.0.0.1:{port}/") for _ in range(150)))
            assert {one.text for one in answers} == {"ok"}
        await client.aclose()
        server.close()
        await server.wait_closed()

    in_a_thread(run())
    assert len(seen) == 300  # more at once than one pool of httpx's default would let through
