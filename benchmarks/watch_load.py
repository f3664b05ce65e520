"""`hindcast watch --listen` under load: nothing lost against the sender's count, through kills, and the alert's delay.

Calls are sent as OTLP spans in protobuf, in batches as an SDK makes them, with a retry where no answer comes, as the
specification asks of senders. Before the load the store gets nine days of history, a row of weight for each ten
minutes. At --step-at one agent's prompts grow. At the end every call that was sent must be in the store once.
"""

from __future__ import annotations

import argparse
import http.client
import json
import os
import random
import re
import resource
import signal
import subprocess
import sys
import tempfile
import threading
import time
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, ClassVar

from ingest.store.database import Store

ROOT = Path(__file__).resolve().parents[1]
AGENTS = (("draft", 0.5), ("review", 0.3), ("plan", 0.2))
TOKENS = 1000


def history(path: Path, rate: float, days: int, end: datetime) -> None:
    """What the agents cost before, in rows that stand for the calls of ten minutes."""
    rng = random.Random(1)
    at = end - timedelta(days=days)
    at -= timedelta(minutes=at.minute % 10, seconds=at.second, microseconds=at.microsecond)
    with path.open("w") as handle:
        while at < end:
            span = min(timedelta(minutes=10), end - at).total_seconds()
            for agent, part in AGENTS:
                line = {
                    "hindcast": 1, "call_id": f"{agent}-{at}", "start_time": at.isoformat() + "Z",
                    "request_model": "gpt-4o", "provider_name": "openai", "agent": agent, "input_tokens": TOKENS,
                    "output_tokens": 100, "weight": round(rate * part * span * rng.uniform(0.95, 1.05), 3),
                }  # fmt: skip
                handle.write(json.dumps(line) + "\n")
            at += timedelta(minutes=10)


@dataclass
class Sender:
    """Sends `rate` calls a second in batches through several connections; `sent` are those that were answered 200."""

    port: int
    rate: float
    batch: int
    seconds: float
    step_at: float
    factor: float
    threads: int = 4
    answered: int = 0
    retries: int = 0
    refused: int = 0
    waits: list[float] = field(default_factory=list)
    lock: threading.Lock = field(default_factory=threading.Lock)

    def run(self) -> None:
        """Send all, however long retries take."""
        workers = [threading.Thread(target=self._work, args=(number,)) for number in range(self.threads)]
        for worker in workers:
            worker.start()
        for worker in workers:
            worker.join()

    def _work(self, number: int) -> None:
        rng = random.Random(number)
        began = time.monotonic()
        pause = self.batch * self.threads / self.rate
        turn = 0
        connection: http.client.HTTPConnection | None = None
        while (due := turn * pause) < self.seconds:
            time.sleep(max(0.0, began + due - time.monotonic()))
            body = self._body(rng, number, turn, stepped=due >= self.step_at)
            first = time.monotonic()
            while True:
                try:
                    connection = connection or http.client.HTTPConnection("127.0.0.1", self.port, timeout=30)
                    connection.request("POST", "/v1/traces", body, {"content-type": "application/x-protobuf"})
                    answer = connection.getresponse()
                    answer.read()
                    if answer.status == 200:
                        break
                    with self.lock:
                        self.refused += 1
                    assert answer.status in (429, 503), answer.status
                    time.sleep(min(1.0, float(answer.headers.get("retry-after") or 1)))
                except (OSError, http.client.HTTPException):
                    time.sleep(0.2)
                connection = None
                with self.lock:
                    self.retries += 1
            with self.lock:
                self.answered += self.batch
                self.waits.append(time.monotonic() - first)
            turn += 1

    def _body(self, rng: random.Random, number: int, turn: int, *, stepped: bool) -> bytes:
        from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

        request = ExportTraceServiceRequest()
        group = request.resource_spans.add()
        scope = group.scope_spans.add()
        scope.scope.name = "opentelemetry.instrumentation.openai_v2"
        for place in range(self.batch):
            agent = rng.choices([name for name, _ in AGENTS], [part for _, part in AGENTS])[0]
            now = time.time_ns()
            span = scope.spans.add(
                trace_id=rng.randbytes(16), span_id=rng.randbytes(8), name="chat gpt-4o",
                start_time_unix_nano=now - 10**8, end_time_unix_nano=now,
            )  # fmt: skip
            tokens = TOKENS * (self.factor if stepped and agent == "draft" else 1)
            for key, value in {
                "gen_ai.operation.name": "chat", "gen_ai.provider.name": "openai", "gen_ai.request.model": "gpt-4o",
                "gen_ai.response.model": "gpt-4o", "gen_ai.response.id": f"r-{number}-{turn}-{place}",
                "gen_ai.agent.name": agent, "gen_ai.usage.input_tokens": int(tokens),
                "gen_ai.usage.output_tokens": 100,
            }.items():  # fmt: skip
                attribute = span.attributes.add(key=key)
                if isinstance(value, int):
                    attribute.value.int_value = value
                else:
                    attribute.value.string_value = value
        return request.SerializeToString()


