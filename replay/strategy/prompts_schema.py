"""The `prompts:` part of a strategy file: texts of prompts that are replaced by the texts of files.

    prompts:
      - {old: prompts/draft_v1.txt, new: prompts/draft_v2.txt}
      - {match: {agent: research_agent}, part: tools, new: tools.json}

With `old`, every call that holds its text gets the new one in its place; a file of JSON stands for tool schemas or for
few-shot messages. Without `old`, the whole `part` of the selected calls is replaced.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated, Any, Final, Literal

from pydantic import BeforeValidator, Field, ValidationInfo, model_validator
from pydantic_core import PydanticCustomError

from replay.strategy.fields import Name, Part, Selection

MOST_BYTES: Final = 10_000_000
Form = Literal["text", "tools", "messages"]


class PromptText(Part):
    """A text of a prompt, and the name of the file that it was read from."""

    file: Name
    text: Annotated[str, Field(min_length=1)]

    @property
    def value(self) -> Any:
        """The tools or messages of a file of JSON, as a list; None for a plain text."""
        return _listed(self.text)

    @property
    def form(self) -> Form:
        """What the file holds: JSON objects with a `role` are messages, other JSON objects are tools."""
        found = _listed(self.text)
        if found is None:
            return "text"
        return "messages" if all("role" in one for one in found) else "tools"


def _listed(text: str) -> list[dict[str, Any]] | None:
    if text.lstrip()[:1] not in ("[", "{"):
        return None
    try:
        value = json.loads(text)
    except ValueError:
        return None
    if isinstance(value, dict) and isinstance(value.get("tools"), list):
        value = value["tools"]
    found = value if isinstance(value, list) else [value]
    like_tools = ("name", "function", "input_schema", "parameters", "type", "role", "functionDeclarations", "toolSpec")
    if not found or not all(isinstance(one, dict) and any(key in one for key in like_tools) for one in found):
        return None
    return found


def read_text(path: Path, name: str) -> PromptText:
    """The text of a file, without the line end that editors put after the last line.

    Raises ValueError with a sentence where it cannot be used.
    """
    if not path.is_file():
        raise ValueError(f"there is no file '{name}'")
    if path.stat().st_size > MOST_BYTES:
        raise ValueError(f"'{name}' is larger than {MOST_BYTES:,} bytes")
    try:
        text = path.read_text("utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise ValueError(f"'{name}' cannot be read as text: {error}") from error
    text = text.removeprefix("\ufeff").rstrip("\n")
    if not text.strip():
        raise ValueError(f"'{name}' is empty")
    return PromptText(file=name, text=text)


def _file(value: object, info: ValidationInfo) -> object:
    """The name of a file beside the strategy file, or below the working folder."""
    if not isinstance(value, str):
        return value
    if Path(value).is_absolute() or ".." in Path(value).parts:
        raise PydanticCustomError("prompt", "'{file}' must lie beside the strategy file or below it", {"file": value})
    beside = (info.context or {}).get("folder", Path()) / value
    try:
        return read_text(beside if beside.is_file() else Path(value), value)
    except ValueError as error:
        raise PydanticCustomError("prompt", "{why}", {"why": str(error)}) from error


PromptFile = Annotated[PromptText, BeforeValidator(_file)]


class PromptChange(Selection):
    """One text that is replaced: `old` by `new` wherever it stands, or the whole `part` of the selected calls."""

    old: PromptFile | None = None
    new: PromptFile
    part: Literal["system", "tools"] | None = None

    @model_validator(mode="after")
    def _told_what(self) -> PromptChange:
        if (self.old is None) == (self.part is None):
            raise PydanticCustomError("prompt", "needs exactly one of old and part", {})
        if self.old is not None and self.old.form != "text" and self.new.form != self.old.form:
            raise PydanticCustomError(
                "prompt",
                "'{old}' holds {form} and '{new}' does not",
                {"old": self.old.file, "form": self.old.form, "new": self.new.file},
            )
        if self.part == "tools" and self.new.form != "tools":
            raise PydanticCustomError("prompt", "'{new}' holds no JSON list of tools", {"new": self.new.file})
        return self

    @property
    def label(self) -> str:
        """`old.txt=new.txt`, or `system=new.txt` for a whole part."""
        return f"{self.old.file if self.old else self.part}={self.new.file}"
