"""`hindcast strategy`: check strategy files without running them, and the JSON schema for editors."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from cli.output import JsonOption, emit_json, say


def register(app: typer.Typer) -> None:
    group = typer.Typer(help="Check strategy files, and print their schema.", no_args_is_help=True)

    @group.command()
    def check(
        files: Annotated[list[Path], typer.Argument(help="Strategy files.")],
        as_json: JsonOption = False,
    ) -> None:
        """Read strategy files and say what they declare; the first mistake is an error with its line.

        Example: hindcast strategy check strategies/*.yaml
        """
        from replay.rules import targets
        from replay.strategy import load

        found = [(path, load(path)) for path in files]
        if as_json:
            emit_json(
                [
                    {"path": str(path), "name": one.name, "stages": list(one.stages()), "models": targets(one)}
                    for path, one in found
                ]
            )
            return
        for path, one in found:
            stages = ", ".join(one.stages()) or "nothing"
            models = f"; models {', '.join(targets(one))}" if one.route else ""
            say(f"{path}: '{one.name}' declares {stages}{models}")

    @group.command()
    def schema() -> None:
        """The JSON schema of a strategy file, for the completion of an editor.

        Example: hindcast strategy schema > strategy.schema.json
        """
        from replay.strategy import schema as document

        emit_json(document())

    app.add_typer(group, name="strategy")
