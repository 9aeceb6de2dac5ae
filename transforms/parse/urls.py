"""One page, one row: the form of a URL under which its clicks are counted."""

import re
from collections.abc import Iterable
from dataclasses import dataclass
from functools import lru_cache

import can_ada

from clickstream.transforms.memo import Memo
from clickstream.transforms.parse.tracking import DEFAULT_TRACKING, TrackingParameters

MAX_URL_BYTES = 8 << 10

_INVALID, _TOO_LONG = "invalid_url", "url_too_long"
_SCHEMES = frozenset(["http:", "https:"])
_FORBIDDEN = re.compile(r"[\x00-\x20\x7f-\x9f\u2028\u2029]")
_HALF = re.compile(r"[\ud800-\udfff]")
_HOST = re.compile(r"[a-z0-9_]([a-z0-9_.-]*[a-z0-9_])?")
_ENCODED = re.compile(r"%([0-9A-Fa-f]{2})?")
_UNRESERVED = {
    f"{code:02X}": chr(code) for code in range(0x80) if re.fullmatch(r"[A-Za-z0-9._~-]", chr(code))
}  # RFC 3986, 2.3
_OTHERWISE = re.compile(
    rf"%(?![0-9A-F]{{2}})|%(?:{'|'.join(_UNRESERVED)})"
)  # percent-encoding in another than its one form
_LONGEST_KNOWN = 512


class UrlError(ValueError):
    """A text that is no http(s) URL. `reason` is the rejection's; the text of the error names no part of the URL."""

    def __init__(self, reason: str, detail: str) -> None:
        super().__init__(detail)
        self.reason = reason


def normalise_url(url: str, *, rewrite: bool = True, tracking: TrackingParameters = DEFAULT_TRACKING) -> str:
    """Returns the URL under which a page is counted: as a browser would show it, less what doesn't say which page it is.

    Parsed by the WHATWG's URL standard: host in lower case (UTS 46, non-transitional), default port off, dot segments resolved, what must be
    percent-encoded is. Then user name, fragment and tracking parameters off, no dot behind the host, percent-encoding as in RFC 3986, 6.2.2.1 and
    6.2.2.2: `%c3` is `%C3`, `%7E` is `~`; a `%` that encodes nothing is `%25`. The order of parameters, the case of the path and a trailing slash
    stay: servers may tell pages apart by them. Idempotent; the host is always the one that a browser would go to.

    Args:
        url: An absolute http or https URL of at most 8 KiB (UTF-8), before and after.
        rewrite: False checks only, also that there are no blanks and control characters, and returns it as it is.
        tracking: The parameters that are off.

    Raises:
        UrlError: With reason `invalid_url` or `url_too_long`.
    """
    return UrlForm(rewrite, tracking).of(url)


@dataclass(frozen=True)
class UrlForm:
    """The form under which URLs are counted; its fields are arguments of `normalise_url`."""

    rewrite: bool = True
    tracking: TrackingParameters = DEFAULT_TRACKING

    def of(self, url: str) -> str:
        """As `normalise_url`."""
        return _memo(self)[url] or _normalise(url, self)

    def all_of(self, urls: Iterable[str]) -> list[str]:
        """Of each, or the empty text where it raises: a look into a table for every URL that came by before."""
        return list(map(_memo(self).__getitem__, urls))


@lru_cache(8)
def _memo(form: UrlForm) -> Memo[str]:
    def normal(url: str) -> str:
        try:
            return _normalise(url, form)
        except UrlError:
            return ""

    return Memo(normal, longest=_LONGEST_KNOWN)


def _normalise(url: str, form: UrlForm) -> str:
    _check_length(url)
    if not form.rewrite and _FORBIDDEN.search(url):
        raise UrlError(_INVALID, "holds a blank or a control character")
    parts = _parsed(url if url.isascii() else _HALF.sub("\ufffd", url))
    host = _host(parts.hostname)
    if not form.rewrite:
        return url
    port, search = parts.port, parts.search
    query = _query(search, form.tracking) if search else ""
    normal = f"{parts.protocol}//{host}{':' + port if port else ''}{_plain(parts.pathname)}{query}"
    _check_length(normal)
    return normal


def _check_length(url: str) -> None:
    if len(url) * 4 > MAX_URL_BYTES and len(url.encode(errors="surrogatepass")) > MAX_URL_BYTES:
        raise UrlError(_TOO_LONG, f"longer than {MAX_URL_BYTES} bytes")


def _parsed(url: str) -> can_ada.URL:
    try:
        parts = can_ada.parse(url)
    except ValueError:
        raise UrlError(_INVALID, "is no URL that a browser could open") from None
    if parts.protocol not in _SCHEMES:
        raise UrlError(_INVALID, "is no http or https URL with a host")
    return parts


def _host(host: str) -> str:
    if host.startswith("["):
        return host
    name = host.removesuffix(".")
    if not _HOST.fullmatch(name):
        raise UrlError(_INVALID, "has a host that no server can have")
    return name


def _plain(text: str) -> str:
    """Percent-encoding in its one form."""
    return _ENCODED.sub(_encoded, text) if "%" in text and _OTHERWISE.search(text) else text


def _encoded(found: re.Match[str]) -> str:
    if found[1] is None:
        return "%25"
    digits = found[1].upper()
    return _UNRESERVED.get(digits) or f"%{digits}"


def _query(search: str, tracking: TrackingParameters) -> str:
    query = "&".join(part for part in search[1:].split("&") if part and part not in tracking)
    return f"?{_plain(query)}" if query else ""
