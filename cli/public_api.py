"""Hindcast in Python: explain a jump in the LLM bill, and replay your own traffic through other policies, offline.

    import hindcast

    store = hindcast.Store("calls.duckdb")
    hindcast.ingest(store, ["logs/*.jsonl"])
    hindcast.cost(store, by=["day", "agent"]).to_frame()
    hindcast.diagnose(store).summary
    hindcast.replay(store, ["routed.yaml"])["routed"].calls()

A result has `.summary`, `.to_frame()` (polars, dollars as Decimal), `.to_dict()` (the document of the command's
`--json`), and `.plot()` (plotly) where the dashboard has a picture. Money is in dollars, times are UTC, null is not
known. Errors are `hindcast.errors.HindcastError`, and say what to do.

Names are imported when first used. This file is installed as `hindcast.py`.
"""

from __future__ import annotations

import sys
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from cli.python_api.bill_forecast import forecast
    from cli.python_api.caching import cache_curve
    from cli.python_api.costs import calls, cost, ledger
    from cli.python_api.diagnosis import diagnose
    from cli.python_api.forecasts import backtest, optimize, verify
    from cli.python_api.log_ingest import ingest
    from cli.python_api.reports import report
    from cli.python_api.store import Store
    from cli.python_api.strategies import replay
    from ingest import errors
    from ingest.capture import context, record
    from replay.live.apply import apply
    from replay.strategy.schema import Strategy

__all__ = [
    "Store",
    "Strategy",
    "apply",
    "backtest",
    "cache_curve",
    "calls",
    "context",
    "cost",
    "diagnose",
    "errors",
    "forecast",
    "ingest",
    "ledger",
    "optimize",
    "record",
    "replay",
    "report",
    "verify",
]

_MODULES = {
    "Store": "cli.python_api.store",
    "Strategy": "replay.strategy.schema",
    "apply": "replay.live.apply",
    "backtest": "cli.python_api.forecasts",
    "cache_curve": "cli.python_api.caching",
    "calls": "cli.python_api.costs",
    "context": "ingest.capture",
    "cost": "cli.python_api.costs",
    "diagnose": "cli.python_api.diagnosis",
    "forecast": "cli.python_api.bill_forecast",
    "ingest": "cli.python_api.log_ingest",
    "ledger": "cli.python_api.costs",
    "optimize": "cli.python_api.forecasts",
    "record": "ingest.capture",
    "replay": "cli.python_api.strategies",
    "report": "cli.python_api.reports",
    "verify": "cli.python_api.forecasts",
}
_PACKAGES = ("ingest", "analysis", "replay", "dashboard", "cli", "sample_logs")


def __getattr__(name: str) -> Any:
    if name == "errors":
        value: Any = import_module("ingest.errors")
    elif name == "__version__":
        from importlib.metadata import version

        value = version("llm-hindcast")
    elif name in _MODULES:
        value = getattr(import_module(_MODULES[name]), name)
    else:
        raise AttributeError(f"module 'hindcast' has no attribute '{name}'")
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return [*__all__, "__version__"]


def _require_own_packages() -> None:
    """Raise ImportError where a module of the user's hides one of the packages that this one consists of.

    The packages lie beside this file, or in the folder of sys.path that an editable install names.
    """
    folders = [Path(__file__).parent, *(Path(entry or ".") for entry in sys.path)]
    home = next((folder for folder in folders if (folder / "cli" / "python_api").is_dir()), None)
    for name in _PACKAGES:
        try:
            spec = find_spec(name)
        except ValueError:  # a module without a spec stands in sys.modules
            spec = None
        found = Path(spec.origin) if spec and spec.origin else None
        if home is None or found is None or not found.is_relative_to(home.absolute()):
            where = found or getattr(sys.modules.get(name), "__file__", None) or "nowhere on sys.path"
            raise ImportError(
                f"hindcast needs its own package '{name}', and '{name}' is {where}. Rename that file or folder, or run "
                "Python from another folder.",
                name=name,
                path=str(where),
            )


_require_own_packages()
