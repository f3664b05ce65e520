"""A drafted strategy and its YAML text: every line with the evidence behind it as a comment."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, Final

import yaml

from replay.strategy.schema import Strategy, parse

WIDTH: Final = 10_000  # of a line of YAML: one item, one line
_LISTS: Final = ("compress", "route")


@dataclass(frozen=True)
class Line:
    """One item of a list of the file, or one value, and why it stands there."""

    value: Any
    why: str


@dataclass(frozen=True)
class Draft:
    """A strategy before anybody has looked at it. `slug` names its file, `heading` says what it came to on the log."""

    slug: str
    name: str
    description: str
    floor: float
    compress: tuple[Line, ...] = ()
    route: tuple[Line, ...] = ()
    tiers: tuple[Line, ...] = ()
    provider_cache: Line | None = None
    quality_note: str = ""
    heading: tuple[str, ...] = ()

    @property
    def stages(self) -> int:
        """How many stages it has."""
        return sum(map(bool, (self.compress, self.route, self.tiers, self.provider_cache)))

    def strategy(self) -> Strategy:
        """The strategy that the text declares. Raises StrategyError, as any file."""
        return parse(self.text(), f"{self.slug}.yaml")

    def text(self) -> str:
        """The YAML file."""
        lines = [f"# {_plain(line)}" for line in self.heading]
        lines += [f"name: {_flow(self.name)}", f"description: {_flow(self.description)}"]
        for key in _LISTS:
            items: tuple[Line, ...] = getattr(self, key)
            if items:
                lines += [f"{key}:", *_items(items, "  ")]
        if self.tiers:
            lines += ["cache:", "  key: canonical", "  tiers:", *_items(self.tiers, "    ")]
        if self.provider_cache is not None:
            lines += [f"# {_plain(self.provider_cache.why)}", f"provider_cache: {_flow(self.provider_cache.value)}"]
        if self.quality_note:
            lines.append(f"# {_plain(self.quality_note)}")
        lines.append(f"quality: {{floor: {self.floor:g}}}")
        return "\n".join(lines) + "\n"


def _items(items: Iterable[Line], indent: str) -> list[str]:
    return [text for item in items for text in (f"{indent}# {_plain(item.why)}", f"{indent}- {_flow(item.value)}")]


def _flow(value: Any) -> str:
    """A value in one line of YAML. Names of a log are data: whatever they hold, the text reads back as they are."""
    text: str = yaml.safe_dump([value], default_flow_style=True, sort_keys=False, width=WIDTH, allow_unicode=False)
    return text.strip()[1:-1]


def _plain(text: str) -> str:
    """Text for a comment: in one line, whatever a name of the log holds."""
    return " ".join("".join(char if char.isprintable() else " " for char in text).split())
