"""What another model would have cost on the same questions, against what it did cost: tau2-bench, airline.

    python -m benchmarks.trust.behaviour CALLS.jsonl[.zst] [--folder STORES] [--fit]

Five priced models answered the same tasks, so "all calls of A to B" has a true answer: B's own bill on A's tasks, at
list prices without prompt caches. Unseen: the log holds only A's calls. Seen: it holds all runs. Held out: it holds A's
calls and B's on the other half of the tasks, and the half that B did not answer is moved. The priors and the scale of
the 80 % range are fitted on the other pairs alone: the pair and its reverse are left out. `--fit` prints the priors of
all pairs.
"""

from __future__ import annotations

import argparse
import io
import json
import math
import tempfile
from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from typing import Any, Final

import numpy as np

from analysis.ledger import ledger
from analysis.price_book.vocabulary import UNPRICED
from ingest.pipeline.run import ingest
from ingest.store.database import Store
from replay.engine.engine import Engine
from replay.engine.range_sums import range_of
from replay.engine.shared_results import Shared
from replay.estimates.behaviour import Priors, VendorPair, priors
from replay.strategy.schema import parse
from replay.traffic.load_traffic import load
from replay.traffic.traffic import Traffic

MAPPING: Final = Path(__file__).parents[2] / "sample_logs" / "mappings" / "tau2.yaml"
LEAST: Final = 9  # tasks that two runs share
NOMINAL: Final = 0.8
Call = dict[str, Any]


@dataclass(frozen=True)
class Pair:
    """All calls of one run's agent to another's model, and what that other run's cost on the same tasks, in dollars."""

    source: str
    target: str
    tasks: int
    traffic: Traffic
    truth: float
    model: str  # of the source
    calls: int
    differences: tuple[float, float, float]  # logs: calls per task, input and output per call
    workflow: str = "moved"

    @property
    def strategy(self) -> str:
        """Moves the calls of the workflow `moved`, or of the source's own in a log of all runs."""
        rule = f"{{match: {{agent: agent, workflow_name: {self.workflow}}}, model: {self.target}}}"
        return f"{{name: b, provider_cache: off, route: [{rule}]}}"

    def predict(self, known: Priors) -> tuple[float, float]:
        """(dollars of the moved calls, standard deviation of their log)."""
        known = known.model_copy(update={"scale_unseen": 1.0, "scale_seen": 1.0})
        engine = Engine(self.traffic, parse(self.strategy), SHARED.setdefault(id(self.traffic), Shared()), priors=known)
        moved = engine.routed(engine.everything) != self.traffic.model
        mid = engine.evaluate(engine.everything).cost_pico[moved]
        assert (mid != UNPRICED).all()
        return float(mid.sum()) / 1e12, math.log(range_of(engine, "high", moved) / float(mid.sum()))


def calls_of(path: Path) -> list[Call]:
    if path.suffix == ".zst":
        import zstandard

        with path.open("rb") as raw:
            text = io.TextIOWrapper(zstandard.ZstdDecompressor().stream_reader(raw), "utf-8")
            return [json.loads(line) for line in text]
    return [json.loads(line) for line in path.read_text("utf-8").splitlines()]


FOLDER: list[Path] = []
SHARED: dict[int, Shared] = {}  # by traffic: what all predictions over it need once


def traffic_of(calls: Iterable[Call], name: str) -> Traffic:
    """The traffic of some calls, from the store of this name where the folder has it already."""
    store = Store(FOLDER[0] / f"{name}.duckdb")
    if not store.exists():
        log = FOLDER[0] / f"{name}.jsonl"
        log.write_text("".join(json.dumps(call) + "\n" for call in calls))
        ingest(store, [log], mapping=MAPPING, workers=1)
        ledger.update(store)
    return load(store)


