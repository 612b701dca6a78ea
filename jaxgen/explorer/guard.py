"""Who may ask the explorer: checked before any route."""

from __future__ import annotations

import hmac
import ipaddress
import secrets
import socket
from collections.abc import Iterable, Mapping
from typing import Any

from starlette.responses import JSONResponse

from jaxgen.config import ConfigError

SHORTEST = 16  # characters of a token
OPEN = ("/", "/favicon.ico", "/api/session")  # and /static/, without a token
HEADERS = {
    "Content-Security-Policy": "default-src 'self'; img-src 'self' blob:; base-uri 'none'; "
    "form-action 'none'; frame-ancestors 'none'; object-src 'none'",
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Cache-Control": "no-store",
}
EVERY = ("0.0.0.0", "::")  # addresses that stand for all of a machine


def is_loopback(host: str) -> bool:
    """Whether nothing but this machine reaches it."""
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def checked_token(host: str, token: str | None) -> str | None:
    """The token that is asked for; None of a loopback host that was given none.

    Raises:
        ConfigError: for one that can be guessed.
    """
    if token is None:
        return None if is_loopback(host) else secrets.token_urlsafe(24)
    if len(token) < SHORTEST or not token.isascii() or not token.isprintable():
        raise ConfigError(
            f"--token: expected {SHORTEST} or more letters, digits and signs; leave it out with "
            "--host, and one is made"
        )
    return token


def names_of(host: str) -> frozenset[str]:
    """Names under which a server bound to `host` may be asked for.

    With them a page of another site, whose name its owner has made to mean this machine, is
    refused (DNS rebinding).
    """
    names = {host.lower()}
    if is_loopback(host) or host in EVERY:
        names |= {"localhost", "127.0.0.1", "::1"}
    if host in EVERY:
        names |= {socket.gethostname().lower(), socket.getfqdn().lower()}
    return frozenset(names)


class Guard:
    """Checks the Host of every request, the Origin of those that do something, and the token.

    Attributes:
        token: to be exchanged for the cookie; None where none is asked for.
        cookie: its name.
    """

    def __init__(self, app: Any, host: str, token: str | None, port: int = 0):
        """Makes the secret of this server's cookie.

        Args:
            app: is asked what passes.
            host: that the server is bound to.
            token: see the class.
            port: tells cookies of several servers of one machine apart.
        """
        self._app, self._names, self._any = app, names_of(host), host in EVERY
        self.token, self.cookie, self._secret = token, f"jaxgen-{port}", secrets.token_urlsafe(32)

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        """Of ASGI."""
        if scope["type"] != "http":
            return
        refused = self._refusal(scope)

        async def sent(message: Any) -> None:
            if message["type"] == "http.response.start":
                own = [(k.lower().encode(), v.encode()) for k, v in HEADERS.items()]
                message["headers"] = [*message.get("headers", ()), *own]
            await send(message)

        await (refused or self._app)(scope, receive, sent)

    def session(self, token: Any) -> str | None:
        """The cookie for a token, as a header; None for a wrong one."""
        if self.token is None or not isinstance(token, str) or not _same(token, self.token):
            return None
        return f"{self.cookie}={self._secret}; Path=/; HttpOnly; SameSite=Strict"

    def _refusal(self, scope: Any) -> JSONResponse | None:
        headers = [(k.decode("latin-1"), v.decode("latin-1")) for k, v in scope["headers"]]
        hosts = [v for k, v in headers if k == "host"]
        if len(hosts) != 1 or not self._known(hosts[0]):
            return _error(421, "this server is not known by that name")
        if scope["method"] not in ("GET", "HEAD"):
            origins = [v for k, v in headers if k == "origin"]
            if origins != [f"{scope.get('scheme', 'http')}://{hosts[0]}"]:
                return _error(403, "the request came from another page")
        path = scope["path"]
        if self.token is None or path in OPEN or path.startswith("/static/"):
            return None
        if not any(_same(v, self._secret) for v in _cookies(headers, self.cookie)):
            return _error(
                403, "a token is needed: open the address that jaxgen explore has printed"
            )
        return None

    def _known(self, host: str) -> bool:
        name = host_name(host)
        if name in self._names:
            return True
        try:  # an address is no name that could be made to mean another
            ipaddress.ip_address(name)
        except ValueError:
            return False
        return self._any


def host_name(host: str) -> str:
    """Of a Host header: without port, brackets and the dot of a whole name, in small letters."""
    if host.startswith("["):
        return host[1:].partition("]")[0].lower()
    return host.partition(":")[0].lower().removesuffix(".")


def _cookies(headers: Iterable[tuple[str, str]], name: str) -> list[str]:
    parts = [part.strip() for k, v in headers if k == "cookie" for part in v.split(";")]
    return [part.partition("=")[2] for part in parts if part.partition("=")[0] == name]


def _same(given: str, secret: str) -> bool:
    return hmac.compare_digest(given.encode("utf-8", "surrogatepass"), secret.encode())


def _error(status: int, text: str) -> JSONResponse:
    body: Mapping[str, str] = {"error": text}
    return JSONResponse(body, status)
