"""`hindcast export litellm | portkey | vllm`: a strategy as the configuration of the router that a team runs."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from cli.terminal.output import JsonOption, StoreOption, emit_json, note, write

StrategyArgument = Annotated[Path, typer.Argument(help="The strategy file.")]
OutputOption = Annotated[Path | None, typer.Option("-o", "--output", help="Where to write; without it, to stdout.")]


def register_export(group: typer.Typer) -> None:
    @group.command()
    def litellm(
        strategy: StrategyArgument,
        output: OutputOption = None,
        store: StoreOption = "hindcast.duckdb",
        as_json: JsonOption = False,
    ) -> None:
        """Write a strategy as a LiteLLM proxy config.yaml.

        Tags decide: one for each agent and task that the log knows.

        Example: hindcast export litellm combined.yaml -o config.yaml
        """
        _write("litellm", strategy, output, store, as_json)

    @group.command()
    def portkey(
        strategy: StrategyArgument,
        output: OutputOption = None,
        store: StoreOption = "hindcast.duckdb",
        as_json: JsonOption = False,
    ) -> None:
        """Write a strategy as a Portkey gateway config in JSON.

        Conditional routing on metadata and parameters.

        Example: hindcast export portkey combined.yaml -o portkey.json
        """
        _write("portkey", strategy, output, store, as_json)

    @group.command()
    def vllm(
        strategy: StrategyArgument,
        output: OutputOption = None,
        store: StoreOption = "hindcast.duckdb",
        as_json: JsonOption = False,
    ) -> None:
        """Write a strategy as a vLLM semantic-router config.yaml.

        Signals and decisions by priority.

        Example: hindcast export vllm combined.yaml -o config.yaml
        """
        _write("vllm", strategy, output, store, as_json)


def _write(target: str, path: Path, output: Path | None, store: str, as_json: bool) -> None:
    import importlib

    from analysis.formatting import count
    from ingest.store.address import open_store
    from replay import export
    from replay.strategy.schema import load

    router = importlib.import_module(f"replay.export.{target}")
    chosen = load(path)
    found = open_store(store)
    known = export.known_of(found) if found.exists() else export.Known()
    result = router.export(chosen, known)
    checked = export.check(chosen, result, router, export.sample(found, strategy=chosen)) if found.exists() else None
    if output:
        output.write_text(result.text, encoding="utf-8")
    if as_json:
        emit_json(
            {
                "target": target,
                "strategy": chosen.name,
                "path": str(output) if output else None,
                "dropped": list(result.dropped),
                "notes": list(result.notes),
                "checked_calls": checked.calls if checked else 0,
                "same_decisions": checked.same if checked else 0,
                "document": result.document,
            }
        )
        return
    if not output:
        write(result.text)
    for line in result.dropped:
        note(f"Not in the file: {line}")
    for line in result.notes:
        note(f"Note: {line}")
    if checked is None:
        note("No store, so nothing was checked: give --store to compare the decisions on logged calls.")
    else:
        note(
            f"Checked by an interpreter of its schema: {checked.same:,} of {count(checked.calls, 'logged call')} alike."
        )
        for line in checked.examples:
            note(f"  differs: {line}")
