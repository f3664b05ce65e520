"""What axe-core finds wrong with a page, as sentences."""

from __future__ import annotations

from typing import Any

_RUN = """async within => {
    const tags = ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa"];
    const result = await axe.run(within, {runOnly: {type: "tag", values: tags}});
    return result.violations.map(found => [
        found.id, found.help, found.nodes.length, found.nodes[0].target.join(" "), found.nodes[0].html,
    ]);
}"""


def violations(page: Any, axe: str, *, within: str = "body", ignore: tuple[str, ...] = ()) -> list[str]:
    """Breaches of WCAG 2.1 A and AA inside `within`: the rule, its help and the first place of each."""
    page.evaluate(f"() => {{ {axe} }}")
    return [
        f"{rule}: {text} ({count} x, {place}: {html[:160]})"
        for rule, text, count, place, html in page.evaluate(_RUN, within)
        if rule not in ignore
    ]
