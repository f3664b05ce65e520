"""`hindcast.report`: the story of a store as one file."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from cli.python_api.arguments import Day, StoreLike, StrategyLike, as_day, as_store, as_strategies
from cli.python_api.result import Result
from ingest.errors import InputError, StoreError, did_you_mean

if TYPE_CHECKING:
    from collections.abc import Callable
    from datetime import date

    import polars as pl

    from dashboard.documents.story import Findings
    from ingest.store import database
    from replay.strategy.schema import Strategy

FORMATS = ("html", "md", "pdf", "docx")


@dataclass(frozen=True, repr=False)
class Report(Result):
    """A written report: `path` is its file; for `-`, which is none, `text` holds it."""

    findings: Findings
    path: Path
    text: str | None = None

    @property
    def summary(self) -> str:
        from dashboard.documents.story import headline

        return f"{headline(self.findings)}. Written to {self.path}."

    def document(self) -> dict[str, Any]:
        from dashboard.documents.story import headline, numbers, recommendation

        return {
            "path": str(self.path),
            "headline": headline(self.findings),
            "numbers": [
                {"label": label, "value": value, "detail": detail} for label, value, detail in numbers(self.findings)
            ],
            "recommendation": recommendation(self.findings),
            "decision": self.findings.decision.to_json(),
            **({"showback": self.findings.showback.to_json()} if self.findings.showback else {}),
            **({"period": self.findings.review.to_json()} if self.findings.review else {}),
            "diagnosis": self.findings.diagnosis,
            "replay": self.findings.replay.to_json() if self.findings.replay else None,
        }

    def to_frame(self) -> pl.DataFrame:
        """The key figures: `label`, `value`, `detail`, all String as they are printed."""
        import polars as pl

        from cli.python_api.frames import frame

        return frame(self.document()["numbers"], dict.fromkeys(("label", "value", "detail"), pl.String()))


def report(
    store: StoreLike,
    output: str | Path = "report.html",
    *,
    strategies: StrategyLike | Iterable[StrategyLike] | None = None,
    audience: str = "everyone",
    day: Day = None,
    since: Day = None,
    until: Day = None,
    by: str | None = None,
) -> Report:
    """Write what happened, why, what was compared and what is recommended, as one file that needs no network.

    Parameters:
        store: a Store or its path.
        output: the file to write; its ending tells the form: .html, .md, .docx (with the extra `docx`) or .pdf
            (printed by Chromium or Chrome).
        strategies: strategies to compare; by default the files of ./strategies, else drafts of this log
            (of the demo's log, its own).
        audience: everyone, stakeholders, engineers or finance.
        day: the day to explain; by default the first of the newest days that stand out, else the newest.
        since, until: the first and the last day of a period; its whole days are told beside as many before it.
        by: for finance, the dimension that divides the bill: team, tag.KEY, agent, ...; by default the one that calls
            have.

    Returns: a Report, the document of `hindcast report --json`.

    Raises: StoreError where there is no store; InputError where it holds no calls, the file cannot be written, or for
    an unknown ending or audience; StrategyError.

    Example: hindcast.report(store, "report.md", audience="engineers").path
    """
    target = Path(output)
    form = target.suffix.lower().removeprefix(".")
    if form not in FORMATS:
        raise InputError(
            f"'{target.suffix}' is no form of a report", where=str(target), remedy="Use .html, .md, .docx or .pdf."
        )
    held = as_store(store)
    chosen = default_strategies(held) if strategies is None else as_strategies(strategies)
    return write_report(
        held,
        target,
        form=form,
        strategies=chosen,
        audience=audience,
        day=as_day(day),
        period=_period(since, until),
        by=by,
    )


def _period(since: Day, until: Day) -> tuple[date, date | None] | None:
    first = as_day(since)
    if first is None and until is not None:
        raise InputError("until is given without since", remedy="Give both, or since alone.")
    return None if first is None else (first, as_day(until))


def write_report(
    store: database.Store,
    target: Path,
    *,
    form: str,
    strategies: list[Strategy],
    audience: str,
    day: date | None,
    period: tuple[date, date | None] | None = None,
    by: str | None = None,
    done: Callable[[str], None] | None = None,
) -> Report:
    """Write the report to `target` in one of `FORMATS`; `-` writes no file. Strategies without a stage are left out."""
    from dashboard.documents import docx_report, html_report, pdf
    from dashboard.documents.story import gather

    if audience not in html_report.AUDIENCES:
        raise InputError(f"'{audience}' is not an audience", remedy=did_you_mean(audience, html_report.AUDIENCES))
    if not store.exists():
        raise StoreError(f"there is no store at {store.address}", remedy="Make one with: hindcast ingest PATH")
    browser = pdf.find_browser() if form == "pdf" else None
    if form == "docx":
        docx_report.require()
    if by is not None and audience != "finance":
        raise InputError("by divides the bill of --for finance", remedy="Add --for finance, or leave it out.")
    findings = gather(
        store,
        [strategy for strategy in strategies if strategy.stages()],
        day=day,
        period=period,
        finance=audience == "finance",
        showback_by=by,
        done=done,
    )
    if browser is not None:
        pdf.print_page(browser, html_report.html(findings, audience), target)
    elif form == "docx":
        docx_report.write(findings, audience, target)
    else:
        text = html_report.markdown(findings, audience) if form == "md" else html_report.html(findings, audience)
        if target == Path("-"):
            return Report(findings, target, text)
        try:
            target.write_text(text, encoding="utf-8")
        except OSError as error:
            raise InputError(
                f"cannot be written: {error.strerror}", where=str(target), remedy="Name another file."
            ) from error
    return Report(findings, target)


def default_strategies(store: database.Store) -> list[Strategy]:
    """Those of ./strategies; where there are none, the demo's for a log of its agents, else drafts of this log."""
    from dashboard.data.strategy_files import FOLDER

    own = sorted(FOLDER.glob("*.y*ml")) if FOLDER.is_dir() else []
    if own:
        return as_strategies(own)
    import sample_logs
    from replay.drafting.drafts import drafts

    if not store.exists():
        return []
    demo = as_strategies(sample_logs.strategies())
    named = {rule.match["agent"] for one in demo for rule in one.route if rule.match and "agent" in rule.match}
    with store.read() as con:
        agents = {agent for (agent,) in con.execute("SELECT DISTINCT agent FROM calls").fetchall()}
    if named <= agents:
        return demo
    try:
        return [one.strategy() for one in drafts(store)]
    except InputError:  # no call has a time and a price: there is nothing to compare
        return []
