"""Who may see the live page: on loopback whoever is on the machine, elsewhere whoever has the token."""

import hmac
from collections.abc import Awaitable, Callable, MutableMapping
from http.cookies import CookieError, SimpleCookie
from typing import Any
from urllib.parse import parse_qs, urlencode

from starlette.datastructures import Headers
from starlette.responses import HTMLResponse, PlainTextResponse, RedirectResponse, Response

from clickstream.page.live.frame import alert
from clickstream.page.markup import Html, tag

Scope = MutableMapping[str, Any]
App = Callable[[Scope, Callable[[], Awaitable[Any]], Callable[[Any], Awaitable[None]]], Awaitable[None]]

LOOPBACK = ("127.0.0.1", "localhost", "::1")
COOKIE = "clickstream_token"
HEADERS = {
    "content-security-policy": (
        "default-src 'none'; style-src 'self'; script-src 'self'; connect-src 'self'; img-src 'self'; "
        "form-action 'self'; base-uri 'none'; frame-ancestors 'none'"
    ),
    "x-content-type-options": "nosniff",
    "referrer-policy": "no-referrer",
    "cross-origin-resource-policy": "same-origin",
    "cache-control": "no-store",
}
_OPEN = "/static/"
_LONGEST_FORM = 4_096


class Guard:
    """Lets requests through to the app, and puts the headers on every answer.

    Args:
        app: What is guarded.
        token: Needed to see anything; None: none is, and then only requests to a loopback name are let through, so that no other
            site's page can ask in the name of whoever has it open (DNS rebinding).
    """

    def __init__(self, app: App, token: str | None) -> None:
        self._app, self._token = app, token

    async def __call__(self, scope: Scope, receive: Any, send: Any) -> None:
        """One request."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return

        async def with_headers(message: Any) -> None:
            if message["type"] == "http.response.start":
                message["headers"] = [*message["headers"], *((k.encode(), v.encode()) for k, v in HEADERS.items())]
            await send(message)

        refusal = await self._refusal(scope, receive)
        await (refusal or self._app)(scope, receive, with_headers)

    async def _refusal(self, scope: Scope, receive: Any) -> Response | None:
        """What is answered instead; None: the request is let through."""
        headers = Headers(scope=scope)
        if self._token is None:
            if _name(headers.get("host", "")).lower() in LOOPBACK:
                return None
            return PlainTextResponse("This page answers to 127.0.0.1 and localhost only.", 421)
        query = parse_qs(scope["query_string"].decode("latin-1"))
        given = query.pop("token", None)
        if scope["method"] == "POST":
            given = parse_qs((await _body(receive)).decode("latin-1")).get("token", [""])
        if given is not None:
            rest = urlencode(query, doseq=True)
            path = "/" + scope["path"].lstrip("/")
            return self._admission(given[0], f"{path}?{rest}" if rest else path, scope["scheme"] == "https")
        if scope["path"].startswith(_OPEN) or self._fits(_cookie(headers)):
            return None
        return HTMLResponse(_login_page(), 401)

    def _admission(self, token: str, to: str, secure: bool) -> Response:
        """The token goes from the address into a cookie: addresses are sent to others, and stay in histories."""
        if not self._fits(token):
            return HTMLResponse(_login_page(wrong=True), 401)
        answer = RedirectResponse(to, 303)
        answer.set_cookie(COOKIE, token, httponly=True, samesite="lax", secure=secure)
        return answer

    def _fits(self, given: str) -> bool:
        return hmac.compare_digest(given.encode("utf-8", "replace"), (self._token or "").encode())


def _name(host: str) -> str:
    """A Host header's name without its port."""
    return host[1:].partition("]")[0] if host.startswith("[") else host.rpartition(":")[0] or host


def _cookie(headers: Headers) -> str:
    try:
        found = SimpleCookie(headers.get("cookie", "")).get(COOKIE)
    except CookieError:
        return ""
    return found.value if found else ""


async def _body(receive: Any) -> bytes:
    body, more = b"", True
    while more and len(body) < _LONGEST_FORM:
        message = await receive()
        body, more = body + message.get("body", b""), message.get("more_body", False)
    return body


def _login_page(*, wrong: bool = False) -> str:
    """A form for the token that was printed when the page was started."""
    field = tag("input", type="password", name="token", required="", autocomplete="current-password", autofocus="")
    form = tag(
        "form",
        tag("label", tag("span", "Token"), field, class_="field"),
        tag("button", "Open", type="submit", class_="main"),
        method="post",
        class_="row",
    )
    said = alert("That is not the token.") if wrong else Html()
    text = tag("p", "The token was printed where the page was started, or is what --page_token names.", class_="muted")
    head = '<meta charset="utf-8"><meta name="viewport" content="width=device-width, initial-scale=1"><title>Clickstream</title>'
    styles = "".join(f'<link rel="stylesheet" href="/static/{name}.css">' for name in ("style", "page"))
    icon = '<link rel="icon" href="/static/icon.svg" type="image/svg+xml">'
    body = tag("main", tag("section", tag("h1", "Clickstream"), said, form, text), class_="login")
    return f'<!doctype html>\n<html lang="en"><head>{head}{icon}{styles}</head>\n<body>{body}</body>\n</html>\n'
