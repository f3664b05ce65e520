"""Explore: who calls what, with what kind of prompt, how often the same, and each session call by call."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from decimal import Decimal

import streamlit as st

from analysis.formatting import count as counted
from analysis.formatting import money, share
from dashboard.data import results_cache
from dashboard.documents import document_views
from dashboard.render import detail_charts
from dashboard.render.tables import Column, Table
from dashboard.widgets import blocks, calls_drilldown, fragments, page_frame, progress
from dashboard.widgets.page_frame import View

ROWS = 12
NARROW = 1  # columns of a matrix on a phone, beside the names and the sums
ANY = "any"
OWN_ANSWER = ("sessions", "prompts", "repeats", "context")  # these begin with a finding of their own


def show() -> None:
    """Draw the page."""
    view = page_frame.view()
    report = results_cache.cost(*view.key, ("agent", "task", "model"), view.since, view.until)
    answer = st.container()
    look = st.segmented_control(
        "Look at", list(LOOKS), default=next(iter(LOOKS)), key="look", bind="query-params", required=True,
        label_visibility="collapsed",
    )  # fmt: skip
    with answer:
        if look not in OWN_ANSWER:
            blocks.finding(headline(report), level=1)
        page_frame.remarks(view.coverage)
    if not report["rows"]:
        blocks.nothing("No call in these days", "Choose other days above.")
        return
    LOOKS[str(look)](view, report)


def headline(report: document_views.Document) -> str:
    """Which agent and model cost most."""
    pairs = sums(report, ("agent", "model"))
    if not pairs:
        return "Nothing here has a price"
    (agent, model), most = next(iter(pairs.items()))
    total = document_views.amount(report["total"]["cost_usd"])
    part = f" ({share(float(most / total))} of {money(total)})" if total else ""
    return f"{agent} on {model} costs most: {money(most)}{part}"


def dearest(report: document_views.Document, dimension: str) -> str:
    """Which name of a dimension costs most, and what part of all."""
    found = sums(report, (dimension,))
    total = sum(found.values(), Decimal(0))
    if not total:
        return f"By {dimension}"
    (name,), most = next(iter(found.items()))
    return f"{dimension.capitalize()} '{name}' costs most: {money(most)} ({share(float(most / total))})"


def sums(report: document_views.Document, dimensions: tuple[str, ...]) -> dict[tuple[str, ...], Decimal]:
    """Priced dollars by some of the report's dimensions, dearest first."""
    found: dict[tuple[str, ...], Decimal] = {}
    for row in report["rows"]:
        if row["cost_usd"] is not None:
            key = tuple(document_views.label(row[name]) for name in dimensions)
            found[key] = found.get(key, Decimal(0)) + Decimal(row["cost_usd"])
    return dict(sorted(found.items(), key=lambda item: (-item[1], item[0])))


def matrix(report: document_views.Document, rows: str, columns: str) -> Table:
    """Dollars of one dimension against another; a darker cell costs more; `-` is no call, `unpriced` no price."""
    costs = sums(report, (rows, columns))
    called = {(document_views.label(row[rows]), document_views.label(row[columns])) for row in report["rows"]}
    across = [key[0] for key in sums(report, (columns,))] + sorted({c for _, c in called} - {k[1] for k in costs})
    down = [key[0] for key in sums(report, (rows,))] + sorted({r for r, _ in called} - {k[0] for k in costs})
    most = max(costs.values(), default=Decimal(0))

    def weight(value: object) -> float:
        return float(value / most) if isinstance(value, Decimal) and most else 0.0

    def text(value: object) -> str:
        return money(value) if isinstance(value, Decimal) else "-" if value is None else str(value)

    shown = dict.fromkeys(across)
    heads = (
        Column(rows),
        *(Column(name, text, figure=True, shade=weight, minor=place >= NARROW) for place, name in enumerate(shown)),
        Column("all", text, figure=True),
    )
    body = tuple(
        (
            name,
            *(costs.get((name, column), "unpriced" if (name, column) in called else None) for column in shown),
            sum(known[1:], known[0])
            if (known := [usd for (row, _), usd in costs.items() if row == name])
            else "unpriced",
        )
        for name in dict.fromkeys(down)
    )
    return Table(f"Cost in USD by {rows} and {columns}", heads, body)


def _matrix(_view: View, report: document_views.Document) -> None:
    blocks.table(matrix(report, "agent", "model"), "agent-by-model", limit=40)
    across = "model" if len({row["model"] for row in report["rows"]}) > 1 else "agent"  # one model alone says nothing
    blocks.finding(dearest(report, "task"))
    blocks.table(matrix(report, "task", across), f"task-by-{across}", limit=40)


