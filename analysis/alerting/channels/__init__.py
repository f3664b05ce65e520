"""Ways to tell people: webhooks, mail, and the services of apprise."""

from __future__ import annotations

import importlib
import os
from collections.abc import Callable
from typing import Final

from analysis.alerting.notices import Notice
from analysis.alerting.settings import ChannelSettings
from ingest.errors import InputError

_MODULES: Final = {"mail": "mail", "apprise": "apprise_services"}


class UndeliveredError(Exception):
    """A notice that a channel did not take. The message names no address and no secret.

    `final`: sending it again is of no use.
    """

    def __init__(self, message: str, *, final: bool = False) -> None:
        super().__init__(message)
        self.final = final


Send = Callable[[Notice], None]  # raises UndeliveredError


def open_channel(settings: ChannelSettings) -> Send:
    """A way to send through the channel. Raises InputError where the environment lacks what it names."""
    module = importlib.import_module(f"{__name__}.{_MODULES.get(settings.kind, 'webhook')}")
    found: Send = module.open_channel(settings)
    return found


def secret(settings: ChannelSettings, variable: str | None) -> str:
    """The value of an environment variable that a channel needs. Raises InputError that names it."""
    value = os.environ.get(variable or "", "").strip()
    if not value:
        raise InputError(
            f"the channel '{settings.name}' needs the environment variable {variable}",
            remedy=f"Set it where hindcast watch is started: export {variable}=...",
        )
    return value
