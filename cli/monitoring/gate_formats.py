"""Results of gates as the systems that run checks read them: text, workflow commands, JUnit XML and Markdown."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from typing import Final

from analysis.formatting import count
from analysis.gates.result import GateResult

_WORDS: Final = {"passed": "ok", "failed": "FAIL", "cannot_say": "?"}
_NOT_XML: Final = re.compile("[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")


def headline(results: Sequence[GateResult], failures: Sequence[GateResult]) -> str:
    """How many gates failed, and of how many the log cannot say."""
    unsure = [one for one in results if one.passed is None]
    text = f"{len(failures)} of {count(len(results), 'gate')} failed" if failures else "No gate failed"
    if unsure:
        text += f"; of {count(len(unsure), 'gate')} the log cannot say"
        text += ", which counts as failed" if any(one in failures for one in unsure) else ""
    return f"{text}."


def text(results: Sequence[GateResult], failures: Sequence[GateResult], told: Sequence[str] = ()) -> list[str]:
    """The headline, a line per gate, those that failed first, and what is `told` beside them."""
    ordered = sorted(results, key=lambda one: (one not in failures, one.passed is not None))
    width = max((len(one.name) for one in results), default=0)
    lines = [f"{_WORDS[one.outcome]:<4}  {one.name:<{width}}  {one.sentence}" for one in ordered]
    remedy = next((one.remedy for one in ordered if one.remedy), None)
    more = ["", *told] if told else []
    return [headline(results, failures), "", *lines, *more, *(["", f"Next: {remedy}"] if remedy else [])]


def github(results: Sequence[GateResult], failures: Sequence[GateResult], told: Sequence[str] = ()) -> list[str]:
    """Workflow commands (GitHub Actions, 2026-11): an error, a warning or a notice per gate."""
    lines = []
    for one in results:
        level = "error" if one in failures else "warning" if one.passed is None else "notice"
        message = _command_text(f"{one.sentence}{f' Next: {one.remedy}' if one.remedy else ''}")
        lines.append(f"::{level} title={_command_property(f'hindcast check: {one.name}')}::{message}")
    return [*lines, *(f"::notice title=hindcast check::{_command_text(sentence)}" for sentence in told)]


def _command_text(value: str) -> str:
    return value.replace("%", "%25").replace("\r", "%0D").replace("\n", "%0A")


def _command_property(value: str) -> str:
    return _command_text(value).replace(":", "%3A").replace(",", "%2C")


def junit(results: Sequence[GateResult], failures: Sequence[GateResult], told: Sequence[str] = ()) -> list[str]:
    """One test case per gate; what the log cannot say is skipped, unless it counts as failed."""
    from xml.sax.saxutils import escape, quoteattr  # imports the clients of HTTP

    skipped = sum(one.passed is None and one not in failures for one in results)
    counts = f'tests="{len(results)}" failures="{len(failures)}" errors="0" skipped="{skipped}"'
    lines = ['<?xml version="1.0" encoding="UTF-8"?>', f'<testsuites name="hindcast" {counts}>',
             f'  <testsuite name="hindcast check" {counts}>']  # fmt: skip
    for one in results:
        case = f'    <testcase classname="hindcast.check" name={quoteattr(_xml(one.name))}'
        message, more = quoteattr(_xml(one.sentence)), escape(_xml(one.remedy or ""))
        if one in failures:
            lines.append(f'{case}><failure type="{one.outcome}" message={message}>{more}</failure></testcase>')
        elif one.passed is None:
            lines.append(f"{case}><skipped message={message}/></testcase>")
        else:
            lines.append(f"{case}><system-out>{escape(_xml(one.sentence))}</system-out></testcase>")
    beside = [f"    <system-out>{escape(_xml(chr(10).join(told)))}</system-out>"] if told else []
    return [*lines, *beside, "  </testsuite>", "</testsuites>"]


def _xml(value: str) -> str:
    return _NOT_XML.sub("\ufffd", value)


def markdown(results: Sequence[GateResult], failures: Sequence[GateResult], told: Sequence[str] = ()) -> list[str]:
    """A comment for a pull request."""
    from dashboard.render.tables import escape_markdown  # pages are not needed for the other forms

    lines = [f"### Hindcast: {headline(results, failures)}", "", "| outcome | gate | found |", "|---|---|---|"]
    for one in sorted(results, key=lambda one: (one not in failures, one.passed is not None)):
        mark = "❌ failed" if one in failures else "❔ cannot say" if one.passed is None else "✅ passed"
        lines.append(f"| {mark} | {escape_markdown(one.name)} | {escape_markdown(one.sentence)} |")
    if told:
        lines += ["", *(f"- {escape_markdown(sentence)}" for sentence in told)]
    remedies = list(dict.fromkeys(one.remedy for one in results if one.remedy and one.passed is not True))
    if remedies:
        lines += ["", "Next:", "", *(f"- {_next(remedy, escape_markdown)}" for remedy in remedies)]
    return lines


def _next(remedy: str, escaped: Callable[[str], str]) -> str:
    """A command as code, a sentence as it stands."""
    return f"`{remedy}`" if remedy.startswith("hindcast ") and "`" not in remedy else escaped(remedy)


FORMS: Final[dict[str, Callable[[Sequence[GateResult], Sequence[GateResult], Sequence[str]], list[str]]]] = {
    "text": text, "github": github, "junit": junit, "markdown": markdown,
}  # fmt: skip
