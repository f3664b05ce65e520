"""What a log cannot support, said per strategy: each line is one thing that the result assumes or leaves out."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Sequence

import numpy as np

from analysis.formatting import count, share, tokens
from replay.engine.engine import Engine
from replay.engine.moved_calls import MovedCalls
from replay.engine.partial import Partial
from replay.estimates import input_token_ratios, output_tokens
from replay.quality.cells import Cell
from replay.quality.gate import QualityReport
from replay.quality.scores import other_scale
from replay.quality.selection import Overlap
from replay.stages import rule_evaluation
from replay.traffic import user_waiting
from replay.traffic.traffic import Bool, Int32

NAMED = 3  # how many tasks a line names before it counts them


def limits(engine: Engine, found: Partial) -> Iterator[str]:
    """The lines for one strategy, in the order of its stages. `found` are the sums over all of its traffic."""
    inside, served = engine.traffic.window, engine.served(engine.everything)[0]
    if engine.traffic.store.restriction:
        yield (
            f"only calls with {engine.traffic.store.restriction} are replayed: what the others would put into a cache,"
            " or push out of it, is left out"
        )
    yield from _time(engine)
    if (voided := other_scale(engine.traffic.store)) is not None:
        yield voided
    if "prompts" in engine.players:
        yield from engine.requests.reworded.limits(inside)
    if "compress" in engine.players:
        yield from engine.requests.compressed.limits(inside)
        yield from _summaries(engine)
    if "route" in engine.players:
        yield from _routing(engine, served)
        yield from _side(engine, served)
    if "cache" in engine.players:
        yield from _cache(engine)
    if "batch" in engine.players:
        yield from _batch(engine)
    if _asks_who_waits(engine):
        unknown = inside & engine.traffic.rule_frame(["online"])["online"].is_null().to_numpy()
        rest = f"; it stays unknown for {_calls(unknown)}" if unknown.any() else ""
        yield f"whether a user waits (`online`) is inferred from streams, tiers, turns and cadence{rest}"
    if engine.players:
        yield from engine.provider.limits(served)
    unpriced = found.of("rows", "newly unpriced")
    if unpriced:
        names = _unpriced(engine, found)
        yield f"{count(unpriced, 'call')} would ask a model without a price ({names}): on neither side"


def quality_limits(report: QualityReport) -> Iterator[str]:
    """What the quality rests on: whom scores belong to, overlap; what stays unknown, and what would make it known."""
    if report.scope_inferred:
        yield f"every {report.scope} carries one score: it is taken as the {report.scope}'s, and counts once"
    if report.partly:
        yield (
            "the log does not say what a score belongs to (score_scope), and many calls of scored conversations have"
            " none: scores are taken as the calls', and no dollars per outcome are told"
        )
    scored = [cell.moments for cell in report.cells if cell.moments is not None and cell.moments.scored]
    if scored and not any(moments.mean_logged > 0 for moments in scored):
        yield "no logged answer scored above 0: a share of that is no measure of quality"
    for cell in report.cells:
        if cell.moments is not None and cell.selection is not None and cell.selection.overlap is not None:
            yield _overlap(cell, cell.selection.overlap)
    yield from _unknown(report)
    for one in report.to_know:
        yield one.words


def _overlap(cell: Cell, overlap: Overlap) -> str:
    ways = {"randomised": "chance alone chose", "propensity": "the logged chance of getting it weighs them"}
    way = ways.get(cell.evidence, "how they were chosen is learned from the texts")
    return (
        f"quality of {cell.served} on `{cell.task or '-'}`: from {count(overlap.controls, 'call')} that it served"
        f" ({way}; they weigh as {overlap.effective:.0f}, the largest {share(overlap.largest_weight)};"
        f" weighted mean {overlap.snips:.3f})"
    )


def _unknown(report: QualityReport) -> Iterator[str]:
    unknown = [cell for cell in report.cells if cell.moments is None]
    for explanation in dict.fromkeys(cell.explanation for cell in report.cells if cell.explanation):
        mine = [cell for cell in report.cells if cell.explanation == explanation]
        pair = f"{mine[0].served} scored {explanation.replace('against', f'against {mine[0].logged} with', 1)}"
        counted = all(cell.moments is not None for cell in mine)
        use = "which the file accepts" if counted else "which counts only with accept_priors: true"
        yield f"quality of {share(sum(cell.share for cell in mine))} of the demand: {pair} in public, {use}"
    if not unknown:
        return
    apart = [cell for cell in unknown if cell.evidence == "unpaired"]
    reasons = {cell.selection.why for cell in apart if cell.selection is not None and cell.selection.why}
    of_own = "the model that would serve has scores only of calls that were chosen for it, which compare the calls"
    rewritten = [cell for cell in unknown if cell.served == cell.logged]
    whole = sum(cell.share for cell in report.cells)
    for why, cells in (
        ("; ".join([of_own, *sorted(reasons)]), apart),
        (
            "a lossy compressor, a masked key or a semantic hit may have changed the answers, and none is scored",
            rewritten,
        ),
        ("no score of the model that would serve", [cell for cell in unknown if cell not in apart + rewritten]),
    ):
        if cells:
            part = sum(cell.share for cell in cells) / whole
            yield f"quality of {share(part)} of the demand: {why} ({_tasks(cells)})"


def _tasks(cells: Sequence[Cell]) -> str:
    """The tasks with most of it."""
    tasks = list(dict.fromkeys(f"`{cell.task}`" if cell.task else "calls without a task" for cell in cells))
    return ", ".join(tasks[:NAMED]) + (f" and {len(tasks) - NAMED} more" if len(tasks) > NAMED else "")


def _unpriced(engine: Engine, found: Partial) -> str:
    """The models that leave calls without a price: of the routing itself, else the serving ones."""
    asked = {"classifier": engine.strategy.classifier and engine.strategy.classifier.model,
             "on_error": engine.strategy.on_error}  # fmt: skip
    lost = {what for (what,), rows in found.by("no price").items() if rows}
    names = {model for kind, model in asked.items() if kind in lost and model}
    serving = {_name(engine, model) for model in lost if isinstance(model, int)}
    return ", ".join(sorted(names or serving)[:NAMED])


def _time(engine: Engine) -> Iterator[str]:
    if engine.traffic.untimed_calls:
        yield f"without a time, not replayed: {count(engine.traffic.untimed_calls, 'call')}"


def _routing(engine: Engine, served: Int32) -> Iterator[str]:
    expected = engine.moved(engine.everything)
    if expected is not None:
        yield from _behaviour(engine, expected)
    else:
        yield from _as_logged(engine, served)
    yield from _input(engine, served)
    for reason, number in engine.routing(engine.everything).stayed.items():
        yield f"left with the logged model: {count(number, 'call')}, which the target does not fit ({reason})"


def _behaviour(engine: Engine, expected: MovedCalls) -> Iterator[str]:
    traffic = engine.traffic
    width = len(traffic.tasks)

    def place(cell: int) -> str:
        names = [name for name in (traffic.agents[cell // width], traffic.tasks[cell % width]) if name]
        return f"`{' / '.join(names)}`" if names else "calls without a task"

    seen = sorted((move for move in expected.moves if move.seen), key=lambda move: -move.moved_units)
    for move in seen[:NAMED]:
        if move.chosen:
            yield (
                f"behaviour of {_name(engine, move.target)} in place of {_name(engine, move.source)} on"
                f" {place(move.cell)}: taken as logged; its {move.seen_units:,} units there were chosen for it, nobody"
                " says how, and tell nothing of others; the range is the spread of models, of what is seen and of the"
                " units (to know it, give it units at random, with `assignment: random` in the log)"
            )
            continue
        yield (
            f"behaviour of {_name(engine, move.target)} in place of {_name(engine, move.source)} on {place(move.cell)}:"
            f" {move.calls:.2f}x the calls per unit, {move.growth:.2f}x the input and {move.output:.2f}x the output per"
            f" call, from {move.seen_units:,} units of its own in the log"
        )
    if len(seen) > NAMED:
        yield f"so is the behaviour of {count(len(seen) - NAMED, 'more group')} of moved calls estimated (--json)"
    unseen = [move for move in expected.moves if not move.seen]
    for target in dict.fromkeys(move.target for move in unseen):
        mine = [move for move in unseen if move.target == target]
        cells = list(dict.fromkeys(move.cell for move in mine))
        where = ", ".join(place(cell) for cell in cells) if len(cells) <= NAMED else f"{len(cells)} agents and tasks"
        unlike = sorted({move.unlike for move in mine if move.unlike})
        lengths = all(expected.declared_output(move) for move in mine)
        taken = "calls are taken" if lengths else "calls and answers are taken"
        yield (
            f"behaviour of {_name(engine, target)} on {where}: no evidence, {taken} as logged; the range is the spread"
            f" of models{''.join(f' (its units in the log are not used: {why})' for why in unlike)}"
        )


def _as_logged(engine: Engine, served: Int32) -> Iterator[str]:
    traffic = engine.traffic
    moved = traffic.window & (served != traffic.model)
    yield "another model is taken to be asked the logged questions, as often (behaviour: fixed)"
    assumed: dict[str, list[str]] = defaultdict(list)
    width = len(traffic.tasks)
    cells = np.bincount((served * np.int32(width) + traffic.task)[moved], minlength=1)
    for model, task in (divmod(cell, width) for cell in np.flatnonzero(cells).tolist()):
        name = _name(engine, model)
        if output_tokens.declared(engine.strategy, traffic.tasks[task], engine.models[model]) is None:
            assumed[name].append(traffic.tasks[task] or "calls without a task")
    low, high = output_tokens.ASSUMED["low"], output_tokens.ASSUMED["high"]
    for name, tasks in assumed.items():
        where = f"`{'`, `'.join(tasks)}`" if len(tasks) <= NAMED else f"{len(tasks)} tasks"
        yield f"output length of {name} on {where}: no evidence, assumed as logged (range used {low:g}-{high:g}x)"


def _input(engine: Engine, served: Int32) -> Iterator[str]:
    if not engine.reading.counts_differ:
        return
    seen: set[tuple[str, bool, str]] = set()
    for source, target, tools, ratio in input_token_ratios.moves(engine.reading.ratios, engine.traffic, served):
        name, before = _name(engine, target), _name(engine, source)
        with_tools = " with tools" if tools else ""
        band = f"range {ratio.low:.2f}-{ratio.high:.2f}x"
        if ratio.kind == "learned":
            yield (
                f"input tokens of {name}{with_tools}: {ratio.mid:.2f}x of {before}'s count, learned from the log's own"
                f" calls of both ({ratio.calls} or more each; {band})"
            )
        elif ratio.kind == "assumed" and (name, tools, band) not in seen:
            seen.add((name, tools, band))
            yield f"input tokens of {name}{with_tools}: it counts otherwise, no evidence how; taken as logged ({band})"


def _summaries(engine: Engine) -> Iterator[str]:
    summary = engine.requests.compressed.summary
    if summary is None:
        return
    made = engine.traffic.window & (summary.written > 0)
    if made.any():
        yield (
            f"summaries of {_calls(made)} are priced as calls of the model that answers: they read"
            f" {tokens(int(summary.read[made].sum()))} tokens and write {tokens(int(summary.written[made].sum()))},"
            " each anew as its conversation grows"
        )


def _side(engine: Engine, served: Int32) -> Iterator[str]:
    routing = engine.routing(engine.everything)
    if routing.unscored:
        yield (
            f"without a score, in a cascade: {count(routing.unscored, 'call')}; such calls escalate as often as the"
            " scored ones, and all of them where none is scored"
        )
    if engine.strategy.classifier:
        yield "the classifier is taken never to err: what it sends wrong has the other model's cost and quality"
    if engine.strategy.on_error:
        yield "a failed call that falls back is taken to get an answer of the log's median length"
    traffic = engine.traffic
    moved = traffic.window & (served != traffic.model)
    tasks = {traffic.tasks[place] for place in np.unique(traffic.task[moved]).tolist()}
    yield from (words for task, words in engine.rework_notes if task is None or task in tasks)
    for row in engine.strategy.rework:
        if row.low is None and row.high is None:
            where = f"{row.model or 'any model'} on {row.task or 'any task'}"
            yield f"rework is assumed: {row.at('mid'):g} extra calls for each call moved to {where}"


def _batch(engine: Engine) -> Iterator[str]:
    traffic = engine.traffic
    served, tier = engine.served(engine.everything)
    unsold = traffic.window & (engine.batched >= 0) & (engine.batched != tier)
    if engine.strategy.cache is None:
        unsold &= ~traffic.gateway_hit  # untouched by any stage
    if unsold.any():
        models = sorted({_name(engine, number) for number in np.unique(served[unsold])})
        names = ", ".join(models[:NAMED])
        yield f"no batch or flex price for {names} on the day of {_calls(unsold)}: taken as logged"
    slow = traffic.window & (tier != traffic.tier) & user_waiting.waited_for(traffic)
    if slow.any():
        yield f"gone on with at once: {_calls(slow)} of a batch; a chain of them takes a batch for each step"


def _asks_who_waits(engine: Engine) -> bool:
    spec = engine.strategy
    parts = [*spec.route, *spec.batch, *spec.prompts, *spec.compress, *(spec.cache.skip if spec.cache else ())]
    return "online" in rule_evaluation.columns_of(parts)


def _cache(engine: Engine) -> Iterator[str]:
    traffic, spec = engine.traffic, engine.strategy.cache
    assert spec is not None
    keyless = traffic.window & traffic.demand & (traffic.key < 0)
    if keyless.any():
        yield f"without text or hashes: {_calls(keyless)}, which cannot hit a cache"
    if not traffic.has_durations:
        yield "some calls have no duration: their answers are taken to be in the cache at once"
    if any(tier.max_bytes for tier in spec.tiers):
        yield "the size of an answer is taken as 4 bytes a token"
    own = any(tier.scope == "process" for tier in spec.tiers)
    unnamed = traffic.process < 0
    if own and unnamed.any():
        count = "one process" if spec.processes == 1 else f"{spec.processes} processes, {spec.assign}"
        what = "the log names no processes" if unnamed.all() else f"{_calls(unnamed)} of the log name no process"
        yield f"{what}; the memory tier is simulated with {count}"
    retries = traffic.window & traffic.retry
    if retries.any():
        yield f"{_calls(retries)} of the log: a retry is paid, but is not new demand, and never cached"


def _name(engine: Engine, number: int) -> str:
    return engine.models[number][1] or "models without a name"


def _calls(mask: Bool) -> str:
    return count(int(mask.sum()), "call")