def _treemap(view: View, report: document_views.Document) -> None:
    rows = [(key[0], key[1], key[2], usd) for key, usd in sums(report, ("agent", "task", "model")).items() if usd > 0]
    if not rows:
        blocks.nothing("Nothing here has a price", "Set prices: hindcast prices set MODEL --input USD --output USD")
        return
    blocks.note("Click an area to go into it, and its head to come back.")
    largest = "; ".join(f"{agent}, {task}, {model}: {money(usd)}" for agent, task, model, usd in rows[:5])
    blocks.picture(
        detail_charts.treemap(rows, results_cache.colours(*view.key, "agent")),
        "treemap",
        alt=f"Cost by agent, task and model; largest: {largest}",
    )


def _job_result(view: View, job: str, text: str) -> document_views.Document | None:
    """What a job finds in the chosen days; None if the reader stopped it."""
    arguments = {"since": view.since, "until": view.until}
    found: document_views.Document | None = progress.result(view, job, arguments, text, key=(view.since, view.until))
    return found


def _prompts(view: View, _report: document_views.Document) -> None:
    found = _job_result(view, "templates", "Reading prompts")
    if found is None:
        return
    if not found:
        blocks.nothing("No prompt is kept", "Templates need messages, or their hashes: ingest without --metadata-only.")
        return
    changed = sum(len(template["versions"]) > 1 for template in found["templates"])
    count = counted(len(found["templates"]), "template")
    make = "makes" if len(found["templates"]) == 1 else "make"
    made = counted(found["calls"], "call")
    blocks.finding(f"{count} {make} {made}; {changed or 'none'} of them changed", level=1)
    rows = []
    for template in found["templates"]:
        newest = template["versions"][-1]
        where = " / ".join(document_views.label(template[name]) for name in ("agent", "task"))
        rows.append(
            (where, template["opening"], template["calls"], document_views.dollars(template["cost_usd"]),
             newest["input_tokens"], newest["slots"], len(template["versions"]),
             newest["first"] if len(template["versions"]) > 1 else None)
        )  # fmt: skip
    columns = (
        Column("where"),
        Column("opens with", minor=True),
        Column("calls", calls_drilldown.count, figure=True),
        Column("USD", money, figure=True),
        Column("tokens a call", lambda value: "-" if value is None else f"{value:,.0f}", figure=True, minor=True),
        Column(
            "slots", lambda value: f"{value:g}", figure=True, minor=True, about="Places where the text varies by call"
        ),
        Column("versions", figure=True, minor=True),
        Column("changed on", minor=True),
    )
    blocks.table(Table("Prompt templates, dearest first", columns, tuple(rows)), "templates")
    if found["calls_without_messages"]:
        blocks.note(f"Without messages: {counted(found['calls_without_messages'], 'call')}.", warn=True)


def _repeats(view: View, _report: document_views.Document) -> None:
    found = _job_result(view, "duplicates", "Comparing requests")
    if found is None:
        return
    blocks.finding(
        f"{found['repeats']:,} of {counted(found['calls'], 'call')} repeat an earlier request exactly", level=1
    )
    columns = (
        Column("where"),
        Column("requests asked again", calls_drilldown.count, figure=True, minor=True),
        Column("repeats", calls_drilldown.count, figure=True),
        Column("USD", money, figure=True),
        Column(
            "same answer",
            minor=True,
            about="Repeated requests whose logged answers were all the same, of those with answers",
        ),
    )
    for kind, title in (("exact", "Word for word"), ("near", "Nearly the same")):
        rows = tuple(
            (" / ".join(document_views.label(row[name]) for name in ("agent", "task")), row["groups"], row["repeats"],
             document_views.dollars(row["cost_usd"]),
             f"{row['same_answer_groups']:,} of {row['answered_groups']:,}")
            for row in found[kind]
        )  # fmt: skip
        if rows:
            blocks.finding(title)
            blocks.table(Table(f"Repeats: {title.lower()}", columns, rows), f"repeats-{kind}", limit=ROWS)
    blocks.note("Calls that failed, and those that ask again after a failure, are not counted here.")
    if not found["compared_requests"]:
        blocks.note("Nearly equal requests need message texts, which this store does not keep.")
    st.page_link(st.session_state["pages"]["cache-lab"], label="What a cache would save", icon=":material/cached:")


