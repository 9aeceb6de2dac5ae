"""URLs of any length and kind: what is off, what is refused, and what holds of each."""

from urllib.parse import unquote

import can_ada
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from clickstream.transforms.parse.tracking import (
    DEFAULT_TRACKING,
    TRACKING_PARAMETERS,
    TRACKING_PREFIXES,
    TrackingParameters,
)
from clickstream.transforms.parse.urls import UrlError, normalise_url


@pytest.mark.parametrize("url", ["https://Example.com/%7e?q=C:\\x&utm_source=y#z", "https://straße.example/é"])
def test_without_rewriting_a_url_stays(url) -> None:
    assert normalise_url(url, rewrite=False) == url


@pytest.mark.parametrize(
    "url", [" https://a.example/", "https://a.example/a b", "https://a.example/\t", "https://a.example/\u2028"]
)
def test_without_rewriting_blanks_and_control_characters_are_refused(url) -> None:
    assert normalise_url(url)
    with pytest.raises(UrlError):
        normalise_url(url, rewrite=False)


def test_the_limit_is_8_kib_of_utf8() -> None:
    base = "https://example.com/"
    assert normalise_url(base + "x" * (8192 - len(base)))
    for long in (base + "x" * (8193 - len(base)), base + "é" * 4096):
        with pytest.raises(UrlError) as caught:
            normalise_url(long)
        assert caught.value.reason == "url_too_long"


@pytest.mark.parametrize("url", ["https://" + "ü." * 2000 + "example/", "https://example.com/" + "é" * 2000])
def test_a_url_that_grows_beyond_the_limit_is_too_long(url) -> None:
    assert len(url.encode()) < 8192
    with pytest.raises(UrlError) as caught:
        normalise_url(url)
    assert caught.value.reason in {
        "url_too_long",
        "invalid_url",
    }  # of a host of 4,000 labels the parser says that it is none


@pytest.mark.parametrize("character", ["x", "é", "\ud800", "/.", "a.", "&", "@", "ä.", "%", "%41"])
def test_long_texts_are_told_at_once(character) -> None:
    for url in ("https://example.com/", "https://"):
        with pytest.raises(UrlError) as caught:
            normalise_url(url + character * 500_000)
        assert caught.value.reason == "url_too_long"


def test_every_tracking_parameter_is_off() -> None:
    names = [*TRACKING_PARAMETERS, *(f"{prefix}x" for prefix in TRACKING_PREFIXES)]
    for spelt in (
        names,
        map(str.upper, names),
        (f"amp;{name}" for name in names),
        (f"%{ord(n[0]):02x}{n[1:]}" for n in names),
    ):
        assert normalise_url(f"https://example.com/?{'=1&'.join(spelt)}") == "https://example.com/"


def test_a_list_of_ones_own() -> None:
    tracking = DEFAULT_TRACKING.changed_by(["+sid", "-gclid", "promo_*", "-utm_*"])
    url = "https://example.com/?sid=1&gclid=2&promo_a=3&utm_source=4&fbclid=5&x=6"
    assert normalise_url(url, tracking=tracking) == "https://example.com/?gclid=2&utm_source=4&x=6"
    assert normalise_url(url) == "https://example.com/?sid=1&promo_a=3&x=6"
    assert TrackingParameters().changed_by(["+gclid"]) == DEFAULT_TRACKING


@pytest.mark.parametrize("change", ["", "+", "-", "*", "-nowhere", "-gad_", "a&b", "a=b", "a#", "a*b"])
def test_a_change_that_names_nothing_is_refused(change) -> None:
    with pytest.raises(ValueError, match="parameter"):
        DEFAULT_TRACKING.changed_by([change])


TEXTS = [
    *("https://", "http://", "https:", "a.example", "b.example", "/", "\\", ".", "..", "%2e", "%", "%4", "%41", "%C3%A9", "%c3"),
    *("?", "&", "=", "#", ":", "@", "utm_a", "amp;", "ü", "ß", "ς", "[::1]", "80", "x", "İ", "。", "\ud800", "[v1.a]", "EXAMPLE"),
    *(" ", "\t", "\x00", "xn--", "\u00ad", "+", "1", "0x", "~", "|", "'", ";"),
]  # fmt: skip
PIECES = st.sampled_from(TEXTS)
URLS = (
    st.lists(PIECES, max_size=12).map("".join)
    | st.text(max_size=30)
    | st.lists(PIECES, max_size=8).map(lambda tail: f"https://a.example/{''.join(tail)}")
    | st.lists(PIECES, max_size=8).map(lambda host: f"https://{''.join(host)}")
)


def normal_of(url: str) -> str | None:
    try:
        return normalise_url(url)
    except UrlError:
        return None


@given(URLS)
@settings(max_examples=1500)
def test_is_idempotent_and_raises_nothing_else(url) -> None:
    normal = normal_of(url)
    if normal is not None:
        assert normalise_url(normal) == normal
        assert normal.isascii()
        assert normal.isprintable()
        assert " " not in normal


@given(URLS)
@settings(max_examples=1500)
def test_never_another_host_nor_another_page(url) -> None:
    normal = normal_of(url)
    if normal is not None:
        asked = can_ada.parse(
            url.encode(errors="replace").decode() if "\ud800" not in url else url.replace("\ud800", "\ufffd")
        )
        given_, found = asked, can_ada.parse(normal)
        assert (found.hostname, found.port, found.protocol) == (
            given_.hostname.removesuffix("."),
            given_.port,
            given_.protocol,
        )
        assert unquote(found.pathname) == unquote(given_.pathname)
