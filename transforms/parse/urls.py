"""One page, one row: the form of a URL under which its clicks are counted."""

import re
from collections.abc import Iterable
from ipaddress import IPv6Address
from urllib.parse import SplitResult, unquote, urlsplit

MAX_URL_BYTES = 8 << 10

# Parameters that say where a visitor came from, not which page is shown.
# Sources: the vendors' own documentation (Google, Meta, Microsoft, Mailchimp, Yandex, X, TikTok, LinkedIn, HubSpot, Matomo, Instagram).
TRACKING_PREFIXES = ("utm_", "mtm_", "pk_", "hsa_")
TRACKING_PARAMETERS = frozenset(
    [
        "gclid",
        "gclsrc",
        "dclid",
        "gbraid",
        "wbraid",
        "_ga",
        "_gl",
        "fbclid",
        "igshid",
        "msclkid",
        "mc_cid",
        "mc_eid",
        "yclid",
        "ysclid",
        "twclid",
        "ttclid",
        "li_fat_id",
        "_hsenc",
        "_hsmi",
    ]
)

_INVALID, _TOO_LONG = "invalid_url", "url_too_long"
_DEFAULT_PORTS = {"http": 80, "https": 443}
_FORBIDDEN = re.compile(r"[\x00-\x20\x7f-\x9f\u2028\u2029\\\ud800-\udfff]")
_HOST = re.compile(r"[a-z0-9_]([a-z0-9_.-]*[a-z0-9_])?")
_BRACKETED = re.compile(r"([^\[]*@)?\[[^]]*\](:\d*)?")
_LONGEST_CACHED, _MOST_CACHED = 512, 1 << 16


class UrlError(ValueError):
    """A text that is no http(s) URL. `reason` is the rejection's; the text of the error names no part of the URL."""

    def __init__(self, reason: str, detail: str) -> None:
        super().__init__(detail)
        self.reason = reason


def normalise_url(url: str, *, rewrite: bool = True) -> str:
    """Returns the URL under which a page is counted.

    Host in lower case (IDNA), user name, IPv6 zone, default port and fragment off, dot segments resolved, tracking parameters off, path at least `/`.
    The order of parameters, the case of the path and a trailing slash stay: servers may tell pages apart by them. Idempotent.

    Args:
        url: An absolute http or https URL of at most 8 KiB (UTF-8), before and after.
        rewrite: False checks only, and returns it as it is.

    Raises:
        UrlError: With reason `invalid_url` or `url_too_long`.
    """
    return _caches[rewrite][url] or _normalise(url, rewrite)


def normalise_urls(urls: Iterable[str], *, rewrite: bool = True) -> list[str]:
    """`normalise_url` of each, or the empty text where it raises: a look into a table for every URL that came by before."""
    return list(map(_caches[rewrite].__getitem__, urls))


class _Cache(dict[str, str]):
    def __init__(self, *, rewrite: bool) -> None:
        super().__init__()
        self._rewrite = rewrite

    def __missing__(self, url: str) -> str:
        try:
            normal = _normalise(url, self._rewrite)
        except UrlError:
            normal = ""
        if len(url) <= _LONGEST_CACHED:
            if len(self) >= _MOST_CACHED:
                self.clear()
            self[url] = normal
        return normal


_caches = {rewrite: _Cache(rewrite=rewrite) for rewrite in (True, False)}


def _normalise(url: str, rewrite: bool) -> str:
    _check_length(url)
    if _FORBIDDEN.search(url):
        raise UrlError(_INVALID, "holds a blank, a control character, a backslash or half a character")
    try:
        parts, port = _split(url)
    except ValueError:
        raise UrlError(_INVALID, "can't be taken apart") from None
    if parts.scheme not in _DEFAULT_PORTS or not parts.hostname:
        raise UrlError(_INVALID, "is no http or https URL with a host")
    host = _host(parts.hostname, bracketed="[" in parts.netloc)
    if not rewrite:
        return url
    netloc = host if port in (None, _DEFAULT_PORTS[parts.scheme]) else f"{host}:{port}"
    query = "&".join(p for p in parts.query.split("&") if p and not _is_tracking(p))
    normal = f"{parts.scheme}://{netloc}{_path(parts.path)}{'?' + query if query else ''}"
    _check_length(normal)
    return normal


def _check_length(url: str) -> None:
    if len(url) * 4 > MAX_URL_BYTES and len(url.encode(errors="surrogatepass")) > MAX_URL_BYTES:
        raise UrlError(_TOO_LONG, f"longer than {MAX_URL_BYTES} bytes")


def _split(url: str) -> tuple[SplitResult, int | None]:
    parts = urlsplit(url)
    if "[" in parts.netloc and not _BRACKETED.fullmatch(parts.netloc):
        raise ValueError(url)  # how much of this urlsplit itself refuses depends on Python's release
    return parts, parts.port


def _host(host: str, *, bracketed: bool) -> str:
    try:
        if bracketed:
            # A zone, such as %eth0, has a meaning on one machine only.
            return f"[{IPv6Address(host.partition('%')[0])}]"
        name = host.rstrip(".") if host.isascii() else host.rstrip(".").encode("idna").decode().lower()
    except ValueError:
        name = ""
    if not _HOST.fullmatch(name):
        raise UrlError(_INVALID, "has a host that no server can have")
    return name


def _path(path: str) -> str:
    """Resolves dot segments (RFC 3986, 5.2.4); empty segments stay, as servers may mean them."""
    if "/." not in path and "/%2e" not in path.lower():
        return path or "/"
    kept: list[str] = []
    segments = path.split("/")[1:]
    for segment in segments:
        plain = segment.lower().replace("%2e", ".")
        if plain == "..":
            del kept[-1:]
        elif plain != ".":
            kept.append(segment)
    if plain in (".", ".."):
        kept.append("")
    return "/" + "/".join(kept)


def _is_tracking(parameter: str) -> bool:
    name = unquote(parameter.partition("=")[0]).lower()
    return name in TRACKING_PARAMETERS or name.startswith(TRACKING_PREFIXES)
