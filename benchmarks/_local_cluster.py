"""An object store, a Dask scheduler and two workers on this machine, for trying a lake on a cluster.

    python -m benchmarks._local_cluster        starts them, prints what to type, and ends them with Ctrl-C

The object store is moto's server (in memory, no authentication): for trying only. All listen on 127.0.0.1 alone.
Needs `pip install 'llm-hindcast[cluster]' 'moto[server]'`.
"""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from contextlib import suppress
from types import TracebackType
from typing import Self

BUCKET = "hindcast"


class LocalS3:
    """The object store, and the environment that reaches it."""

    def __init__(self) -> None:
        port = free_port()
        self.environment = {
            "AWS_ENDPOINT_URL": f"http://127.0.0.1:{port}",
            "AWS_ACCESS_KEY_ID": "local", "AWS_SECRET_ACCESS_KEY": "local",
            "AWS_DEFAULT_REGION": "us-east-1",
        }  # fmt: skip
        self._s3 = self._start("moto.server", "-H", "127.0.0.1", "-p", str(port))

    def __enter__(self) -> Self:
        url = f"{self.environment['AWS_ENDPOINT_URL']}/{BUCKET}"
        deadline = time.monotonic() + 120
        while True:
            with suppress(urllib.error.URLError, ConnectionError):
                urllib.request.urlopen(urllib.request.Request(url, method="PUT"))
                break
            if time.monotonic() > deadline or self._s3.poll() is not None:
                raise SystemExit("the object store does not start: pip install 'moto[server]'")
            time.sleep(0.2)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._s3.kill()

    def _start(self, module: str, *arguments: str) -> subprocess.Popen[bytes]:
        own = {
            **os.environ, **self.environment, "DASK_DISTRIBUTED__SCHEDULER__ALLOWED_FAILURES": "10",
            "DASK_DISTRIBUTED__WORKER__PREEXEC_ENVIRON__OMP_NUM_THREADS": "1",
        }  # fmt: skip
        return subprocess.Popen(
            [sys.executable, "-m", module, *arguments], env=own, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
        )


class LocalCluster(LocalS3):
    """The object store, a scheduler and its workers."""

    def __init__(self, workers: int = 2) -> None:
        super().__init__()
        self.workers = workers
        self.port = free_port()
        self.scheduler = f"tcp://127.0.0.1:{self.port}"
        self._dask: list[subprocess.Popen[bytes]] = []

    def __enter__(self) -> Self:
        super().__enter__()
        self.start_dask()
        return self

    def start_dask(self) -> None:
        """Start the scheduler and its workers, instead of those that run."""
        self.end_dask()
        where = ("--host", "127.0.0.1", "--no-dashboard")
        scheduler = self._start("distributed.cli.dask_scheduler", *where, "--port", str(self.port))
        alone = ("--nworkers", "1", "--nthreads", "1", "--death-timeout", "60")
        made = [self._start("distributed.cli.dask_worker", self.scheduler, *where, *alone) for _ in range(self.workers)]
        self._dask = [scheduler, *made]

    def kill_scheduler(self) -> None:
        """End the scheduler as a machine that fails would."""
        self._dask[0].kill()
        self._dask[0].wait()

    def end_dask(self) -> None:
        """End scheduler and workers."""
        for process in self._dask:
            process.terminate()
        for process in self._dask:
            with suppress(subprocess.TimeoutExpired):
                process.wait(10)
            process.kill()
        self._dask = []

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.end_dask()
        super().__exit__(kind, error, trace)


def free_port() -> int:
    """A port that nothing listens on now."""
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        return int(found.getsockname()[1])


def main() -> None:
    with LocalCluster() as cluster:
        for name, value in cluster.environment.items():
            print(f"export {name}={value}")
        print(f"hindcast ingest LOGS --store s3://{BUCKET}/lake/ --on {cluster.scheduler}")
        print(f"hindcast cost --store s3://{BUCKET}/lake/")
        print("Ctrl-C ends it, and with it all that is stored.", flush=True)
        with suppress(KeyboardInterrupt):
            while True:
                time.sleep(3600)


if __name__ == "__main__":
    main()
