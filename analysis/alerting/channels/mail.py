"""Notices by e-mail, over SMTP."""

from __future__ import annotations

import smtplib
import ssl
from email.message import EmailMessage
from email.utils import formatdate
from typing import Final

from analysis.alerting.channels import Send, UndeliveredError, secret
from analysis.alerting.channels.webhook import reason
from analysis.alerting.notices import Notice
from analysis.alerting.settings import ChannelSettings

TIMEOUT_S: Final = 10.0
_PORTS: Final = {"tls": 465, "starttls": 587, "none": 25}


def open_channel(settings: ChannelSettings) -> Send:
    """A way to send through the channel's server. Raises InputError where the environment has no password."""
    password = secret(settings, settings.password_env) if settings.password_env else None

    def send(notice: Notice) -> None:
        try:
            with _connection(settings) as server:
                if settings.user is not None and password is not None:
                    server.login(settings.user, password)
                refused = server.send_message(message(settings, notice), settings.sender, list(settings.recipients))
        except smtplib.SMTPAuthenticationError:
            raise UndeliveredError("the server refuses the user or its password") from None
        except smtplib.SMTPResponseException as error:
            raise UndeliveredError(f"answered {error.smtp_code}") from None
        except smtplib.SMTPRecipientsRefused:
            raise UndeliveredError("the server refuses every recipient") from None
        except (OSError, smtplib.SMTPException, ValueError) as error:
            raise UndeliveredError(reason(error)) from None
        if refused:  # the others have it: sent again, they would have it twice
            raise UndeliveredError(f"the server refuses {len(refused)} of the recipients", final=True)

    return send


def _connection(settings: ChannelSettings) -> smtplib.SMTP:
    port = settings.port or _PORTS[settings.tls]
    context = ssl.create_default_context()
    if settings.tls == "tls":
        return smtplib.SMTP_SSL(settings.host, port, timeout=TIMEOUT_S, context=context)
    server = smtplib.SMTP(settings.host, port, timeout=TIMEOUT_S)
    if settings.tls == "starttls":
        try:
            server.starttls(context=context)
        except BaseException:
            server.close()
            raise
    return server


def message(settings: ChannelSettings, notice: Notice) -> EmailMessage:
    """The mail. Its Message-ID is the same each time that the notice is sent, so that servers can tell a repetition."""
    found = EmailMessage()
    found["Subject"] = f"[Hindcast] {notice.title}"
    found["From"] = settings.sender
    found["To"] = ", ".join(settings.recipients)
    found["Date"] = formatdate(usegmt=True)
    found["Message-ID"] = f"<{notice.notice_id}@hindcast.invalid>"
    found["Auto-Submitted"] = "auto-generated"
    found.set_content(notice.text + "\n")
    return found
