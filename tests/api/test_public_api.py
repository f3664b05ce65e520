"""The surface of the module `hindcast`: its names and signatures, and that importing it costs next to nothing."""

from __future__ import annotations

import inspect
import os
import shutil
import subprocess
import sys
from pathlib import Path
from types import ModuleType

import pytest

ROOT = Path(__file__).resolve().parents[2]
SIGNATURES = {
    "Store": "(path='hindcast.duckdb')",
    "Store.calls": "(self, *, where=None, since=None, until=None)",
    "Store.ledger": "(self, *, where=None, since=None, until=None)",
    "Strategy.load": "(path)",
    "Strategy.from_dict": "(document)",
    "apply": "(client, strategy, *, log='calls.jsonl', redis=None, prefix='hindcast:', text=True, include_usage=None)",
    "backtest": "(store, strategy=None, *, split, quality_floor=0.95, scores=None, since=None, until=None)",
    "cache_curve": "(store, *, since=None, until=None, key='canonical', temperature='always', tenant=None, "
    "sample=None)",
    "calls": "(store, *, where=None, since=None, until=None, order='cost', limit=20)",
    "context": "(**fields)",
    "cost": "(store, by=('day', 'model'), *, since=None, until=None, where=None, components=False, prices_of=None)",
    "diagnose": "(store, *, day=None, baseline=None, by=('agent', 'task'), metric='cost')",
    "forecast": "(store, *, growth=None, scenario=None, models=())",
    "ingest": "(store, paths, *, format=None, mapping=None, texts=True, metadata_only=False, redact=False, "
    "timezone='UTC', max_bad_ratio=None, match_formats=True, workers=None, wait=60.0, on=None)",
    "ledger": "(store, *, rebuild=False)",
    "optimize": "(store, *, quality_floor=0.95, models=None, base=None, scores=None, task_floors=None, "
    "max_models=None, latency_p95_ms=None, by_template=False, since=None, until=None, name='optimized')",
    "record": "(client, path='calls.jsonl', *, text=True, include_usage=None)",
    "replay": "(store, strategies, *, since=None, until=None, cold=False, scores=None)",
    "report": "(store, output='report.html', *, strategies=None, audience='everyone', day=None, since=None, "
    "until=None, by=None)",
    "verify": "(store, strategy, *, rollout, unit=None, control=None, since=None, until=None)",
}
NAMES = ["Store", "Strategy", "apply", "backtest", "cache_curve", "calls", "context", "cost", "diagnose", "errors",
         "forecast", "ingest", "ledger", "optimize", "record", "replay", "report", "verify"]  # fmt: skip
REPORTING = ["backtest", "cache_curve", "calls", "cost", "diagnose", "forecast", "ingest", "ledger", "optimize",
             "replay", "report", "verify"]  # fmt: skip


def test_the_names_are_these(hc: ModuleType) -> None:
    assert hc.__all__ == NAMES
    assert dir(hc) == sorted([*NAMES, "__version__"])
    for name in NAMES:
        assert getattr(hc, name) is not None
    with pytest.raises(AttributeError, match="no attribute 'diagnosis'"):
        hc.diagnosis  # noqa: B018


@pytest.mark.parametrize("name", SIGNATURES)
def test_a_signature_stays(name: str, hc: ModuleType) -> None:
    found: object = hc
    for part in name.split("."):
        found = getattr(found, part)
    assert callable(found)
    signature = inspect.signature(found)
    bare = [p.replace(annotation=p.empty) for p in signature.parameters.values()]
    assert str(signature.replace(parameters=bare, return_annotation=inspect.Signature.empty)) == SIGNATURES[name]


@pytest.mark.parametrize("name", REPORTING)
def test_a_function_says_what_it_takes_gives_and_raises(name: str, hc: ModuleType) -> None:
    function = getattr(hc, name)
    for part in ("Parameters:", "Returns:", "Raises:", "Example: hindcast."):
        assert part in function.__doc__, part
    taken = function.__doc__.split("Parameters:")[1].split("Returns:")[0]
    for parameter in inspect.signature(function).parameters:
        assert f" {parameter}" in taken, parameter


def test_importing_it_loads_nothing_heavy() -> None:
    script = f"""
import sys
sys.path.insert(0, {str(ROOT)!r})
before = set(sys.modules)
import importlib.util
spec = importlib.util.spec_from_file_location("hindcast", {str(ROOT / "cli" / "public_api.py")!r})
module = importlib.util.module_from_spec(spec)
spec.loader.exec_module(module)
print(*sorted(name for name in set(sys.modules) - before if "." not in name))
"""
    loaded = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True).stdout.split()
    assert not {"polars", "duckdb", "numpy", "typer", "plotly", "pyarrow", "ingest", "cli", "replay"} & set(loaded)


@pytest.mark.parametrize("hides", ["ingest.py", "analysis.py", "cli/__init__.py"])
def test_a_module_of_the_user_that_hides_a_package_is_named(hides: str, tmp_path: Path) -> None:
    installed, own = tmp_path / "site", tmp_path / "own"
    installed.mkdir()
    shutil.copy(ROOT / "cli" / "public_api.py", installed / "hindcast.py")
    (own / hides).parent.mkdir(parents=True)
    (own / hides).write_text("mine = True\n")
    script = own / "script.py"
    script.write_text("import hindcast\n")
    environment = {**os.environ, "PYTHONPATH": f"{installed}{os.pathsep}{ROOT}"}
    done = subprocess.run([sys.executable, script], env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 1
    last = done.stderr.strip().splitlines()[-1]
    assert last.startswith("ImportError: ")
    assert str(own / hides) in last
    (own / hides).unlink()
    subprocess.run([sys.executable, script], env=environment, check=True)
