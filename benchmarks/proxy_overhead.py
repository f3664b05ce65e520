"""What `hindcast serve` adds to a call, and how many it serves, beside LiteLLM's proxy and the provider alone.

    python -m benchmarks.proxy_overhead --litellm /path/to/bin/litellm

One local provider, one client; the ways are asked in turn, a few calls each, so that all see the same machine. Each
answer is checked for the digest of its question. CPU is of the proxy's process and its children.
"""

from __future__ import annotations

import argparse
import asyncio
import http.client
import json
import os
import shutil
import socket
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

from benchmarks._openai_server import digest

STRATEGY = """
name: served
route:
  - {match: {agent: writer, task: "draft*"}, model: gpt-4o-mini}
cache: {tiers: [{name: memory, scope: process, ttl: 1h, max_entries: 10000}]}
"""
MODEL = "gpt-4o-mini"


@contextmanager
def started(command: list[str], folder: Path, url: str, seconds: float = 90.0, **environment: str) -> Iterator[int]:
    """A server as a process, until the block ends; its process id, once `url` answers."""
    host, port = url.split("/")[2].split(":")
    with (folder / f"{port}.log").open("wb") as log:
        process = subprocess.Popen(
            command, cwd=folder, env={**os.environ, **environment}, stdout=log, stderr=subprocess.STDOUT
        )
        try:
            until = time.monotonic() + seconds
            while True:
                try:
                    connection = http.client.HTTPConnection(host, int(port), timeout=5)
                    connection.request("GET", "/" + url.split("/", 3)[3])
                    connection.getresponse().read()
                    break
                except OSError:
                    if process.poll() is not None or time.monotonic() > until:
                        raise SystemExit(f"{command[0]} did not start: {log.name}") from None
                    time.sleep(0.2)
            yield process.pid
        finally:
            process.terminate()
            try:
                process.wait(15)
            except subprocess.TimeoutExpired:
                process.kill()


def free_port() -> int:
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        return int(found.getsockname()[1])


