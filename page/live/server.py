"""The live page's web server: read-only, nothing but its own files, everything from the data escaped."""

import socket
import threading
import time
from collections import OrderedDict
from collections.abc import Callable, Generator, Sequence
from contextlib import contextmanager
from importlib.resources import files
from typing import Protocol

import uvicorn
from starlette.applications import Starlette
from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import HTMLResponse, PlainTextResponse, RedirectResponse, Response
from starlette.routing import Route

from clickstream.io.errors import UserError
from clickstream.io.health_client import Health
from clickstream.io.results import Rejection
from clickstream.page.address import Address, read_address
from clickstream.page.live.clicks_tab import clicks_page
from clickstream.page.live.downloads import rejected_csv, shown_only, view_csv
from clickstream.page.live.frame import alert, page
from clickstream.page.live.guard import LOOPBACK, App, Guard
from clickstream.page.live.other_tabs import health_page, rejected_page
from clickstream.page.live.timed_protocol import TimedProtocol
from clickstream.page.markup import Html, joined, tag
from clickstream.page.view import View

USUAL_PORT = 8350
_PORTS_TRIED = 50
_STATIC = {"style.css": "text/css", "page.css": "text/css", "page.js": "text/javascript", "icon.svg": "image/svg+xml"}
_CSV_SECONDS = 120.0
_REMEMBERED = 32


class Source(Protocol):
    """Where the page's numbers come from. All but `time_zone` may raise a UserError, which the page shows."""

    time_zone: str

    def view(self, address: Address, wait_seconds: float | None = None) -> View:
        """What the first tab shows of an address."""

    def rejections(self) -> tuple[Sequence[Rejection] | None, str]:
        """Why records were rejected, and where that is kept; None: it can't be shown, and why."""

    def late(self) -> tuple[int | None, str]:
        """How many clicks came too late, and who says so; None: it isn't known, and why."""

    def health(self) -> Health | None:
        """How the live job does; None: there is none."""


def page_app(source: Source, token: str | None = None) -> App:
    """The page as an ASGI application; see `Guard` for the token."""
    tabs = _Tabs(source)
    routes = [
        Route("/", tabs.clicks),
        Route("/rejected", tabs.rejected),
        Route("/health", tabs.health),
        Route("/rejected.csv", tabs.rejected_csv),
        *(Route(f"/{name}.csv", tabs.csv) for name in ("over-time", "pages", "countries")),
        *(Route(f"/static/{name}", _static) for name in _STATIC),
    ]
    return Guard(Starlette(routes=routes), token)


def _static(request: Request) -> Response:
    name = request.url.path.rpartition("/")[2]
    folder = files("clickstream.page")
    place = folder if name == "style.css" else folder.joinpath("static")
    return Response(place.joinpath(name).read_bytes(), media_type=_STATIC[name])


