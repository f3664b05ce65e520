"""Notices through any of the services of `apprise`; the environment variable holds one or more of its addresses."""

from __future__ import annotations

import logging

from analysis.alerting.channels import Send, UndeliveredError, secret
from analysis.alerting.notices import Notice
from analysis.alerting.settings import ChannelSettings
from ingest.errors import InputError


def open_channel(settings: ChannelSettings) -> Send:
    """A way to send through apprise. Raises InputError where it is not installed or the addresses are none."""
    try:
        import apprise
    except ImportError as error:
        raise InputError(
            f"the channel '{settings.name}' needs apprise", remedy="Install it: pip install 'llm-hindcast[apprise]'"
        ) from error
    logging.getLogger("apprise").setLevel(logging.CRITICAL + 1)  # its messages name addresses, which are secrets
    services = apprise.Apprise()
    for address in secret(settings, settings.url_env).split():
        if not services.add(address):
            raise InputError(f"{settings.url_env} holds an address that apprise does not know")

    def send(notice: Notice) -> None:
        title, _, body = notice.text.partition("\n")
        sent = services.notify(title=title, body=body or title, body_format=apprise.NotifyFormat.TEXT)
        if not sent:
            raise UndeliveredError("a service did not take it")

    return send
