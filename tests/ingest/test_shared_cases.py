"""Logs from public bug reports that were read wrong once, each with its right sums; skipped where they are absent.

`cases/gateways/EXPECTED.tsv` gives the sums over a file's calls as JSON, `cases/agents/EXPECTED.tsv` calls and dollars.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from decimal import Decimal
from pathlib import Path

import pytest

from analysis.ledger.costs_view import costs_relation
from analysis.ledger.ledger import update
from ingest.detect.draft_mapping import draft_mapping
from ingest.errors import InputError
from ingest.pipeline.run import ingest
from ingest.store.database import Store

CASES = Path(os.environ.get("HINDCAST_CASES", Path(__file__).resolve().parents[3] / "shared" / "cases"))
NEAR = Decimal("1e-9")


def expected() -> Iterator[tuple[Path, dict[str, str]]]:
    for kind in ("gateways", "agents"):
        table = CASES / kind / "EXPECTED.tsv"
        if not table.is_file():
            continue
        for line in table.read_text("utf-8").splitlines()[1:]:
            name, *cells = line.split("\t")
            if kind == "gateways":
                sums = json.loads(cells[1])
            else:
                sums = {key: value for key, value in zip(("calls", "cost_usd"), cells, strict=False) if value}
            if sums and (CASES / kind / name).exists():
                yield CASES / kind / name, sums


EXPECTED = list(expected())


@pytest.mark.data
@pytest.mark.skipif(not EXPECTED, reason=f"the cases are not at {CASES} (set HINDCAST_CASES)")
@pytest.mark.parametrize(("path", "sums"), EXPECTED, ids=[f"{p.parent.name}/{p.name}" for p, _ in EXPECTED])
def test_a_log_of_a_public_report_is_read_right(path: Path, sums: dict[str, str], tmp_path: Path) -> None:
    store = Store(tmp_path / "s.duckdb")
    try:
        ingest(store, [path], workers=1)
    except InputError as error:  # a layout of somebody's own: through the mapping that the message offers to draft
        if "mapping init" not in str(error):
            raise
        mapping = tmp_path / "mapping.yaml"
        mapping.write_text(draft_mapping(path))
        ingest(store, [path], workers=1, mapping=mapping)
    update(store)
    columns = [name for name in sums if name != "calls"]
    wanted = ", ".join(["count(*)", *(f"sum({column})" for column in columns)])
    with store.read() as con:
        row = con.execute(f"SELECT {wanted} FROM {costs_relation(con)}").fetchone()
    found = dict(zip(["calls", *columns], row or (), strict=True))
    for name, value in sums.items():
        if value == "None":
            assert found[name] is None, name
        else:
            assert found[name] is not None, name
            assert abs(Decimal(found[name]) - Decimal(value)) <= NEAR, name
