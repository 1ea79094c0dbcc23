"""What every request passes before any route: known host, same origin, not too often."""

import ipaddress
from urllib.parse import urlsplit

from fastapi import HTTPException
from starlette.datastructures import Headers, MutableHeaders
from starlette.responses import JSONResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from deeppneumonia.server.rate_limit import RateLimit
from deeppneumonia.server.settings import Settings

CSP = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; "
    "connect-src 'self'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'"
)
REPORT_CSP = "default-src 'none'; style-src 'unsafe-inline'; img-src data:; sandbox"
"""For report.html alone: its style sheet stands in the file; it has no script and may run none."""

CROWD = 20
"""Times as many requests as one user may come from one address."""

UPLOADS = ("/api/v1/studies", "/dicom-web/studies")
"""Where a body is received as a stream, within limits of its own."""

SHORT_BYTES = 64 * 1024
"""Of any other body, which is held in memory, and before anybody has logged in."""

SAFE_METHODS = ("GET", "HEAD", "OPTIONS")


class Guard:
    """ASGI middleware around the whole app."""

    def __init__(self, app: ASGIApp, settings: Settings) -> None:
        self.app = app
        self.settings = settings
        self.rate = RateLimit(settings.requests_per_minute)
        self.crowd = RateLimit(CROWD * settings.requests_per_minute)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        refusal = self._refusal(scope)

        async def send_safely(message: Message) -> None:
            if message["type"] == "http.response.start":
                self._set_headers(MutableHeaders(scope=message), scope["path"])
            await send(message)

        if not scope["path"].startswith(UPLOADS):
            receive = _short(receive)
        await (refusal or self.app)(scope, receive, send_safely)

    def _refusal(self, scope: Scope) -> JSONResponse | None:
        headers = Headers(scope=scope)
        if not self._is_known(headers.get("host", "")):
            return _problem(421, "This server is not known under that name.")
        if scope["method"] not in SAFE_METHODS and _is_foreign(headers):
            return _problem(403, "The request comes from another site's page and is refused.")
        key = headers.get("authorization") or headers.get("cookie") or _address(scope)
        # Secrets can be made up, addresses less easily; behind a proxy many people share one.
        wait_s = max(self.rate.wait_s(key[:500]), self.crowd.wait_s(_address(scope)))
        if wait_s and not scope["path"].startswith("/health"):
            return _problem(429, "Too many requests: slow down.", wait_s)
        return None

    def _is_known(self, host: str) -> bool:
        """Against DNS rebinding: a page elsewhere must not reach us under a name of its own."""
        name = host_name(host)
        allowed = ("localhost", "testserver", self.settings.host, *self.settings.public_hosts)
        return name in (one.lower() for one in allowed) or _is_address(name)

    def _set_headers(self, headers: MutableHeaders, path: str) -> None:
        headers.setdefault("Content-Security-Policy", CSP)
        headers.setdefault("X-Content-Type-Options", "nosniff")
        headers.setdefault("Referrer-Policy", "no-referrer")
        headers.setdefault("Cross-Origin-Opener-Policy", "same-origin")
        headers.setdefault("Cross-Origin-Resource-Policy", "same-origin")
        if not path.startswith("/static/"):
            headers.setdefault("Cache-Control", "no-store")
        if self.settings.behind_tls:
            headers.setdefault("Strict-Transport-Security", "max-age=31536000")


def _short(receive: Receive) -> Receive:
    """The same body, which ends with an error when it is longer than any that is expected."""
    taken = 0

    async def receive_short() -> Message:
        nonlocal taken
        message = await receive()
        taken += len(message.get("body", b""))
        if taken > SHORT_BYTES:
            raise HTTPException(413, "The request is longer than any of this kind.")
        return message

    return receive_short


def host_name(host: str) -> str:
    """The name or address in a Host header, in lower case; empty when there is none in it."""
    try:
        return urlsplit(f"//{host}").hostname or ""
    except ValueError:  # [abc
        return ""


def _is_foreign(headers: Headers) -> bool:
    """Against CSRF: every browser says where a request comes from; programs need not.

    A request that bears a token is not a browser's doing, as no page can add one unasked.
    """
    if headers.get("authorization", "").startswith("Bearer "):
        return False
    site = headers.get("sec-fetch-site")
    if site is not None:
        return site not in ("same-origin", "none")
    origin = headers.get("origin")
    if origin is not None:
        return origin.partition("://")[2] != headers.get("host")
    return "cookie" in headers  # a browser without either header would be twenty years old


def _is_address(name: str) -> bool:
    """An address cannot be rebound to another machine, as a name can."""
    try:
        ipaddress.ip_address(name)
    except ValueError:
        return False
    return True


def _address(scope: Scope) -> str:
    return scope["client"][0] if scope.get("client") else "unknown"


def _problem(status: int, detail: str, wait_s: float = 0) -> JSONResponse:
    headers = {"Retry-After": str(int(wait_s) + 1)} if wait_s else None
    return JSONResponse({"detail": detail}, status, headers)
