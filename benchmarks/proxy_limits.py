"""`hindcast serve` with thousands of streams at once and with 50 MB bodies: what it takes, and whose answer comes.

    python -m benchmarks.proxy_limits --streams 10000

Provider, proxy and callers are processes of their own, as each may have so many descriptors. Every stream lasts some
seconds, so that all are open together; each answer is checked for the digest of its question.
"""

from __future__ import annotations

import argparse
import asyncio
import http.client
import json
import os
import resource
import subprocess
import sys
import tempfile
import time
from collections import Counter
from contextlib import ExitStack
from pathlib import Path

from benchmarks._openai_server import digest
from benchmarks.proxy_overhead import STRATEGY, cpu_seconds, free_port, started

CHUNKS = 6
HEAD = b"POST /v1/chat/completions HTTP/1.0\r\nhost: localhost\r\ncontent-length: %d\r\n\r\n"


def call(port: int, streams: int, seconds: float) -> None:
    """The callers: print how the streams ended, and the most that were open together."""
    found: Counter[str] = Counter()
    most = running = 0

    async def stream(number: int, gate: asyncio.Semaphore) -> None:
        nonlocal most, running
        said = f"stream:{CHUNKS}:{seconds * 1000 / CHUNKS:.0f} number {number}"
        messages = [{"role": "user", "content": said}]
        body = json.dumps({"model": "gpt-4o-mini", "messages": messages, "stream": True}).encode()
        try:
            async with gate:  # so many connect at the same time
                reader, writer = await asyncio.open_connection("127.0.0.1", port)
                writer.write(HEAD % len(body) + body)
                head = await reader.readuntil(b"\r\n\r\n")
            status = head.split(b" ", 2)[1].decode()
            running += status == "200"
            most = max(most, running)
            data = await reader.read()
            running -= status == "200"
            writer.close()
        except (OSError, asyncio.IncompleteReadError) as error:
            found[f"no answer: {type(error).__name__}"] += 1
            return
        if status != "200":
            found[f"status {status}"] += 1
        elif data.count(digest(messages).encode()) == CHUNKS and b"[DONE]" in data:
            found["whole, the right one"] += 1
        else:
            found["WRONG OR CUT"] += 1

    async def run() -> None:
        gate = asyncio.Semaphore(200)
        await asyncio.gather(*(stream(number, gate) for number in range(streams)))

    asyncio.run(run())
    print(json.dumps({"ended": found, "open together": most}))


def memory_mb(pid: int) -> float:
    """Resident."""
    return int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE") / 1e6


def large_bodies(port: int, number: int, size: int) -> list[float]:
    """Seconds of each call with a body of so many bytes, one after another."""
    times = []
    for place in range(number):
        messages = [{"role": "user", "content": f"large {place} " + "x" * size}]
        body = json.dumps({"model": "gpt-4o-mini", "messages": messages}).encode()
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=120)
        clock = time.perf_counter()
        connection.request("POST", "/v1/chat/completions", body)
        answer = connection.getresponse()
        data = answer.read()
        times.append(time.perf_counter() - clock)
        if digest(messages).encode() not in data:
            raise SystemExit(f"a wrong answer: {answer.status} {data[:200]!r}")
    return times


def main() -> None:
    """Print how the streams ended, memory and CPU of the proxy, and the time of large bodies."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--streams", type=int, default=2000)
    parser.add_argument("--seconds", type=float, default=20.0, help="that a stream lasts")
    parser.add_argument("--bodies", type=int, default=3, help="of 49 MB")
    given = parser.parse_args()
    root = str(Path(__file__).resolve().parents[1])
    resource.setrlimit(resource.RLIMIT_NOFILE, (resource.getrlimit(resource.RLIMIT_NOFILE)[1],) * 2)
    with tempfile.TemporaryDirectory() as name, ExitStack() as stack:
        folder, provider, port = Path(name), free_port(), free_port()
        (folder / "s.yaml").write_text(STRATEGY)
        stack.enter_context(
            started([sys.executable, "-m", "benchmarks._openai_server", str(provider)], folder,
                    f"http://127.0.0.1:{provider}/count", PYTHONPATH=root)
        )  # fmt: skip
        proxy = stack.enter_context(
            started([sys.executable, "-m", "cli.entry", "serve", "s.yaml", "--port", str(port), "--upstream",
                     f"http://127.0.0.1:{provider}/v1"], folder, f"http://127.0.0.1:{port}/healthz", PYTHONPATH=root)
        )  # fmt: skip
        print(f"load {os.getloadavg()[0]:.1f}, {resource.getrlimit(resource.RLIMIT_NOFILE)[0]:,} descriptors a process")
        before, cpu = memory_mb(proxy), cpu_seconds(proxy)
        code = f"from benchmarks.proxy_limits import call; call({port}, {given.streams}, {given.seconds})"
        caller = subprocess.Popen(
            [sys.executable, "-c", code], env={**os.environ, "PYTHONPATH": root}, stdout=subprocess.PIPE, text=True
        )
        top = before
        while caller.poll() is None:
            top = max(top, memory_mb(proxy))
            time.sleep(0.2)
        assert caller.stdout is not None
        found = json.loads(caller.stdout.read())
        used = cpu_seconds(proxy) - cpu
        print(f"{given.streams:,} streams of {given.seconds:.0f} s: {found['open together']:,} open together; "
              + ", ".join(f"{count:,} {how}" for how, count in found["ended"].items()))  # fmt: skip
        print(f"proxy: {before:.0f} MB before, {top:.0f} MB at most, {used / given.streams * 1000:.2f} ms CPU a stream")
        times = large_bodies(port, given.bodies, 49 << 20)
        taken = ", ".join(f"{one:.1f}" for one in times)
        print(f"{given.bodies} bodies of 49 MB: {taken} s; {memory_mb(proxy):.0f} MB after")


if __name__ == "__main__":
    main()
