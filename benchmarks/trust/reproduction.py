"""What the gate before a projection says of a store: how well the simulation reproduces what was logged.

python -m benchmarks.trust.reproduction STORE...
"""

from __future__ import annotations

import argparse
from pathlib import Path

from ingest.store.database import Store
from replay.engine.engine import Engine
from replay.engine.reproduction import reproductions
from replay.strategy.schema import parse
from replay.traffic.load_traffic import load


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("stores", nargs="+", type=Path)
    for path in parser.parse_args().stores:
        found = reproductions(Engine(load(Store(path)), parse("{name: logged}")))
        print(path.name if found else f"{path.name}: nothing to check: no cached tokens and no gateway hits are logged")
        for one in found:
            print(f"  {one.verdict:<9} {one.calls:>6} calls  {one.reason}")


if __name__ == "__main__":
    main()