def cpu_seconds(pid: int) -> float:
    """Of the process and its descendants that live."""
    total, waiting = 0.0, [pid]
    while waiting:
        one = waiting.pop()
        try:
            fields = Path(f"/proc/{one}/stat").read_text().rsplit(")", 1)[1].split()
            waiting += [int(child) for child in Path(f"/proc/{one}/task/{one}/children").read_text().split()]
        except (OSError, IndexError):
            continue
        total += (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")
    return total


def question(name: str, number: int) -> tuple[bytes, str]:
    """A body of some 1,500 characters, and the digest that its answer must hold."""
    messages = [{"role": "system", "content": "You plan articles. " * 60},
                {"role": "user", "content": f"Question {name} {number}. " + "And why? " * 20}]  # fmt: skip
    return json.dumps({"model": MODEL, "messages": messages, "temperature": 0}).encode(), digest(messages)


HEADERS = {"content-type": "application/json", "authorization": "Bearer sk-test"}


def in_turn(ports: dict[str, int], calls: int, each: int = 10) -> dict[str, list[float]]:
    """Milliseconds of each call, one after another over a kept connection, a few of each way in turn."""
    connections = {name: http.client.HTTPConnection("127.0.0.1", port, timeout=60) for name, port in ports.items()}
    times: dict[str, list[float]] = {name: [] for name in ports}
    for start in range(-each, calls, each):  # the first round warms up
        for name, connection in connections.items():
            for number in range(start, start + each):
                body, mark = question(name, number)
                clock = time.perf_counter()
                connection.request("POST", "/v1/chat/completions", body, HEADERS)
                answer = connection.getresponse()
                data = answer.read()
                took = (time.perf_counter() - clock) * 1000
                if mark.encode() not in data:
                    raise SystemExit(f"{name}: a wrong answer: {answer.status} {data[:300]!r}")
                if start >= 0:
                    times[name].append(took)
    return times


async def _one_connection(name: str, port: int, numbers: Iterator[int]) -> None:
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    for number in numbers:
        body, mark = question(f"{name} together", number)
        head = "".join(f"{key}: {value}\r\n" for key, value in HEADERS.items())
        head = f"POST /v1/chat/completions HTTP/1.1\r\nhost: 127.0.0.1:{port}\r\n{head}content-length: {len(body)}\r\n"
        writer.write(f"{head}\r\n".encode() + body)
        header = (await reader.readuntil(b"\r\n\r\n")).lower()
        if b"content-length:" in header:
            data = await reader.readexactly(int(header.split(b"content-length:")[1].split(b"\r\n")[0]))
        else:
            data = b""
            while (size := int(await reader.readline(), 16)) > 0:
                data += (await reader.readexactly(size + 2))[:-2]
            await reader.readline()
        if mark.encode() not in data:
            raise SystemExit(f"{name}: a wrong answer: {data[:300]!r}")
    writer.close()


def together(name: str, port: int, calls: int, connections: int) -> float:
    """Seconds that `calls` take over so many connections at the same time."""

    async def run() -> float:
        numbers = iter(range(calls))
        clock = time.perf_counter()
        await asyncio.gather(*(_one_connection(name, port, numbers) for _ in range(connections)))
        return time.perf_counter() - clock

    return asyncio.run(run())


def main() -> None:
    """Print the medians, the throughput and the CPU of each way."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--litellm", default=shutil.which("litellm"), help="LiteLLM's command")
    parser.add_argument("--calls", type=int, default=500)
    parser.add_argument("--connections", type=int, default=16)
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as name, ExitStack() as stack:
        folder = Path(name)
        provider, ours, theirs = free_port(), free_port(), free_port()
        (folder / "s.yaml").write_text(STRATEGY)
        root = str(Path(__file__).resolve().parents[1])
        stack.enter_context(
            started([sys.executable, "-m", "benchmarks._openai_server", str(provider)], folder,
                    f"http://127.0.0.1:{provider}/count", PYTHONPATH=root)
        )  # fmt: skip
        upstream = f"http://127.0.0.1:{provider}/v1"
        pids = {"hindcast serve": stack.enter_context(
            started([sys.executable, "-m", "cli.entry", "serve", "s.yaml", "--port", str(ours), "--upstream", upstream],
                    folder, f"http://127.0.0.1:{ours}/healthz", PYTHONPATH=root)
        )}  # fmt: skip
        ports = {"provider alone": provider, "hindcast serve": ours}
        if given.litellm:
            config = {"model_list": [{"model_name": MODEL, "litellm_params": {
                "model": f"openai/{MODEL}", "api_base": upstream, "api_key": "sk-test"}}]}  # fmt: skip
            (folder / "litellm.yaml").write_text(json.dumps(config))
            pids["LiteLLM proxy"] = stack.enter_context(
                started([given.litellm, "--config", "litellm.yaml", "--port", str(theirs), "--host", "127.0.0.1"],
                        folder, f"http://127.0.0.1:{theirs}/health/liveliness", PYTHONPATH="",
                        LITELLM_LOCAL_MODEL_COST_MAP="True",
                        LITELLM_DANGEROUSLY_PERMIT_WEAK_OR_UNSET_MASTER_KEY="true")
            )  # fmt: skip
            ports["LiteLLM proxy"] = theirs
        load = os.getloadavg()[0]
        before = {way: cpu_seconds(pid) for way, pid in pids.items()}
        times = in_turn(ports, given.calls)
        used = {way: cpu_seconds(pid) - before[way] for way, pid in pids.items()}
        alone = statistics.median(times["provider alone"])
        print(f"load {load:.1f} on {os.cpu_count()} processors; {given.calls} calls each, one at a time")
        for way, taken in times.items():
            line = f"{way:<16} median {statistics.median(taken):7.2f} ms"
            if way in pids:
                cpu = used[way] / (given.calls + 10) * 1000
                line += f", added {statistics.median(taken) - alone:6.2f} ms, CPU {cpu:.2f} ms a call"
            print(line)
        print(f"{given.connections} connections at the same time")
        for way, port in ports.items():
            spent = cpu_seconds(pids[way]) if way in pids else 0.0
            took = together(way, port, given.calls * 2, given.connections)
            cpu = (
                f", CPU {(cpu_seconds(pids[way]) - spent) / given.calls / 2 * 1000:.2f} ms a call"
                if way in pids
                else ""
            )
            print(f"{way:<16} {given.calls * 2 / took:7.0f} calls a second{cpu}")


if __name__ == "__main__":
    main()
