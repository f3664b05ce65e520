"""`hindcast strategy`: check strategy files without running them, and the JSON schema for editors."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from cli.terminal.output import DEFAULT_STORE, JsonOption, StoreOption, emit_json, note, say, table


def register(app: typer.Typer) -> None:
    group = typer.Typer(help="Check strategy files, and print their schema.", no_args_is_help=True)

    @group.command()
    def check(
        files: Annotated[list[Path], typer.Argument(help="Strategy files.")],
        store: StoreOption = DEFAULT_STORE,
        as_json: JsonOption = False,
    ) -> None:
        """Check strategy files, and say what they declare.

        The first mistake is an error with its line. Where there is a store, rules, models and tasks that match nothing
        in it are named.

        Example: hindcast strategy check strategies/*.yaml
        """
        from ingest.store.database import Store
        from replay.engine.unmatched import unmatched_in
        from replay.stages.rule_evaluation import targets
        from replay.strategy.schema import load_all

        found = load_all(files)
        held = Path(store).exists()
        idle = unmatched_in(Store(store), [one for _, one in found]) if held else [() for _ in found]
        if as_json:
            emit_json(
                [
                    {
                        "path": str(path),
                        "name": one.name,
                        "stages": list(one.stages()),
                        "models": targets(one),
                        "compared_with": store if held else None,
                        "unmatched": [name.to_json() for name in names],
                    }
                    for (path, one), names in zip(found, idle, strict=True)
                ]
            )
            return
        for (path, one), names in zip(found, idle, strict=True):
            stages = ", ".join(one.stages()) or "nothing"
            models = f"; models {', '.join(targets(one))}" if one.route else ""
            say(f"{path}: '{one.name}' declares {stages}{models}")
            for name in names:
                say(f"  {name.words}", style="yellow")
        if not held:
            note(f"Not compared with a log: there is no {store}")

    @group.command()
    def schema() -> None:
        """Print the JSON schema of a strategy file, for editors.

        Example: hindcast strategy schema > strategy.schema.json
        """
        from replay.strategy.schema import schema as document

        emit_json(document())

    @group.command()
    def priors(as_json: JsonOption = False) -> None:
        """List the public benchmarks that a strategy may name as evidence.

        With source and date; they are the weakest evidence.

        Example: hindcast strategy priors
        """
        from replay.strategy.public_benchmarks import benchmarks

        found = benchmarks().values()
        if as_json:
            emit_json(
                [
                    {
                        "benchmark": one.name,
                        "what": one.what,
                        "source": one.source,
                        "licence": one.licence,
                        "results": [
                            {"models": list(r.models), "quality": r.quality, "n": r.n, "date": r.day.isoformat()}
                            for r in one.results
                        ],
                    }
                    for one in found
                ]
            )
            return
        for one in found:
            say(f"{one.name}: {one.what}", style="bold")
            say(f"From {one.source} ({one.licence}).")
            say()
            table(
                ["model", "quality", "n", "date"],
                [
                    [r.models[0], f"{r.quality:.3f}", f"{r.n:,}", r.day.isoformat()]
                    for r in sorted(one.results, key=lambda r: -r.quality)
                ],
                left=(0,),
            )
        say()
        say("Use one: quality: {priors: [{benchmark: aider-polyglot, task: 'code*'}]}")
        say("It is shown, and counts only with accept_priors: true. Your own scores come first: hindcast shadow.")

    app.add_typer(group, name="strategy")
