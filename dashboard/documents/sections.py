"""A document as titled sections of sentences, points, tables, steps and pictures: written as HTML, Markdown or Word."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from decimal import Decimal
from html import escape

from analysis.formatting import money
from dashboard.render import cards, tables
from dashboard.render.daily_charts import Step
from dashboard.render.tables import Table


@dataclass(frozen=True)
class Points:
    """Short remarks, one below the other."""

    texts: tuple[str, ...]


@dataclass(frozen=True)
class Steps:
    """From one amount to another: each step a bar beside its name and its dollars."""

    caption: str
    steps: tuple[Step, ...]


@dataclass(frozen=True)
class Picture:
    """A picture as HTML, and in words for what has no pictures."""

    html: str
    words: str


Part = str | Points | Table | Steps | Picture


@dataclass(frozen=True)
class Section:
    """A title and what stands below it; left out where nothing does."""

    title: str
    parts: tuple[Part, ...]


def to_html(sections: Sequence[Section]) -> str:
    """The sections as HTML. Every text is escaped."""
    return "\n".join(
        f"<section><h2>{escape(one.title)}</h2>\n{''.join(map(_html, one.parts))}</section>"
        for one in sections
        if one.parts
    )


def _html(part: Part) -> str:
    match part:
        case str():
            return f'<p class="hc-lead">{cards.prose(part)}</p>'
        case Points():
            return cards.points_html(part.texts)
        case Table():
            return tables.html(part)
        case Steps():
            return steps_html(part)
        case Picture():
            return part.html


def steps_html(drawn: Steps) -> str:
    """Bars of a table row each: names never lie over one another, whatever the width of the paper."""
    low, high = _reach(drawn.steps)
    width = high - low or Decimal(1)
    rows = []
    level = Decimal(0)
    for step in drawn.steps:
        begin, end = (Decimal(0), step.amount) if step.kind == "total" else (level, level + step.amount)
        level = end
        left = float((min(begin, end) - low) / width * 100)
        size = max(float(abs(end - begin) / width * 100), 0.4) if step.amount else 0.0
        kind = "total" if step.kind == "total" else "worse" if step.amount > 0 else "better"
        detail = f' <span class="hc-soft">{escape(step.detail)}</span>' if step.detail else ""
        rows.append(
            f'<tr><th scope="row">{escape(step.label)}{detail}</th><td class="hc-figure">'
            f"{cards.prose(money(step.amount, sign=step.kind != 'total'))}</td>"
            f'<td class="hc-bar" aria-hidden="true"><span class="hc-{kind}" '
            f'style="margin-left:{left:.2f}%;width:{size:.2f}%"></span></td></tr>'
        )
    return f'<table class="hc-steps"><caption>{escape(drawn.caption)}</caption><tbody>{"".join(rows)}</tbody></table>'


def _reach(steps: Sequence[Step]) -> tuple[Decimal, Decimal]:
    """The least and the greatest level that the steps come to, 0 among them."""
    level, seen = Decimal(0), [Decimal(0)]
    for step in steps:
        level = step.amount if step.kind == "total" else level + step.amount
        seen.append(level)
    return min(seen), max(seen)


def to_markdown(sections: Sequence[Section], level: int = 3) -> list[str]:
    """The sections as lines of Markdown; what it would act on is escaped."""
    lines: list[str] = []
    for one in sections:
        if not one.parts:
            continue
        lines += ["", f"{'#' * level} {tables.escape_markdown(one.title)}"]
        for part in one.parts:
            lines += ["", *_markdown(part)]
    return lines


def _markdown(part: Part) -> list[str]:
    match part:
        case str():
            return [tables.escape_markdown(part)]
        case Points():
            return [f"- {tables.escape_markdown(text)}" for text in part.texts]
        case Table():
            return [tables.markdown(part)]
        case Steps():
            return [f"- {tables.escape_markdown(text)}" for text in step_lines(part)]
        case Picture():
            return [tables.escape_markdown(part.words)]


def step_lines(drawn: Steps) -> list[str]:
    """Each step in words."""
    return [
        f"{step.label}{', ' + step.detail if step.detail else ''}: {money(step.amount, sign=step.kind != 'total')}"
        for step in drawn.steps
    ]