class Runs:
    """The agent's calls of each run with a priced model, by task."""

    def __init__(self, calls: Sequence[Call]) -> None:
        self.calls = calls
        self.model: dict[str, str] = {}
        self.agent: dict[str, dict[str, list[Call]]] = {}
        for run in sorted({call["run"] for call in calls}):
            mine = [call for call in calls if call["run"] == run and call["agent"] == "agent"]
            model = Counter(call["model"] for call in mine).most_common(1)[0][0]
            if model.startswith("ollama"):
                continue  # without a price
            self.model[run] = model
            tasks: dict[str, list[Call]] = defaultdict(list)
            for call in mine:
                if call["model"] == model:
                    tasks[call["task_id"]].append(call)
            self.agent[run] = dict(tasks)
        self.whole = traffic_of(calls, "whole")
        session = self.whole.rule_frame(["conversation_id"])["conversation_id"].to_list()
        asks = self.whole.agent == self.whole.agents.index("agent")
        self.bill: dict[str, int] = defaultdict(int)  # pico-dollars of the agent by session
        for number in np.flatnonzero(asks & (self.whole.cost != UNPRICED)).tolist():
            self.bill[session[number]] += int(self.whole.cost[number])

    def pairs(self) -> list[tuple[str, str, list[str]]]:
        found = []
        for source in self.model:
            for target in self.model:
                shared = sorted(set(self.agent[source]) & set(self.agent[target]))
                if source != target and len(shared) >= LEAST:
                    found.append((source, target, shared))
        return found

    def of(self, run: str, tasks: Iterable[str]) -> list[Call]:
        return [call for task in tasks for call in self.agent[run][task]]

    def name(self, run: str) -> str:
        return self.model[run].removeprefix("azure/")

    def make(self, source: str, target: str, tasks: list[str], log: list[Call] | None, name: str) -> Pair:
        before, after = self.of(source, tasks), self.of(target, tasks)
        each = [
            (
                len(calls),
                *(sum(call["usage"][kind] for call in calls) for kind in ("prompt_tokens", "completion_tokens")),
            )
            for calls in (before, after)
        ]
        (n, i, o), (m, j, p) = each
        logs = math.log(m / n), math.log(j / m * n / i), math.log(p / m * n / o)
        truth = sum(self.bill[session] for session in {call["session_id"] for call in after}) / 1e12
        if log is None:
            return Pair(source, self.name(target), len(tasks), self.whole, truth, self.name(source), n, logs, source)
        moved = {call["call_id"] for call in before}
        named = [{**call, "run": "moved"} if call["call_id"] in moved else call for call in log]
        return Pair(source, self.name(target), len(tasks), traffic_of(named, name), truth, self.name(source), n, logs)


def unseen(runs: Runs) -> list[Pair]:
    return [
        runs.make(a, b, tasks, runs.of(a, tasks), f"unseen-{number}")
        for number, (a, b, tasks) in enumerate(runs.pairs())
    ]


def seen(runs: Runs) -> list[Pair]:
    """All runs in the log; pairs whose target answered every task of the source."""
    return [
        runs.make(a, b, tasks, None, f"seen-{number}")
        for number, (a, b, tasks) in enumerate(runs.pairs())
        if len(tasks) == len(runs.agent[a])
    ]


def held_out(runs: Runs) -> list[Pair]:
    """Either half of the tasks of each pair, the target seen on all tasks but these."""
    found = []
    for number, (a, b, tasks) in enumerate(runs.pairs()):
        for half in (0, 1):
            chosen = [task for task in tasks if sha256(task.encode()).digest()[0] % 2 == half]
            others = [task for task in runs.agent[b] if task not in chosen]
            if len(chosen) >= 5 and len(others) >= 5:
                log = [*runs.of(a, runs.agent[a]), *runs.of(b, others)]
                found.append(runs.make(a, b, chosen, log, f"held-{number}-{half}"))
    return found