class Hook(BaseHTTPRequestHandler):
    """Keeps notices with the time at which they came."""

    got: ClassVar[list[tuple[float, dict[str, Any]]]] = []

    def do_POST(self) -> None:
        body = json.loads(self.rfile.read(int(self.headers["content-length"])))
        self.got.append((time.time(), body))
        self.send_response(200)
        self.end_headers()

    def log_message(self, *_: Any) -> None:
        """Quiet."""


def start(folder: Path, port: int, log: Path) -> subprocess.Popen[str]:
    """The watch, once it listens."""
    process = subprocess.Popen(
        [sys.executable, "-m", "cli.app", "watch", "--listen", f"127.0.0.1:{port}", "--store", "s.duckdb",
         "--every", "2", "--metadata-only"],
        cwd=folder, text=True, stderr=subprocess.PIPE, stdout=subprocess.DEVNULL,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
    )  # fmt: skip
    assert process.stderr is not None
    stderr = process.stderr
    line = stderr.readline()
    assert re.search(r"Receiving OTLP", line), line

    def keep() -> None:
        with log.open("a") as handle:
            for text in stderr:
                handle.write(text)
                handle.flush()

    threading.Thread(target=keep, daemon=True).start()
    return process


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=float, default=60)
    parser.add_argument("--rate", type=float, default=200, help="calls a second")
    parser.add_argument("--batch", type=int, default=5, help="calls in one request")
    parser.add_argument("--kills", type=int, default=0, help="by signal 9, all before the step")
    parser.add_argument("--step-at", type=float, default=20, help="seconds after the start")
    parser.add_argument("--factor", type=float, default=20, help="of an agent's prompts, from the step on")
    parser.add_argument("--port", type=int, default=14318)
    given = parser.parse_args()
    folder = Path(tempfile.mkdtemp(prefix="watch-load-"))
    log = folder / "stderr.txt"
    hook = ThreadingHTTPServer(("127.0.0.1", 0), Hook)
    threading.Thread(target=hook.serve_forever, daemon=True).start()
    os.environ["HOOK"] = f"http://127.0.0.1:{hook.server_port}/"
    (folder / "hindcast.toml").write_text('[watch.channels.hook]\ntype = "webhook"\nurl_env = "HOOK"\n')
    history(folder / "history.jsonl", given.rate, 9, datetime.now(UTC).replace(tzinfo=None))
    ready = subprocess.run(
        [sys.executable, "-m", "cli.app", "ingest", "history.jsonl", "--store", "s.duckdb", "--metadata-only"],
        cwd=folder, check=True, capture_output=True, text=True, env={**os.environ, "PYTHONPATH": str(ROOT)},
    )  # fmt: skip
    print(ready.stdout.splitlines()[0])
    process = start(folder, given.port, log)
    sender = Sender(given.port, given.rate, given.batch, given.seconds, given.step_at, given.factor)
    began = time.time()
    sending = threading.Thread(target=sender.run)
    sending.start()
    killed = 0
    pause = given.step_at / (given.kills + 1)
    while sending.is_alive():
        sending.join(min(pause, max(0.0, began + (killed + 1) * pause - time.time())) if killed < given.kills else 1)
        if killed < given.kills and sending.is_alive():
            process.send_signal(signal.SIGKILL)
            process.wait()
            killed += 1
            process = start(folder, given.port, log)
    took = time.time() - began
    until = time.time() + 90
    while time.time() < until and not any(one["event"] == "alert" for _, one in Hook.got):
        time.sleep(1)
    process.send_signal(signal.SIGTERM)
    process.wait(120)
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    with Store(folder / "s.duckdb").read() as con:
        stored, distinct, priced = con.execute(
            """SELECT count(*), count(DISTINCT response_id), count(cost_usd) FROM costs
                WHERE response_id LIKE 'r-%'"""
        ).fetchall()[0]
        alone, parts = con.execute("SELECT count(*) FILTER (state <> 'part'), count(*) FROM watch_alerts").fetchall()[0]
    waits = sorted(sender.waits)
    print(f"sent and answered {sender.answered:,} in {took:.0f} s ({sender.answered / took:.0f} a second), "
          f"{sender.retries} retries, {sender.refused} refused, {killed} kills")  # fmt: skip
    middle, late = (waits[int(len(waits) * part)] * 1000 for part in (0.5, 0.99))
    print(f"answer after {middle:.0f} ms (median), {late:.0f} ms (99 %), {waits[-1]:.1f} s at most")
    print(f"CPU {used.ru_utime + used.ru_stime:.0f} s, peak memory {used.ru_maxrss / 1024:.0f} MB")
    right = stored == distinct == priced == sender.answered
    print(f"in the store {stored:,} calls, {distinct:,} distinct, {priced:,} priced: "
          f"{'nothing lost, nothing twice' if right else 'WRONG'}")  # fmt: skip
    for at, notice in Hook.got:
        print(f"{at - began - given.step_at:+.0f} s after the step: {notice['event']}: {notice['title']}")
    print(f"{alone} episodes, {parts} alerts; {len({one['id'] for _, one in Hook.got})} notices, {len(Hook.got)} sent")
    print(log.read_text()[-600:] if log.exists() else "")


if __name__ == "__main__":
    main()
