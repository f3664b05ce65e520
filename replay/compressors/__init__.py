"""Prompt compressors: one pure function per file, found automatically.

A file of this package that has a `COMPRESSOR` adds a compressor under its file's name; no list elsewhere names it.
"""

from __future__ import annotations

import importlib
import pkgutil
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import cache
from typing import Any, Literal

from ingest.errors import did_you_mean


@dataclass(frozen=True)
class Compressor:
    """What a compressor does to which part of a request.

    level `message`: `apply(message, **parameters) -> message`, on each distinct message.
    level `tools`: `apply(tools, **parameters) -> tools`, on each distinct list of tool definitions.
    level `request`: `apply(request, **parameters)` on a `replay.stages.compression.Requests`, all requests at once.
    level `answer`: `apply(output_tokens, **parameters) -> output_tokens`, an assumption about shorter answers.
    `beside`: what it does to all requests at once, as level `request`, after `apply`.
    `lossless`: the model reads the same content. `prefix_stable`: a request that extends another still does after
    compression, so the provider's prompt cache keeps working.
    """

    apply: Callable[..., Any]
    level: Literal["message", "tools", "request", "answer"]
    lossless: bool
    prefix_stable: bool
    parameters: Mapping[str, Any] = field(default_factory=dict)  # name -> default
    about: Mapping[str, str] = field(default_factory=dict)  # parameter -> what it says
    main_parameter: str | None = None  # what `{name: value}` sets
    writes: str | None = None  # the parameter with the tokens that a model call writes for what is left out
    beside: Callable[..., None] | None = None
    needs_text: bool = True  # False: works on the list of messages alone, also where the log keeps only hashes

    def check(self, given: Mapping[str, Any]) -> None:
        """ValueError for a parameter that this compressor does not have or that has the wrong type."""
        for name, value in given.items():
            if name not in self.parameters:
                if not self.parameters:
                    raise ValueError(f"takes no parameters, so not '{name}'")
                raise ValueError(f"unknown parameter '{name}'. {did_you_mean(name, self.parameters)}")
            default = self.parameters[name]
            if isinstance(value, bool) != isinstance(default, bool) or not isinstance(
                value, (int, float) if isinstance(default, float) else type(default)
            ):
                raise ValueError(f"{name} must be like {default!r}, not {value!r}")
            if isinstance(default, (int, float)) and not isinstance(default, bool) and value < 0:
                raise ValueError(f"{name} must not be negative")


@cache
def _found() -> dict[str, Compressor]:
    result = {}
    for module in sorted(pkgutil.iter_modules(__path__), key=lambda entry: entry.name):
        compressor = getattr(importlib.import_module(f"{__name__}.{module.name}"), "COMPRESSOR", None)
        if isinstance(compressor, Compressor):
            result[module.name] = compressor
    return result


def names() -> tuple[str, ...]:
    """All compressors, sorted."""
    return tuple(_found())


def find(name: str) -> Compressor:
    """The compressor of that name. KeyError if there is none."""
    return _found()[name]