def _context(view: View, _report: document_views.Document) -> None:
    found = _job_result(view, "context", "Dividing the input")
    if found is None:
        return
    if not found["sources"]:
        blocks.nothing("No call in these days has a number of input tokens", "Choose other days above.")
        return
    total, first = Decimal(found["input_cost_usd"]), found["sources"][0]
    part = float(Decimal(first["cost_usd"]) / total) if total else first["tokens"] / found["input_tokens"]
    blocks.finding(f"{share(part)} of the input cost of {money(total)} is {first['source']}", level=1)
    rows = tuple(
        (row["source"], row["tokens"], document_views.dollars(row["cache_read_usd"]),
         document_views.dollars(row["cache_write_usd"]), document_views.dollars(row["full_price_usd"]),
         document_views.dollars(row["cost_usd"]))
        for row in found["sources"]
    )  # fmt: skip
    columns = (
        Column("source"),
        Column("tokens", calls_drilldown.count, figure=True, minor=True),
        Column("read from cache, USD", money, figure=True, minor=True),
        Column("written, USD", money, figure=True, minor=True),
        Column("paid in full, USD", money, figure=True, minor=True),
        Column("USD", money, figure=True),
    )
    blocks.table(Table("What fills the context", columns, rows), "context")
    if found["items"]:
        again = Decimal(found["carried_again_usd"])
        blocks.finding(f"The dearest texts; {money(again)} went into what the conversation had sent before")
        openings = results_cache.openings(*view.key, tuple(item["content_id"] for item in found["items"]))
        blocks.table(_carried(found["items"], openings), "carried-texts", limit=ROWS)
    turns = found["turns"]
    if turns["judged"]:
        kept = f"{turns['kept']:,} of {counted(turns['judged'], 'turn')}"
        blocks.note(f"{kept} read from the provider's cache all that the turn before had left there.")
    if found["calls_without_text"]:
        blocks.note(f"Without text: {counted(found['calls_without_text'], 'call')}, 'not in the log' here.", warn=True)


def _carried(items: list[document_views.Document], openings: Mapping[int, str]) -> Table:
    rows = tuple(
        (f"{item['source']}: {item['label'] or openings.get(item['content_id'], 'text not kept')}", item["calls"],
         item["carried_again"], item["tokens"], document_views.dollars(item["cost_usd"]),
         document_views.dollars(item["carried_again_usd"]))
        for item in items
    )  # fmt: skip
    columns = (
        Column("text"),
        Column("calls", calls_drilldown.count, figure=True),
        Column("again", calls_drilldown.count, figure=True, minor=True, about="Calls whose conversation had it before"),
        Column("tokens", calls_drilldown.count, figure=True, minor=True),
        Column("USD", money, figure=True),
        Column("of it again", money, figure=True, minor=True),
    )
    return Table("The costliest texts", columns, rows)


@fragments.region
def _sessions(view: View, report: document_views.Document) -> None:
    answer = st.container()
    where: list[tuple[str, str | None]] = []
    for place, name in zip(st.columns(3), ("agent", "task", "model"), strict=True):
        options = [ANY, *(key[0] for key in sums(report, (name,)))]
        chosen = place.selectbox(name, options, key=f"only-{name}", bind="query-params", help="As the log names it")
        if chosen and chosen != ANY:
            where.append((name, chosen))
    wanted = st.text_input(
        "Session by its id", key="session-id", bind="query-params", placeholder="the dearest ones",
        help="Any session of these days, also one that is not among the dearest",
    )  # fmt: skip
    if wanted.strip():
        where.append(("session", wanted.strip()))
    found = calls_drilldown.dearest(view, tuple(where), view.since, view.until)
    with answer:
        blocks.finding(_dearest_session(found), level=1)
    calls_drilldown.of_segment(view, tuple(where), view.since, view.until)


def _dearest_session(rows: Sequence[document_views.Document]) -> str:
    named = [row for row in rows if row["session"] is not None and row["cost_usd"] is not None]
    if not named:
        return "No session here has a price" if rows else "No call here in these days"
    first = named[0]
    usd = money(document_views.dollars(first["cost_usd"]))
    return f"Session '{first['session']}' costs most: {usd} for {counted(first['calls'], 'call')}"


LOOKS: dict[str, Callable[[View, document_views.Document], None]] = {
    "matrix": _matrix,
    "areas": _treemap,
    "sessions": _sessions,
    "prompts": _prompts,
    "repeats": _repeats,
    "context": _context,
}
