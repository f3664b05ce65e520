"""`hindcast strategy`: draft, list, check and explain strategy files without running them."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from analysis.formatting import count
from cli.terminal.options import STRATEGIES, Since, Until, Where, between, selected_store
from cli.terminal.output import DEFAULT_STORE, JsonOption, StoreOption, emit_json, note, progress, say, table


def _complete_key(typed: str) -> list[str]:
    from replay.strategy.key_reference import words

    return [word for word in words() if word.startswith(typed)]


def register(app: typer.Typer) -> None:
    group = typer.Typer(help="Draft, list, check and explain strategy files.", no_args_is_help=True)

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
        from ingest.store.address import open_store
        from replay.engine.unmatched import unmatched_in
        from replay.stages.rule_evaluation import targets
        from replay.strategy.schema import load_all

        found = load_all(files)
        held = open_store(store).exists()
        idle = unmatched_in(open_store(store), [one for _, one in found]) if held else [() for _ in found]
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
    def init(
        to: Annotated[Path, typer.Option("--to", metavar="FOLDER", help="Where the files are written.")] = STRATEGIES,
        quality_floor: Annotated[float, typer.Option(help="The floor of the drafts.", callback=between(0, 2))] = 0.95,
        since: Since = None,
        until: Until = None,
        where: Where = None,
        force: Annotated[bool, typer.Option("--force", help="Overwrite drafts that are there.")] = False,
        store: StoreOption = DEFAULT_STORE,
        as_json: JsonOption = False,
    ) -> None:
        """Draft three to five strategies from what the log holds.

        Its agents and tasks, today's cheaper siblings of its models, caches where requests repeat, compression where it
        pays, routes that its scores show to keep the floor: each line with the evidence behind it.

        Example: hindcast strategy init --since 2024-03-05
        """
        from ingest.errors import InputError
        from replay.drafting.drafts import drafts

        with progress("Drafting", unit="policies") as bar:
            found = drafts(
                selected_store(store, where), floor=quality_floor, since=since, until=until,
                done=lambda _label: bar.advance(1),
            )  # fmt: skip
        files = {to / f"draft-{one.slug}.yaml": one for one in found}
        there = [path for path in files if path.exists()]
        if there and not force:
            raise InputError(
                f"{there[0]} is there already", remedy="Overwrite drafts with --force, or name another --to."
            )
        to.mkdir(parents=True, exist_ok=True)
        for path, one in files.items():
            path.write_text(one.text(), encoding="utf-8")
        if as_json:
            emit_json({"drafts": [{"path": str(path), "name": one.name, "heading": one.heading[-1], "strategy":
                                   one.strategy().document()} for path, one in files.items()]})  # fmt: skip
            return
        say(f"{count(len(files), 'draft')} in {to}, each line with its evidence:", style="bold")
        say()
        for path, one in files.items():
            say(f"{path}: {one.description}")
            say(f"  {one.heading[-1]}")
        if not files:
            say("The log holds nothing to draft from: no cheaper sibling, no repeat, nothing to compress.")
        say()
        say(f"Next: hindcast replay{'' if to == STRATEGIES else f' {to}'}   ·   hindcast strategy explain KEY")

    @group.command("list")
    def list_strategies(as_json: JsonOption = False) -> None:
        """List the strategy files at hand: those of ./strategies and the demo's.

        Example: hindcast strategy list
        """
        import sample_logs
        from ingest.errors import StrategyError
        from replay.strategy.schema import load

        own = sorted(STRATEGIES.glob("*.y*ml")) if STRATEGIES.is_dir() else []
        found: list[dict[str, Any]] = []
        for path, whose in [*((path, "yours") for path in own), *((path, "demo") for path in sample_logs.strategies())]:
            try:
                one = load(path)
                told = {"name": one.name, "stages": list(one.stages()), "description": one.description, "error": None}
            except StrategyError as error:
                told = {"name": None, "stages": [], "description": None, "error": str(error).splitlines()[0]}
            found.append({"path": str(path), "whose": whose, **told})
        if as_json:
            emit_json({"strategies": found})
            return
        say(f"{count(len(own), 'strategy file')} of yours in ./{STRATEGIES}.", style="bold")
        say()
        rows = [
            [entry["whose"], entry["name"] or "-", ", ".join(entry["stages"]) or "nothing", entry["path"]]
            for entry in found
        ]
        table(["whose", "name", "declares", "file"], rows, left=(0, 1, 2, 3))
        for entry in found:
            if entry["error"]:
                say(entry["error"], style="yellow")
        say()
        say("Run some: hindcast replay FILE...   ·   draft some from your log: hindcast strategy init")

    @group.command()
    def explain(
        key: Annotated[
            str | None, typer.Argument(help="A key, compressor, parameter or column.", autocompletion=_complete_key)
        ] = None,
        as_json: JsonOption = False,
    ) -> None:
        """Say what a key of a strategy file means, with a line to copy.

        A key, a compressor, one of its parameters, or a column of match; without one, all of them.

        Example: hindcast strategy explain cache.tiers
        """
        from dataclasses import asdict

        from ingest.errors import InputError, did_you_mean
        from replay.strategy import key_reference

        if key is None:
            known = key_reference.everything()
        else:
            known = key_reference.explain(key)
            if not known:
                remedy = did_you_mean(key, key_reference.words())
                near = remedy if remedy.startswith("Did") else "All of them: hindcast strategy explain"
                raise InputError(f"a strategy file has no '{key}'", remedy=near)
        if as_json:
            emit_json({"found": [asdict(one) for one in known]})
        elif key is None:
            table(["what", "kind", "means"], [[one.path, one.kind, one.about] for one in known], left=(0, 1, 2))
        else:
            for one in known:
                say(f"{one.path} ({one.kind})", style="bold")
                say(f"  {one.about}" + (f"; {one.default} without it" if one.default else ""))
                if one.example:
                    say(f"  {one.example}")

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
