"""The report as a Word document, by python-docx (MIT; the extra `docx`): headings, sentences, tables and steps."""

from __future__ import annotations

from importlib.util import find_spec
from pathlib import Path
from typing import Any

from analysis.formatting import money
from dashboard.documents import report_sections
from dashboard.documents.sections import Part, Picture, Points, Steps
from dashboard.documents.story import Findings, days_in_words, headline, numbers, with_years
from dashboard.render.tables import Table
from ingest.errors import InputError


def require() -> None:
    """Raises InputError that names the extra where python-docx is not installed."""
    if find_spec("docx") is None:
        raise InputError(
            "a .docx needs python-docx, which is not installed",
            remedy="pip install 'llm-hindcast[docx]', or write .html, .md or .pdf.",
        )


def write(findings: Findings, audience: str, target: Path) -> None:
    """Write the report for an audience. Raises InputError where the file cannot be written."""
    require()
    import docx
    from docx.shared import Mm, Pt

    made = docx.Document()
    page = made.sections[0]
    page.page_width, page.page_height = Mm(210), Mm(297)
    page.left_margin = page.right_margin = page.top_margin = page.bottom_margin = Mm(18)
    made.styles["Normal"].font.size = Pt(10)

    def dated(text: str) -> str:
        return with_years(text, findings.coverage)

    made.core_properties.title = dated(headline(findings))
    made.core_properties.author = "Hindcast"
    made.add_heading(dated(headline(findings)), level=1)
    for label, value, detail in numbers(findings):
        line = made.add_paragraph()
        line.add_run(dated(f"{label}: "))
        line.add_run(value).bold = True
        line.add_run(dated(f" {detail}"))
    if days := days_in_words(findings):
        made.add_paragraph(dated(days))
    for section in report_sections.sections(findings, audience):
        made.add_heading(dated(section.title), level=2)
        for part in section.parts:
            _add(made, part, dated)
    try:
        made.save(str(target))
    except OSError as error:
        raise InputError(f"cannot be written: {error.strerror}", where=str(target)) from error


def _add(made: Any, part: Part, dated: Any) -> None:
    match part:
        case str():
            made.add_paragraph(dated(part))
        case Points():
            for text in part.texts:
                made.add_paragraph(dated(text), style="List Bullet")
        case Table():
            rows = [*part.rows, *([part.total] if part.total is not None else [])]
            texts = [[column.text(value) for column, value in zip(part.columns, row, strict=True)] for row in rows]
            _table(made, [column.title for column in part.columns], texts, [one.figure for one in part.columns], dated)
        case Steps():
            texts = [
                [f"{step.label}{', ' + step.detail if step.detail else ''}",
                 money(step.amount, sign=step.kind != "total")]
                for step in part.steps
            ]  # fmt: skip
            _table(made, [part.caption, ""], texts, [False, True], dated)
        case Picture():
            made.add_paragraph(dated(part.words))


def _table(made: Any, titles: list[str], rows: list[list[str]], figures: list[bool], dated: Any) -> None:
    from docx.enum.text import WD_ALIGN_PARAGRAPH

    grid = made.add_table(rows=1, cols=len(titles), style="Light Grid Accent 1")
    for cells, texts in ((grid.rows[0].cells, titles), *((grid.add_row().cells, row) for row in rows)):
        for cell, text, figure in zip(cells, texts, figures, strict=True):
            cell.text = dated(text)
            if figure:
                cell.paragraphs[0].alignment = WD_ALIGN_PARAGRAPH.RIGHT
    made.add_paragraph()
