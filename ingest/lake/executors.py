"""Who runs the tasks of a stage. What a task makes lies in the lake; what it takes and returns is small plain data."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from importlib.metadata import PackageNotFoundError, version
from typing import Any, Final, Protocol, TypeVar

from ingest.errors import HindcastError, InputError, StoreError

R = TypeVar("R")
RETRIES: Final = 3  # of a task whose worker ended
_COMPARED: Final = ("llm-hindcast", "numba", "duckdb", "pyarrow", "genai-prices")


class Executor(Protocol):
    """Runs functions of this program, each given by its name in its module, over small items."""

    memory: int  # bytes that each of its workers may hold; 0: not told

    def map(self, work: Callable[[int], R], items: Sequence[int]) -> Iterator[R]:
        """The results, as they come. Raises what a task raises."""
        ...


class Here:
    """This process, one task after the other."""

    memory = 0

    def map(self, work: Callable[[int], R], items: Sequence[int]) -> Iterator[R]:
        """The results in the order of the items."""
        for item in items:
            yield work(item)


class Processes:
    """Processes of this machine, ended with this one."""

    memory = 0

    def __init__(self, workers: int) -> None:
        self.workers = workers

    def map(self, work: Callable[[int], R], items: Sequence[int]) -> Iterator[R]:
        """The results, as they come. Raises InputError where a process was ended from outside."""
        from concurrent.futures import as_completed
        from concurrent.futures.process import BrokenProcessPool

        from ingest.pipeline import workers as processes

        if len(items) < 2 or self.workers < 2:
            yield from Here().map(work, items)
            return
        with processes.pool(min(self.workers, len(items))) as pool:
            with processes.starting():
                futures = [pool.submit(work, item) for item in items]
            try:
                for future in as_completed(futures):
                    yield future.result()
            except BrokenProcessPool as error:
                raise InputError(
                    "a process of this ingest was ended from outside, perhaps for want of memory",
                    remedy="Nothing was committed. Run it again: finished tasks are not repeated. Fewer: --workers 1",
                ) from error
            finally:
                for future in futures:
                    future.cancel()


class OnDask:
    """The workers of a Dask cluster."""

    def __init__(self, client: Any) -> None:
        self._client = client
        workers = client.scheduler_info(n_workers=-1)["workers"]
        self.workers = len(workers)
        self.memory = min((one.get("memory_limit") or 0 for one in workers.values()), default=0)

    def map(self, work: Callable[[int], R], items: Sequence[int]) -> Iterator[R]:
        """The results, as they come. Raises StoreError where tasks end their workers or the scheduler is gone."""
        from concurrent.futures import CancelledError

        from distributed import as_completed
        from distributed.scheduler import KilledWorker

        futures = self._client.map(work, list(items), pure=False, retries=RETRIES)
        try:
            # each result is fetched as soon as it is there: what a lost worker held is not computed again
            for future, result in as_completed(futures, loop=self._client.loop, with_results=True):
                yield result
                future.release()
        except KilledWorker as error:
            raise StoreError(
                f"a task ended {RETRIES + 1} workers, most likely for want of memory; nothing was committed",
                remedy="Give the workers more memory, or make tasks smaller: hindcast store split --buckets MORE",
            ) from error
        except (CancelledError, OSError, RuntimeError) as error:
            if isinstance(error, HindcastError):
                raise
            raise StoreError(
                f"the cluster is gone: {str(error).splitlines()[0] if str(error) else type(error).__name__}",
                remedy="Nothing was committed. Run it again: finished tasks are not repeated.",
            ) from error
        finally:
            with suppress(Exception):
                self._client.cancel(futures)


@contextmanager
def executor(address: str | None, workers: int) -> Iterator[Executor]:
    """The workers of the cluster at an address, else processes of this machine.

    Raises InputError where the cluster cannot be reached, its package is not installed, or its workers run other
    versions than this program.
    """
    if address is None:
        yield Processes(workers)
        return
    try:
        from distributed import Client
    except ModuleNotFoundError as error:
        raise InputError(
            "running on a cluster needs a package that is not installed",
            remedy="Install it with: pip install 'llm-hindcast[cluster]'",
        ) from error
    try:
        client = Client(address, timeout=15, set_as_default=False)
    except (OSError, ValueError, TimeoutError) as error:
        raise InputError(
            f"no scheduler answers at {address}", remedy="Start one, on a private network: dask scheduler"
        ) from error
    with client:
        client.wait_for_workers(1, timeout=60)
        _compare(client.run(versions))
        yield OnDask(client)


def versions() -> dict[str, str]:
    """The versions on which results depend, of this process."""
    found = {}
    for name in _COMPARED:
        with suppress(PackageNotFoundError):
            found[name] = version(name)
    import ingest

    found["llm-hindcast"] = ingest.__version__
    return found


def _compare(workers: dict[str, dict[str, str]]) -> None:
    mine = versions()
    for worker, theirs in sorted(workers.items()):
        for name, known in mine.items():
            if theirs.get(name) != known:
                raise InputError(
                    f"worker {worker} runs {name} {theirs.get(name, 'not at all')}, this program {known}",
                    remedy="Install the same versions on the workers; no task was started.",
                )
