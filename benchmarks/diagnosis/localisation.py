"""Scores the likelihood scan on cases of one's own and on the public S and L cases: micro F1 of exact elements.

    python -m benchmarks.diagnosis.localisation --family S --cases 40
    python -m benchmarks.diagnosis.localisation --public DIR     (S.parquet, S_truth.csv, L.parquet, L_truth.csv)

Elements of any size are asked for: the sets hold true ones that are 3e-7 of what moved.
Timed: the call of `localise` alone, CPU seconds of one thread, after one call that compiles the kernel.
"""

from __future__ import annotations

import argparse
import csv
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from benchmarks.diagnosis.leaf_family import FAMILIES, Case, case
from benchmarks.diagnosis.likelihood_scan import localise


def public_cases(folder: Path, name: str) -> Iterator[Case]:
    """The cases of `<name>.parquet` with their injected elements."""
    import polars as pl

    frame = pl.read_parquet(folder / f"{name}.parquet")
    with (folder / f"{name}_truth.csv").open() as handle:
        truth = {int(row["timestamp"]): row["set"] for row in csv.DictReader(handle)}
    attributes = [a for a in frame.columns if a not in ("case_id", "real", "predict")]
    for number, label in truth.items():
        rows = frame.filter(pl.col("case_id") == number)
        codes = [rows[a].str.slice(1).cast(pl.Int32).to_numpy() for a in attributes]
        elements = {
            frozenset((attributes.index(part.split("=")[0]), int(part.split("=")[1][1:])) for part in one.split("&"))
            for one in label.split(";")
        }
        yield Case(codes, rows["real"].to_numpy(), rows["predict"].to_numpy(), elements)


def score(cases: Iterator[Case] | list[Case], *, show: bool = False, **settings: float) -> dict[str, float]:
    """Micro F1 of exact elements over the cases, and the mean CPU seconds of one."""
    hits = extra = missed = count = 0
    spent = 0.0
    for one in cases:
        start = time.process_time()
        found = {
            frozenset(element.values.items())
            for element in localise(one.codes, one.actual, one.expected, least_share=0.0, **settings)
        }
        spent += time.process_time() - start
        hits += len(found & one.truth)
        extra += len(found - one.truth)
        missed += len(one.truth - found)
        count += 1
        if show and found != one.truth:
            print("missed", [sorted(e) for e in one.truth - found], "extra", [sorted(e) for e in found - one.truth])
    return {
        "cases": count,
        "f1": 2 * hits / max(2 * hits + extra + missed, 1),
        "precision": hits / max(hits + extra, 1),
        "recall": hits / max(hits + missed, 1),
        "cpu_s": spent / max(count, 1),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--family", choices=sorted(FAMILIES), action="append")
    parser.add_argument("--cases", type=int, default=30)
    parser.add_argument("--first-seed", type=int, default=0)
    parser.add_argument("--public", type=Path)
    parser.add_argument("--show", action="store_true")
    args = parser.parse_args()
    warm = np.arange(4, dtype=np.int32)
    localise([warm, warm[::-1]], np.ones(4), np.ones(4))
    if args.public:
        for name in ("S", "L"):
            print("public", name, score(public_cases(args.public, name), show=args.show))
    for name in args.family or ([] if args.public else ["S", "L"]):
        seeds = range(args.first_seed, args.first_seed + args.cases)
        print("generated", name, score((case(FAMILIES[name], seed) for seed in seeds), show=args.show))


if __name__ == "__main__":
    main()