def fitted(differences: Sequence[Pair], known: Priors) -> Priors:
    """The spreads between models from some pairs; the shares of tasks and of unknown vendors stay."""
    calls, growth, output = (np.array([pair.differences[k] for pair in differences]) for k in range(3))
    vendors = [(known.vendor(pair.model), known.vendor(pair.target)) for pair in differences]
    many = np.mean([1 - pair.tasks / pair.calls for pair in differences])
    rows, rest = [], growth.copy()
    for between in sorted({tuple(sorted(map(str, one))) for one in vendors if one[0] != one[1]}, reverse=True):
        mine = np.array([tuple(sorted(map(str, one))) == between for one in vendors])
        sign = np.array([1.0 if one == between[::-1] else -1.0 for one in vendors])
        mean = float((sign * growth)[mine].mean())
        rest[mine] = (sign * growth)[mine] - mean
        spread = float(np.sqrt((rest[mine] ** 2).mean()))
        rows.append(VendorPair(between=(between[1], between[0]), log_ratio=mean, spread=spread))
    return known.model_copy(
        update={
            "calls": float(np.sqrt((calls**2).mean()) / many),
            "growth": float(np.sqrt((rest**2).mean()) / many),
            "output": float(np.sqrt((output**2).mean())),
            "tools": tuple(rows),
        }
    )


def scale(pairs: Sequence[Pair], known: Priors, *, by_model: bool) -> float:
    """Standard deviations that hold NOMINAL of the pairs, by split conformal prediction (Lei et al., 2018).

    `by_model`: of the models, each scored by its worst pair: where nothing is known of a model, its pairs err alike.
    """
    scores: dict[object, float] = {}
    for number, pair in enumerate(pairs):
        mid, spread = pair.predict(known)
        unit = pair.target if by_model else number
        scores[unit] = max(scores.get(unit, 0.0), abs(math.log(pair.truth / mid)) / spread)
    place = min(math.ceil((len(scores) + 1) * NOMINAL), len(scores)) - 1
    return max(sorted(scores.values())[place], 1.2816)


def left_out(pair: Pair, pairs: Sequence[Pair]) -> list[Pair]:
    """All pairs but this one and its reverse, whichever tasks."""
    both = {pair.model, pair.target}
    return [one for one in pairs if {one.model, one.target} != both]


def report(name: str, pairs: Sequence[Pair], models: Sequence[Pair], *, by_model: bool) -> None:
    inside, errors, widths = 0, [], []
    fits: dict[frozenset[str], tuple[Priors, float]] = {}
    print(f"\n{name}: {len(pairs)} pairs")
    for pair in pairs:
        both = frozenset((pair.model, pair.target))
        if both not in fits:
            known = fitted(left_out(pair, models), priors())
            fits[both] = known, scale(left_out(pair, pairs), known, by_model=by_model)
        known, wide = fits[both]
        mid, spread = pair.predict(known)
        low, high = mid * math.exp(-wide * spread), mid * math.exp(wide * spread)
        hit = low <= pair.truth <= high
        inside += hit
        errors.append(abs(mid / pair.truth - 1))
        widths.append(high / low)
        print(
            f"  {pair.model:>18} -> {pair.target:<18} {pair.tasks:>3} tasks  {mid:7.2f} ({low:.2f} to {high:.2f})"
            f"  true {pair.truth:7.2f}  {mid / pair.truth - 1:+5.0%}  {'inside' if hit else 'OUTSIDE'}"
        )
    print(
        f"  inside the 80 % range: {inside} of {len(pairs)}; error median {np.median(errors):.1%},"
        f" mean {np.mean(errors):.1%}; high over low: median {np.median(widths):.2f}"
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("calls", type=Path)
    parser.add_argument("--fit", action="store_true")
    parser.add_argument("--folder", type=Path, help="keeps the stores, so that a second run need not make them")
    args = parser.parse_args()
    FOLDER.append(args.folder or Path(tempfile.mkdtemp(prefix="behaviour-")))
    runs = Runs(calls_of(args.calls))
    alone, everything, halves = unseen(runs), seen(runs), held_out(runs)
    if args.fit:
        known = fitted(alone, priors())
        update = {
            "scale_unseen": scale(alone, known, by_model=True),
            "scale_seen": scale(halves, known, by_model=False),
        }
        for key, value in known.model_copy(update=update).model_dump().items():
            if key not in ("vendors", "between_tasks", "unknown_tools", "unknown_plain"):
                print(key, value)
        return
    report("target unseen", alone, alone, by_model=True)
    report("target seen, all runs in the log", everything, alone, by_model=False)
    report("target seen, held out", halves, alone, by_model=False)


if __name__ == "__main__":
    main()
