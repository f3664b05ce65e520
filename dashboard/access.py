"""Who may read the served pages: the names and origins that requests come from, the token, and what a page may load.

A page of another site whose name is made to point to this machine (DNS rebinding) sends that name as `Host`, and any
page may open a WebSocket to this machine with its own `Origin`: both are refused. Beyond this machine a token is asked
for, once in the address and then as a cookie.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import ipaddress
import os
import re
import socket
from collections.abc import Iterable
from dataclasses import dataclass, field
from http.cookies import CookieError, SimpleCookie
from pathlib import Path
from typing import Any, Final
from urllib.parse import parse_qsl, urlencode

from starlette.responses import PlainTextResponse, RedirectResponse, Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

LOOPBACK: Final = ("localhost", "127.0.0.1", "[::1]")
WILDCARDS: Final = ("0.0.0.0", "::", "")  # noqa: S104  compared with, not bound to
SERVED_AT: Final = "HINDCAST_SERVED_AT"  # environment variable: where a server beyond this machine listens


def is_local(host: str) -> bool:
    """Whether only this machine reaches what listens at this address."""
    try:
        return ipaddress.ip_address(host.strip("[]")).is_loopback
    except ValueError:
        return host.lower() == "localhost"


def audience() -> str:
    """Who can read the pages of this process, in a sentence."""
    where = os.environ.get(SERVED_AT)
    if where is None:
        return "Served to this machine; nothing is sent anywhere."
    return (
        f"Served at {where}: whoever has this address and its token reads all that is here, prompts too, "
        "and can mark days, save strategies and views."
    )


def inline_scripts() -> tuple[str, ...]:
    """The hashes of the scripts that are written into Streamlit's page."""
    import streamlit

    page = (Path(streamlit.__file__).parent / "static" / "index.html").read_bytes()
    scripts = re.findall(rb"<script>(.*?)</script>", page, re.DOTALL)
    return tuple(f"'sha256-{base64.b64encode(hashlib.sha256(one).digest()).decode()}'" for one in scripts)


@dataclass(frozen=True)
class Access:
    """What requests must show. `any_address` lets numeric addresses in, which no rebound name can be."""

    hosts: frozenset[str]
    token: str | None = None
    any_address: bool = False
    cookie: str = "hindcast-token"
    scripts: tuple[str, ...] = field(default_factory=inline_scripts)

    @classmethod
    def of_server(cls, host: str, port: int, names: Iterable[str] = (), token: str | None = None) -> Access:
        """The access to a server bound to `host`; `names` are further ones that a proxy passes on."""
        bound = f"[{host}]" if ":" in host else host
        everywhere = host in WILDCARDS
        own = (socket.gethostname(),) if everywhere else (bound,)
        known = frozenset(name.lower() for name in (*LOOPBACK, *own, *names))
        return cls(known, token, everywhere, f"hindcast-token-{port}")

    def is_known_host(self, given: str) -> bool:
        """Whether a `Host` header names this server."""
        found = re.fullmatch(r"(\[[0-9a-f:.]+\]|[^\[\]:/@\s]+)(?::\d{1,5})?", given.lower())
        if found is None:
            return False
        name = found.group(1).removesuffix(".")
        if name in self.hosts:
            return True
        try:
            ipaddress.ip_address(name.strip("[]"))
        except ValueError:
            return False
        return self.any_address

    def is_token(self, given: str | None) -> bool:
        """Compares in constant time."""
        return self.token is None or (given is not None and hmac.compare_digest(given.encode(), self.token.encode()))

    def headers(self, host: str) -> dict[str, str]:
        """What every answer tells the browser: load nothing from elsewhere, and show this in no frame."""
        scripts = " ".join(("'self'", *self.scripts))
        policy = (
            f"default-src 'self'; script-src {scripts}; style-src 'self' 'unsafe-inline'; img-src 'self' data: blob:; "
            f"font-src 'self' data:; connect-src 'self' ws://{host} wss://{host}; worker-src 'self' blob:; "
            "media-src 'self' blob:; object-src 'none'; base-uri 'none'; form-action 'self'; frame-ancestors 'none'"
        )
        return {
            "content-security-policy": policy,
            "x-frame-options": "DENY",
            "x-content-type-options": "nosniff",
            "referrer-policy": "same-origin",
            "cross-origin-resource-policy": "same-origin",
            "cross-origin-opener-policy": "same-origin",
        }


class AccessMiddleware:
    """ASGI middleware that lets through what `access` allows. Refusals name nothing of the store."""

    def __init__(self, app: ASGIApp, access: Access) -> None:
        self.app = app
        self.access = access

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer a request, or refuse it."""
        if scope["type"] not in ("http", "websocket"):
            await self.app(scope, receive, send)
            return
        given = scope["headers"]
        hosts = [value.decode("latin-1") for name, value in given if name == b"host"]
        host = hosts[0] if len(hosts) == 1 and self.access.is_known_host(hosts[0]) else None
        refusal = None if host is None else self._refusal(scope, host)
        if host is not None and refusal is None:
            await self.app(scope, receive, self._with_headers(send, host))
        elif scope["type"] == "websocket":
            await send({"type": "websocket.close", "code": 1008})
        elif host is None or refusal is None:
            await PlainTextResponse("This server does not go by that name.\n", 403)(scope, receive, send)
        else:
            await refusal(scope, receive, self._with_headers(send, host))

    def _refusal(self, scope: Scope, host: str) -> Response | None:
        """The answer in place of the page; None where it may be shown."""
        origins = [value.decode("latin-1").lower() for name, value in scope["headers"] if name == b"origin"]
        own = (f"http://{host.lower()}", f"https://{host.lower()}")  # https where a proxy ends it
        if any(origin not in own for origin in origins) or (scope["type"] == "websocket" and not origins):
            return PlainTextResponse("Not from another page.\n", 403)
        if self.access.is_token(self._cookie(scope)):
            return None
        query = parse_qsl(scope["query_string"].decode("latin-1"), keep_blank_values=True)
        token = dict(query).get("token")
        if scope["type"] != "http" or scope["method"] != "GET" or token is None or not self.access.is_token(token):
            return PlainTextResponse("Open the address with the token that `hindcast dashboard` has printed.\n", 401)
        rest = urlencode([pair for pair in query if pair[0] != "token"])
        path = "/" + scope["path"].lstrip("/\\")  # `//elsewhere` would be another server
        answer = RedirectResponse(path + (f"?{rest}" if rest else ""), 303)
        answer.set_cookie(self.access.cookie, token, httponly=True, samesite="lax")
        return answer

    def _cookie(self, scope: Scope) -> str | None:
        found: SimpleCookie = SimpleCookie()
        for name, value in scope["headers"]:
            if name == b"cookie":
                try:
                    found.load(value.decode("latin-1"))
                except CookieError:
                    continue
        return found[self.access.cookie].value if self.access.cookie in found else None

    def _with_headers(self, send: Send, host: str) -> Send:
        added = {name.encode(): value.encode() for name, value in self.access.headers(host).items()}

        async def send_with_headers(message: Message) -> None:
            if message["type"] == "http.response.start":
                kept: list[Any] = [pair for pair in message.get("headers", ()) if pair[0].lower() not in added]
                message = {**message, "headers": [*kept, *added.items()]}
            await send(message)

        return send_with_headers
