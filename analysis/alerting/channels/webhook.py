"""Notices as JSON to an address: as they are, or in the shapes of Slack, Teams and Discord.

Shapes as of 2026-11: Slack "incoming webhooks" (`text`), Teams "Workflows" (a message with an Adaptive Card 1.4),
Discord "Execute Webhook" (`content` of at most 2,000 characters).
"""

from __future__ import annotations

import json
import ssl
import urllib.error
import urllib.parse
import urllib.request
from http.client import HTTPException
from typing import Any, Final

from analysis.alerting.channels import Send, UndeliveredError, secret
from analysis.alerting.notices import Notice
from analysis.alerting.settings import ChannelSettings
from ingest.errors import InputError

TIMEOUT_S: Final = 10.0
_DISCORD: Final = 2_000
_CONTENT: Final = (400, 413, 415, 422)  # the notice itself is refused; any other status may be mended


class _NoRedirect(urllib.request.HTTPRedirectHandler):
    """A notice goes where it was configured to go, or nowhere."""

    def redirect_request(self, *_: Any) -> None:
        """Never follow."""


def open_channel(settings: ChannelSettings) -> Send:
    """A way to post to the channel's address. Raises InputError where the environment has none."""
    url = secret(settings, settings.url_env)
    parts = urllib.parse.urlsplit(url)
    if parts.scheme not in ("http", "https") or not parts.hostname:
        raise InputError(f"{settings.url_env} holds no address that begins with http:// or https://")
    opener = urllib.request.build_opener(_NoRedirect)

    def send(notice: Notice) -> None:
        body = json.dumps(shaped(settings.kind, notice)).encode()
        request = urllib.request.Request(  # noqa: S310  http and https only, checked above
            url, body, {"content-type": "application/json", "idempotency-key": notice.notice_id,
                        "user-agent": "hindcast"}
        )  # fmt: skip
        try:
            with opener.open(request, timeout=TIMEOUT_S):
                return
        except urllib.error.HTTPError as error:
            status = error.code
            error.close()
            raise UndeliveredError(f"answered {status}", final=status in _CONTENT) from None
        except (OSError, HTTPException, ssl.SSLError, ValueError) as error:
            raise UndeliveredError(reason(error)) from None

    return send


def reason(error: BaseException) -> str:
    """Why a connection failed, without the address."""
    inner = getattr(error, "reason", error)
    if isinstance(inner, TimeoutError):
        return "no answer in time"
    if isinstance(inner, OSError) and inner.strerror:
        return inner.strerror
    return type(inner if isinstance(inner, BaseException) else error).__name__


def shaped(kind: str, notice: Notice) -> dict[str, Any]:
    """The JSON document that the service takes. Names of the log mention nobody and format nothing."""
    if kind == "slack":
        text = notice.text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
        title, _, rest = text.partition("\n")
        return {"text": f"*{title.replace('*', '∗')}*" + (f"\n{rest}" if rest else "")}
    if kind == "discord":
        text = "".join(f"\\{mark}" if mark in "*_~`|>[]\\" else mark for mark in notice.text)
        return {"content": text[:_DISCORD], "allowed_mentions": {"parse": []}}
    if kind == "teams":
        lines = notice.text.split("\n")
        body = [
            {"type": "TextBlock", "text": _plain(line), "wrap": True, **({} if number else {"weight": "Bolder"})}
            for number, line in enumerate(lines)
        ]
        card = {"$schema": "http://adaptivecards.io/schemas/adaptive-card.json", "type": "AdaptiveCard",
                "version": "1.4", "body": body}  # fmt: skip
        attachment = {"contentType": "application/vnd.microsoft.card.adaptive", "content": card}
        return {"type": "message", "attachments": [attachment]}
    return notice.to_json()


def _plain(line: str) -> str:
    """A line whose Markdown says nothing."""
    return "".join(f"\\{mark}" if mark in "*_[]`\\" else mark for mark in line)
