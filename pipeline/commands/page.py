"""`page`: a web page over the results in any of the stores, which refreshes itself."""

import secrets
import sys
import threading
from collections.abc import Sequence
from contextlib import suppress

from apache_beam.options.pipeline_options import PipelineOptions

from clickstream.io.errors import UserError
from clickstream.io.secrets import resolve_secret
from clickstream.page.address import Address
from clickstream.pipeline.options import MetricOptions, OutputOptions, PageOptions, read_options
from clickstream.pipeline.page_source import PageSource, source_of
from clickstream.pipeline.watch import belongs_to_job, end_with_parent, stop_on_signals

_SHORTEST_TOKEN = 16
_LOOK_SECONDS = 1.5
OPTIONS = (PageOptions, OutputOptions, MetricOptions)


def main(argv: Sequence[str]) -> int:
    """Serves the page until it is stopped. Returns the exit status.

    Raises:
        UserError: An option is wrong, or the port is taken.
    """
    return show_for_job(argv) if belongs_to_job() else _serve(read_options(argv, "page"))


def show_for_job(argv: Sequence[str]) -> int:
    """The same with a job's options, of which it takes what it has a use for."""
    return _serve(read_options(argv))


def _serve(options: PipelineOptions) -> int:
    source = source_of(options)
    stop = stop_on_signals()
    end_with_parent(stop)
    show(options, source, stop)
    return 0


def show(options: PipelineOptions, source: PageSource, stop: threading.Event) -> None:
    """Serves the page until `stop` is set, and says in one line where it is.

    Raises:
        UserError: The page's libraries aren't installed, a token is none, or the port is taken.
    """
    try:
        from clickstream.page.live import address_of, bind, is_loopback, page_app, serve
    except ModuleNotFoundError as error:
        message = f"The page needs {error.name}: pip install 'clickstream-beam[page]'."
        raise UserError(message) from None
    chosen = options.view_as(PageOptions)
    token, made = _token(chosen.page_token, needed=not is_loopback(chosen.page_host))
    listening = bind(chosen.page_host, chosen.page_port)
    looking = threading.Thread(target=_look_first, args=(source,), daemon=True)
    looking.start()
    looking.join(_LOOK_SECONDS)  # a store that is away mustn't hold the page back
    where = address_of(listening, chosen.page_host) + (f"?token={token}" if made else "")
    sys.stderr.write(f"Page: {where}  (Ctrl-C ends it)\n")
    sys.stderr.flush()
    serve(page_app(source, token), listening, stop)


def _look_first(source: PageSource) -> None:
    """So that the first who looks doesn't wait for what is loaded at the first look."""
    with suppress(UserError):
        source.view(Address(), 0.0)


def _token(reference: str | None, *, needed: bool) -> tuple[str | None, bool]:
    """The token, and whether it was made here."""
    if reference is None:
        return (secrets.token_urlsafe(24), True) if needed else (None, False)
    token = resolve_secret(reference)
    if len(token) < _SHORTEST_TOKEN or not token.isascii() or not token.isprintable():
        message = f"--page_token={reference} is no token: {_SHORTEST_TOKEN} printable characters or more, such as of openssl rand -hex 16."
        raise UserError(message)
    return token, False
