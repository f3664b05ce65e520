"""`hindcast export`: a group whose commands live in the modules `cli/logs/export_*.py`.

Each of those has `register_export(group)`, and adds its own commands; no list here names them.
"""

from __future__ import annotations

import importlib
import pkgutil

import typer

import cli.logs


def register(app: typer.Typer) -> None:
    group = typer.Typer(help="Write billing data and router configurations.", no_args_is_help=True)
    for found in sorted(pkgutil.iter_modules(cli.logs.__path__), key=lambda entry: entry.name):
        if found.name.startswith("export_"):
            importlib.import_module(f"cli.logs.{found.name}").register_export(group)
    app.add_typer(group, name="export")
