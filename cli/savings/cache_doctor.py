"""`hindcast cache doctor`: what makes near-identical prompts miss, and what the provider's prompt cache is worth."""

from __future__ import annotations

from decimal import Decimal
from typing import TYPE_CHECKING, Annotated, Any

import typer

from cli.savings.cache import cache
from cli.terminal.options import Since, Until, Where, store_in_window
from cli.terminal.output import DEFAULT_STORE, JsonOption, StoreOption, emit_json, note, progress, say, table

if TYPE_CHECKING:
    from replay.provider_cache.advice import Choice
    from replay.provider_cache.calibration import Agreement
    from replay.provider_cache.doctor import Diagnosis, Finding


@cache.command()
def doctor(
    since: Since = None,
    until: Until = None,
    where: Where = None,
    limit: Annotated[
        int, typer.Option(min=1, max=100_000, help="How many templates are examined, most sent first.")
    ] = 20,
    store: StoreOption = DEFAULT_STORE,
    as_json: JsonOption = False,
) -> None:
    """Find what makes near-identical prompts miss.

    Moving or masking it is priced by simulating the traffic again.

    Example: hindcast cache doctor --since 2024-03-05
    """
    from ingest.contents.tokenizer import ensure_counted
    from replay.provider_cache.advice import choices
    from replay.provider_cache.calibration import agreement
    from replay.provider_cache.doctor import diagnose
    from replay.traffic.load_traffic import load

    held = store_in_window(store, where, since, until, as_json=as_json)
    with progress("Counting tokens", unit="texts") as bar:
        ensure_counted(held, ["o200k_base"], progress=bar)
    traffic = load(held, since=since, until=until)
    with progress("Examining templates", unit="templates") as bar:
        bar.total(limit)
        found = diagnose(traffic, limit=limit, done=lambda: bar.advance(1))
    agreements, chosen = agreement(traffic), choices(traffic)
    if as_json:
        emit_json(
            {
                "days": found.days,
                "findings": [_finding(one) for one in found.findings],
                "textless_calls": found.textless,
                "prompt_cache": {
                    "predicted": [_agreement(one) for one in agreements],
                    "choices": [_choice(one) for one in chosen],
                },
            }
        )
        return
    _show(found, agreements, chosen)


def _show(found: Diagnosis, agreements: list[Agreement], chosen: list[Choice]) -> None:
    from analysis.formatting import count, money

    if found.findings:
        first = found.findings[0]
        action = "moving it to the end of the prompt" if first.moved >= first.masked else "masking it in the cache key"
        say(
            f"{_varies(first)} at token {first.position:,} of the {first.role} message of {_who(first)} "
            f"makes {count(first.texts, 'text')} of one: {action} saves "
            f"{money(_per_day(first.worth, found.days))} a day.",
            style="bold",
        )
        say()
        rows = [
            [
                f"{_who(one)}: {one.role}",
                _varies(one),
                f"{one.position:,}",
                f"{one.calls:,}",
                money(_per_day(one.moved, found.days)) if one.moved > 0 else "-",
                money(_per_day(one.masked, found.days)) if one.masked > 0 else "-",
                f"{one.masked_hits:+,}" if one.masked_hits else "-",
            ]
            for one in found.findings
        ]
        headers = ["template", "what varies", "at token", "calls", "moving/day", "masking/day", "hits"]
        table(headers, rows, left=(0, 1), optional=(6, 2))
        say("Moving keeps what the model reads. Masking serves one request's answer to another: score it first.")
    else:
        say("No template varies in a way that a cache would pay for.", style="bold")
    _show_provider(agreements, chosen, found.days)
    if found.textless:
        have = "has" if found.textless == 1 else "have"
        note(f"{count(found.textless, 'call')} {have} no text in the store: their prompts cannot be compared")
    say("Next: hindcast cache curve   ·   hindcast replay STRATEGY.yaml")


def _show_provider(agreements: list[Agreement], chosen: list[Choice], days: int) -> None:
    from analysis.formatting import money, tokens

    if agreements:
        say()
        rows = [
            [
                one.model or "-",
                one.workflow or "-",
                tokens(one.logged),
                tokens(one.predicted),
                _error(one.error),
                _error(one.naive_error),
                tokens(one.simulated),
            ]
            for one in agreements
        ]
        say("The provider's prompt cache, predicted against logged (out of sample; last: by the bare rules)")
        table(
            ["model", "workflow", "logged", "predicted", "error", "rule of thumb", "rules"],
            rows,
            left=(0, 1),
            optional=(6, 5),
        )
    if chosen:
        say()
        rows = [
            [
                one.model or "-",
                f"{one.calls:,}",
                money(_per_day(one.logged, days)),
                money(_per_day(one.off, days)),
                ", ".join(f"{life} {money(_per_day(cost, days))}" for life, cost in one.on.items()),
                _advice(one, days),
            ]
            for one in chosen
        ]
        headers = ["model", "calls", "logged/day", "without/day", "simulated/day", "prompt caching"]
        table(headers, rows, left=(0, 5), optional=(3, 1))


def _advice(one: Choice, days: int) -> str:
    from analysis.formatting import money

    if one.best == "as logged":
        return "keep as logged"
    verb = "turn it off" if one.best == "off" else f"ask for it with {one.best}"
    return f"{verb}: saves {money(_per_day(one.saves, days))}/day"


def _error(value: float | None) -> str:
    return "-" if value is None else f"{100 * value:+.1f} %"


def _who(one: Finding) -> str:
    name = one.agents[0] if one.agents and one.agents[0] else "unnamed agent"
    return f"{name} / {one.task}" if one.task else name


def _varies(one: Finding) -> str:
    kinds = list(dict.fromkeys(slot.kind for slot in one.slots))
    names = {"text": "a stretch of text", "order": "the order of paragraphs"}
    return ", ".join(names.get(kind, f"a {kind}") for kind in kinds[:3]) + (" ..." if len(kinds) > 3 else "")


def _per_day(pico: int, days: int) -> Decimal:
    return Decimal(pico).scaleb(-12) / max(days, 1)


def _usd(pico: int) -> str | None:
    from analysis.formatting import usd

    return usd(Decimal(pico).scaleb(-12))


def _finding(one: Finding) -> dict[str, Any]:
    return {
        "role": one.role,
        "agents": list(one.agents),
        "task": one.task,
        "calls": one.calls,
        "texts": one.texts,
        "position_tokens": one.position,
        "spans": [vars(slot) for slot in one.slots],
        "moving_saves_usd": _usd(one.moved),
        "masking_saves_usd": _usd(one.masked),
        "masking_hits": one.masked_hits,
    }


def _agreement(one: Agreement) -> dict[str, Any]:
    return {**vars(one), "error": one.error, "naive_error": one.naive_error}


def _choice(one: Choice) -> dict[str, Any]:
    return {
        "provider": one.provider,
        "model": one.model,
        "calls": one.calls,
        "logged_usd": _usd(one.logged),
        "off_usd": _usd(one.off),
        "on_usd": {life: _usd(cost) for life, cost in one.on.items()},
        "best": one.best,
        "saves_usd": _usd(one.saves),
    }
