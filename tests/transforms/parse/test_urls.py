import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from clickstream.transforms.parse.urls import TRACKING_PARAMETERS, UrlError, normalise_url

SAME_PAGE = {
    "HTTPS://WWW.Example.COM/Shop": "https://www.example.com/Shop",
    "https://example.com": "https://example.com/",
    "https://example.com.": "https://example.com/",
    "https://example.com:443/a": "https://example.com/a",
    "http://example.com:80/a": "http://example.com/a",
    "http://example.com:8080/a": "http://example.com:8080/a",
    "https://me:secret@example.com/": "https://example.com/",
    "https://example.com/a#part": "https://example.com/a",
    "https://example.com/a/./b/../c": "https://example.com/a/c",
    "https://example.com/../../a/..": "https://example.com/",
    "https://example.com/a/%2E%2e/b": "https://example.com/b",
    "https://example.com/.hidden": "https://example.com/.hidden",
    "https://example.com/a//b/": "https://example.com/a//b/",
    "https://example.com/?utm_source=x&b=2&gclid=7&a=1": "https://example.com/?b=2&a=1",
    "https://example.com/?UTM_Source=x": "https://example.com/",
    "https://example.com/?q=utm_source": "https://example.com/?q=utm_source",
    "https://example.com/?": "https://example.com/",
    "https://bücher.example/": "https://xn--bcher-kva.example/",
    "http://[2001:DB8::1]:80/": "http://[2001:db8::1]/",
    "https://example.com/straße?ü=1": "https://example.com/straße?ü=1",
    "http://[fe80::1%eth0]:8080/": "http://[fe80::1]:8080/",
    "https://example.com:0443/": "https://example.com/",
    "https://example.com:/": "https://example.com/",
    "http://\uff11\uff12\uff17.0.0.1/": "http://127.0.0.1/",
    "https://example.com?a#b": "https://example.com/?a",
    "https://example.com/a/b/..//./c/..": "https://example.com/a//",
    "https://example.com/...": "https://example.com/...",
    "https://example.com/?&a&&b=&": "https://example.com/?a&b=",
    "https://example.com/?utm%5Fsource=1&%67clid": "https://example.com/",
    "https://example.com/?b=2&B=2&a=%2e": "https://example.com/?b=2&B=2&a=%2e",
    "https://example.com/<script>?q='--": "https://example.com/<script>?q='--",
}
NO_URLS = [
    *(
        "",
        "example.com",
        "/path",
        "ftp://example.com/",
        "javascript:alert(1)",
        "data:text/html,x",
        "https://",
        "https:///x",
    ),
    *(
        "https://exa mple.com/",
        "https://example.com/a b",
        "https://example.com/\t",
        "https://example.com/\\x",
        " https://example.com/",
    ),
    *(
        "https://example.com:99999/",
        "https://example.com:x/",
        "https://[::1/",
        "https://<script>/",
        "https://a,b/",
        "https://%41/",
    ),
    *("https://.../", "https://-/", "https://example.com/\x7f", "https://example.com/\u2028"),
    *("https://[v1.example]/", "https://[v1.a:b]/", "https://[]/", "https://[1.2.3.4]/", "https://[::1]x/"),
    *("https://x[::1]/", "https://[::1][::2]/", "https://[::1]x:80/", "https://a[b@[::1]/"),
    *("https://example.com/\0", "https://example.com/\ud800", "https://\udfff/", "https://a\u3002\u3002b/"),
    *("//example.com/", "https:example.com", "https:/example.com", "file://example.com/", "https://@/", "https://:80/"),
    *("https://example.com:-1/", "https://example.com:8_0/", "https://example.com:٨٠/", "https://ex%61mple.com/"),
]


@pytest.mark.parametrize("url", SAME_PAGE)
def test_one_page_has_one_form(url) -> None:
    assert normalise_url(url) == SAME_PAGE[url]
    assert normalise_url(url, rewrite=False) == url


@pytest.mark.parametrize("url", NO_URLS)
@pytest.mark.parametrize("rewrite", [True, False])
def test_what_is_no_http_url_is_refused(url, rewrite) -> None:
    with pytest.raises(UrlError) as caught:
        normalise_url(url, rewrite=rewrite)
    assert caught.value.reason == "invalid_url"


def test_the_limit_is_8_kib_of_utf8() -> None:
    base = "https://example.com/"
    assert normalise_url(base + "x" * (8192 - len(base)))
    for long in (base + "x" * (8193 - len(base)), base + "é" * 4096):
        with pytest.raises(UrlError) as caught:
            normalise_url(long)
        assert caught.value.reason == "url_too_long"


def test_every_documented_tracking_parameter_is_off() -> None:
    query = "&".join(f"{name}=1" for name in (*TRACKING_PARAMETERS, "utm_x", "mtm_x", "pk_x", "hsa_x"))
    assert normalise_url(f"https://example.com/?{query}") == "https://example.com/"


PIECES = st.sampled_from(
    [
        "https://",
        "http://",
        "a.example",
        "/",
        ".",
        "..",
        "%2e",
        "?",
        "&",
        "=",
        "#",
        ":",
        "@",
        "utm_a",
        "ü",
        "[::1]",
        "80",
        "x",
        "İ",
        "。",
        "%",
        "\ud800",
        "[v1.a]",
        "EXAMPLE",
    ]
)


@given(
    st.lists(PIECES, max_size=12).map("".join)
    | st.text(max_size=30)
    | st.lists(PIECES, max_size=8).map(lambda tail: f"https://a.example/{''.join(tail)}")
    | st.lists(PIECES, max_size=8).map(lambda host: f"https://{''.join(host)}")
)
@settings(max_examples=1000)
def test_is_idempotent_and_raises_nothing_else(url) -> None:
    try:
        normal = normalise_url(url)
    except UrlError:
        return
    assert normalise_url(normal) == normal
    assert normal.encode()


@pytest.mark.parametrize("character", ["x", "é", "\ud800", "/.", "a.", "&", "@", "ä."])
def test_long_texts_are_told_at_once(character) -> None:
    for url in ("https://example.com/", "https://"):
        with pytest.raises(UrlError) as caught:
            normalise_url(url + character * 500_000)
        assert caught.value.reason == "url_too_long"


def test_a_url_that_grows_beyond_the_limit_is_too_long() -> None:
    url = "https://" + "ü." * 2000 + "example/"
    assert len(url.encode()) < 8192
    with pytest.raises(UrlError) as caught:
        normalise_url(url)
    assert caught.value.reason == "url_too_long"
