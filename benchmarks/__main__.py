"""Runs benchmarks: `python -m benchmarks` lists them, `python -m benchmarks NAME...` runs some, `all` runs all.

Each prints ratios against a peer or a naive version measured in the same process or the same run: absolute speeds
depend on the machine, ratios much less.
"""

from __future__ import annotations

import importlib
import pkgutil
import sys

import benchmarks


def main() -> None:
    names = sorted(found.name for found in pkgutil.iter_modules(benchmarks.__path__) if not found.name.startswith("_"))
    chosen = names if sys.argv[1:] == ["all"] else sys.argv[1:]
    unknown = [name for name in chosen if name not in names]
    if unknown or not chosen:
        for name in names:
            about = (importlib.import_module(f"benchmarks.{name}").__doc__ or "").strip().splitlines()
            print(f"{name:20} {about[0] if about else ''}")
        sys.exit(2 if unknown else 0)
    for name in chosen:
        module = importlib.import_module(f"benchmarks.{name}")
        print(f"\n== {name}")
        if not hasattr(module, "main"):
            print(f"several programs: {' '.join((module.__doc__ or '').split())}")
            continue
        sys.argv = [f"benchmarks.{name}"]  # a benchmark's own options are given with python -m benchmarks.NAME
        module.main()


if __name__ == "__main__":
    main()