class _Tabs:
    """Answers requests. Sources block, so each asks in a thread of its own."""

    def __init__(self, source: Source) -> None:
        self._source = source
        self._shown: OrderedDict[Address, View] = OrderedDict()
        self._lock = threading.Lock()

    async def clicks(self, request: Request) -> Response:
        return await run_in_threadpool(self._clicks, request)

    async def rejected(self, request: Request) -> Response:
        return await run_in_threadpool(self._rejected, request)

    async def health(self, request: Request) -> Response:
        return await run_in_threadpool(self._health, request)

    async def csv(self, request: Request) -> Response:
        return await run_in_threadpool(self._csv, request)

    async def rejected_csv(self, _: Request) -> Response:
        return await run_in_threadpool(self._rejected_csv)

    def _clicks(self, request: Request) -> Response:
        try:
            address = read_address(request.query_params, self._source.time_zone)
        except UserError as error:
            back = tag("p", tag("a", "Back to the usual view", href="/"))
            return HTMLResponse(
                page("/", "Clicks", self._source.time_zone, alert(str(error)), back, refresh_seconds=3600), 400
            )
        query = address.query(self._source.time_zone)
        if query != str(request.url.query):  # what forms send says the same at length
            return RedirectResponse(f"/?{query}" if query else "/", 303)
        began = time.monotonic()
        try:
            view = self._source.view(address)
        except UserError as error:
            return HTMLResponse(self._away(address, str(error)))
        self._remember(view)
        return HTMLResponse(clicks_page(view, took_seconds=time.monotonic() - began))

    def _remember(self, view: View) -> None:
        with self._lock:
            self._shown.pop(view.address, None)
            self._shown[view.address] = view
            if len(self._shown) > _REMEMBERED:
                self._shown.popitem(last=False)

    def _away(self, address: Address, cause: str) -> str:
        """The last numbers there were, if any, and why there are no newer ones."""
        view = self._shown.get(address)
        if view is None:
            nothing = tag("p", "The page comes back by itself.", class_="muted")
            return page(
                "/",
                "Clicks",
                self._source.time_zone,
                alert(cause),
                nothing,
                query=address.query(self._source.time_zone),
                refresh_seconds=3,
            )
        since = tag(
            "p",
            f"Shown is what was known at {view.at:%Y-%m-%d %H:%M:%S} UTC; the page goes on by itself.",
            class_="note",
        )
        return clicks_page(view, problem=joined((alert(cause), since)))

    def _rejected(self, request: Request) -> Response:
        query, problem = str(request.url.query), Html()
        try:
            rejections, place = self._source.rejections()
        except UserError as error:
            rejections, place, problem = None, "", alert(str(error))
        try:
            late, said = self._source.late()
        except UserError as error:
            late, said = None, str(error)
        return HTMLResponse(
            rejected_page(
                rejections, place, late, self._source.time_zone, query=query, problem=problem, late_source=said
            )
        )

    def _health(self, request: Request) -> Response:
        query, health, problem = str(request.url.query), None, None
        try:
            health = self._source.health()
        except UserError as error:
            problem = alert(str(error))
        return HTMLResponse(health_page(health, self._source.time_zone, query=query, problem=problem))

    def _csv(self, request: Request) -> Response:
        name = request.url.path[1:].removesuffix(".csv")

        def content() -> tuple[str, str]:
            view = self._view(request)
            most = shown_only(name, view)
            return f"{name}-top-{most}" if most else name, view_csv(name, view)

        return _download(content)

    def _view(self, request: Request) -> View:
        return self._source.view(read_address(request.query_params, self._source.time_zone), _CSV_SECONDS)

    def _rejected_csv(self) -> Response:
        return _download(lambda: ("rejected", rejected_csv(self._source.rejections()[0] or [])))


def _download(content: Callable[[], tuple[str, str]]) -> Response:
    """A file, of the name and text that `content` gives."""
    try:
        name, text = content()
    except UserError as error:
        return PlainTextResponse(f"{error}\n", 503)
    disposition = f'attachment; filename="clickstream-{name}.csv"'
    return Response(text, media_type="text/csv; charset=utf-8", headers={"content-disposition": disposition})


def bind(host: str, port: int | None) -> socket.socket:
    """A socket that listens on this port, or, if it is None, on the usual one or the next that is free.

    Raises:
        UserError: None can be had there.
    """
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    cause = ""
    for number in (port,) if port is not None else range(USUAL_PORT, USUAL_PORT + _PORTS_TRIED):
        found = socket.socket(family)
        found.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            found.bind((host, number))
            found.listen(64)
        except OSError as error:
            found.close()
            cause = error.strerror or str(error)
        else:
            return found
    message = (
        f"The page can't listen on {host}:{port or USUAL_PORT} ({cause}): name another --page_port or --page_host."
    )
    raise UserError(message)


def address_of(listening: socket.socket, host: str) -> str:
    """The page's address, for people to open."""
    return f"http://{f'[{host}]' if ':' in host else host}:{listening.getsockname()[1]}/"


def serve(app: App, listening: socket.socket, stop: threading.Event) -> None:
    """Answers requests until `stop` is set."""
    config = uvicorn.Config(
        app,
        http=TimedProtocol,
        log_level="error",
        access_log=False,
        server_header=False,
        lifespan="off",
        timeout_graceful_shutdown=2,
    )
    server = _Server(config)

    def wait() -> None:
        stop.wait()
        server.should_exit = True

    threading.Thread(target=wait, daemon=True).start()
    server.run(sockets=[listening])


class _Server(uvicorn.Server):
    """Leaves signals to whoever started it."""

    @contextmanager
    def capture_signals(self) -> Generator[None, None, None]:
        """None are caught."""
        yield


def is_loopback(host: str) -> bool:
    """Whether only this machine can reach it."""
    return host in LOOPBACK
