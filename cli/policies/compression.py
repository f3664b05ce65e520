"""`hindcast compression`: what each compressor of a strategy is worth, and a prompt before and after."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from cli.terminal.options import Since, Until, Where, selected_store, store_in_window
from cli.terminal.output import JsonOption, StoreOption, emit_json, say, table

if TYPE_CHECKING:
    from replay.evaluation.compressor_ablation import LeaveOneOut, View


def register(app: typer.Typer) -> None:
    @app.command()
    def compression(
        strategy: Annotated[Path, typer.Argument(help="A strategy file with compressors.")],
        call: Annotated[
            int | None, typer.Option(min=0, max=2**62, help="Show this call's prompt before and after.")
        ] = None,
        since: Since = None,
        until: Until = None,
        where: Where = None,
        store: StoreOption = "hindcast.duckdb",
        as_json: JsonOption = False,
    ) -> None:
        """What each compressor saves, alone and on top of the others.

        The effect on the provider's prompt cache is included.

        Example: hindcast compression combined.yaml
        """
        from replay.evaluation import compressor_ablation as worth
        from replay.strategy.schema import load

        chosen = load(strategy)
        if call is not None:
            view = worth.before_and_after(selected_store(store, where), chosen, call)
            if as_json:
                emit_json(
                    {
                        "tokens_before": view.tokens_before,
                        "tokens_after": view.tokens_after,
                        "before": list(view.before),
                        "after": list(view.after),
                    }
                )
            else:
                show_view(view)
            return
        held = store_in_window(store, where, since, until, as_json=as_json)
        result = worth.leave_one_out(held, chosen, since=since, until=until)
        if as_json:
            emit_json(result.to_json())
        else:
            show(result)


def show(result: LeaveOneOut) -> None:
    """The sum, and each compressor's part of it."""
    from analysis.formatting import money, share, tokens
    from analysis.money import dollars

    saved = result.baseline_pico - result.cost_pico
    verb = "saves" if saved >= 0 else "costs"
    part = share(result.tokens / result.input_tokens) if result.input_tokens else "-"
    say(
        f"Compression {verb} {money(dollars(abs(saved)))} of {money(dollars(result.baseline_pico))}, and removes"
        f" {tokens(result.tokens)} input tokens ({part}).",
        style="bold",
    )
    say()
    table(
        ["compressor", "kind", "prefix", "tokens alone", "saves alone", "on top of the others"],
        [
            [
                row.name,
                "lossless" if row.lossless else "lossy",
                "stable" if row.prefix_stable else "moves",
                tokens(row.tokens_alone),
                money(dollars(row.saved_alone_pico), sign=True),
                money(dollars(row.saved_last_pico), sign=True),
            ]
            for row in result.rows
        ],
        left=(0, 1, 2),
    )


def show_view(view: View) -> None:
    """The messages that change, before and after."""
    from analysis.formatting import count, tokens

    say(f"{tokens(view.tokens_before)} input tokens before, {tokens(view.tokens_after)} after.", style="bold")
    unknown = sum(text is None for text in view.before)
    if unknown:
        say(f"Without text in the store: {unknown} of {count(len(view.before), 'message')}.", style="yellow")
    kept = set(view.before) & set(view.after)
    for label, side in (("before", view.before), ("after", view.after)):
        say()
        say(f"--- {label}", style="bold")
        for number, text in enumerate(side, start=1):
            if text is not None and text not in kept:
                say(f"{number}. {text}")
