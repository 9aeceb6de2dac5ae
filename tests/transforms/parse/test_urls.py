# ruff: noqa: RUF001 (letters that look like others are what hosts are made of)
"""One page, one row: what a URL becomes. The tables state facts of the WHATWG's URL standard (its public tests show each) and of RFC 3986, 6.2.2."""

import pytest

from clickstream.transforms.parse.urls import UrlError, normalise_url

HOSTS = {
    "example": "example",
    "EXAMPLE": "example",
    "Shop.Example.COM": "shop.example.com",
    "example.com.": "example.com",
    "a.b.c.d.example": "a.b.c.d.example",
    "my_host.example": "my_host.example",
    "x-y.example": "x-y.example",
    "1.example": "1.example",
    # UTS 46, non-transitional
    "bücher.example": "xn--bcher-kva.example",
    "BÜCHER.example": "xn--bcher-kva.example",
    "bu\u0308cher.example": "xn--bcher-kva.example",
    "xn--bcher-kva.example": "xn--bcher-kva.example",
    "XN--BCHER-KVA.example": "xn--bcher-kva.example",
    "b%C3%BCcher.example": "xn--bcher-kva.example",
    "straße.example": "xn--strae-oqa.example",
    "xn--strae-oqa.example": "xn--strae-oqa.example",
    "strasse.example": "strasse.example",
    "faß.example": "xn--fa-hia.example",
    "βόλος.example": "xn--nxasmm1c.example",
    "βόλοσ.example": "xn--nxasmq6b.example",
    "xn--nxasmm1c.example": "xn--nxasmm1c.example",
    "ශ්‍රී.example": "xn--10cl1a0b660p.example",
    "日本語.example": "xn--wgv71a119e.example",
    "日本語。example": "xn--wgv71a119e.example",
    "日本語．example": "xn--wgv71a119e.example",
    "日本語｡example": "xn--wgv71a119e.example",
    "пример.example": "xn--e1afmkfd.example",
    "مثال.example": "xn--mgbh0fb.example",
    "☃.example": "xn--n3h.example",
    "Ｇｏ.com": "go.com",
    "ﬁn.example": "fin.example",
    "İ.example": "xn--i-9bb.example",
    "exa\u00admple.com": "example.com",
    "exa\u200bmple.com": "example.com",
    "exa\tmp\nle.com": "example.com",
    # percent-encoded hosts
    "%65xample.com": "example.com",
    "ex%41mple.com": "example.com",
    "example%2Ecom": "example.com",
    # IPv4 in all the ways that it can be written
    "127.0.0.1": "127.0.0.1",
    "127.1": "127.0.0.1",
    "0x7f.1": "127.0.0.1",
    "0x7F000001": "127.0.0.1",
    "2130706433": "127.0.0.1",
    "0177.0.0.01": "127.0.0.1",
    "192.168.257": "192.168.1.1",
    "１２７.0.0.1": "127.0.0.1",
    "%31%32%37.0.0.1": "127.0.0.1",
    "1.2.3.4.": "1.2.3.4",
    "1.0x": "1.0.0.0",
    # IPv6
    "[2001:DB8::1]": "[2001:db8::1]",
    "[2001:db8:0:0:0:0:0:1]": "[2001:db8::1]",
    "[0:0:0:0:0:0:0:0]": "[::]",
    "[::127.0.0.1]": "[::7f00:1]",
    "[1:0:0:2:0:0:0:3]": "[1:0:0:2::3]",
}
NO_HOSTS = [
    *("", "<script>", "a b", "a^b", "a|b", "a%20b", "a%00b", "a%zz", "%", "%C3", "%ff", "a[b", "a]b", "a\x7fb"),
    *("[", "[]", "[::1", "::1]", "[::1]x", "x[::1]", "[:::]", "[1::2::3]", "[1:2:3:4:5:6:7]", "[g::1]"),
    *("[::1%25eth0]", "[1.2.3.4]", "[v1.a]", "[::1.2.3]", "[::256.1.1.1]"),
    *("256.0.0.1", "1.2.3.4.5", "4294967296", "0x100000000", "1.2.3.08"),
    *("xn--", "xn--a", "xn--zn7c.example", "\u00ad", "\u2f5f\u200d.\u2260x[", "a\ufffdb"),
    *("example.com..", "0..", "1.2.3.4..", "...", "-", ".", "a,b", "a'b", "a(b)", "a*b", "!"),
]
PATHS = {
    "": "/",
    "/": "/",
    "/a/b": "/a/b",
    "/A/b": "/A/b",
    "/a/": "/a/",
    "//a//b//": "//a//b//",
    # dot segments
    "/.": "/",
    "/..": "/",
    "/a/.": "/a/",
    "/a/..": "/",
    "/a/./b": "/a/b",
    "/a/../b": "/b",
    "/../../a": "/a",
    "/a/b/../../c": "/c",
    "/a/b/..//./c/..": "/a//",
    "/a/%2e/b": "/a/b",
    "/a/%2E%2e/b": "/b",
    "/a/.%2e": "/",
    "/...": "/...",
    "/.hidden": "/.hidden",
    "/a..": "/a..",
    "/a/..b": "/a/..b",
    "/a%2e%2e/b": "/a../b",
    # a backslash is a slash
    "\\a": "/a",
    "/a\\b": "/a/b",
    "/a\\..\\b": "/b",
    "/a%5Cb": "/a%5Cb",
    "/a%5cb": "/a%5Cb",
    # what must be encoded is
    "/a b": "/a%20b",
    "/é": "/%C3%A9",
    "/caf%c3%a9": "/caf%C3%A9",
    "/caf%C3%A9": "/caf%C3%A9",
    "/日本": "/%E6%97%A5%E6%9C%AC",
    "/\U0001f600": "/%F0%9F%98%80",
    '/"<>`{}': "/%22%3C%3E%60%7B%7D",
    "/a\x00b": "/a%00b",
    "/a\x7fb": "/a%7Fb",
    "/a\u0085b": "/a%C2%85b",
    "/a\tb\nc\r": "/abc",
    "/\ud83d": "/%EF%BF%BD",
    "/a\udfffb": "/a%EF%BF%BDb",
    # what needn't be isn't
    "/%7Euser": "/~user",
    "/%7euser": "/~user",
    "/~user": "/~user",
    "/%41%42%43": "/ABC",
    "/%61%7A%30%39": "/az09",
    "/%2D%2E%5F%7E": "/-._~",
    "/a%2Db%5fc": "/a-b_c",
    # reserved characters keep the way that they are written
    "/a%2Fb": "/a%2Fb",
    "/a%2fb": "/a%2Fb",
    "/a%3Fb": "/a%3Fb",
    "/a%23b": "/a%23b",
    "/a%26b=c": "/a%26b=c",
    "/a%3db": "/a%3Db",
    "/a%40b": "/a%40b",
    "/a@b:c;d,e!f$g&h'i(j)k*l+m=n": "/a@b:c;d,e!f$g&h'i(j)k*l+m=n",
    "/a%2Bb": "/a%2Bb",
    "/a+b": "/a+b",
    "/a%20b": "/a%20b",
    "/a|b": "/a|b",
    "/[a]": "/[a]",
    # a % that encodes nothing, and never a second decoding
    "/100%": "/100%25",
    "/100%25": "/100%25",
    "/%zz": "/%25zz",
    "/%4": "/%254",
    "/%%361": "/%2561",
    "/%2541": "/%2541",
    "/%252e%252e/a": "/%252e%252e/a",
    "/%25%34%31": "/%2541",
    "/%ff": "/%FF",
    "/;jsessionid=1": "/;jsessionid=1",
}
QUERIES = {
    "?": "",
    "?a": "?a",
    "?a=": "?a=",
    "?a=1&b=2": "?a=1&b=2",
    "?b=2&a=1": "?b=2&a=1",
    "?b=2&B=2": "?b=2&B=2",
    "?&a&&b=&": "?a&b=",
    "?a?b": "?a?b",
    "?a=/../b": "?a=/../b",
    "?q=C:\\temp": "?q=C:\\temp",
    "?q=a%5cb": "?q=a%5Cb",
    "?q=%7E": "?q=~",
    "?q=caf%c3%a9": "?q=caf%C3%A9",
    "?q=café": "?q=caf%C3%A9",
    "?q=a b": "?q=a%20b",
    "?q=a+b": "?q=a+b",
    "?q='\"<>": "?q=%27%22%3C%3E",
    "?q=`{|}^": "?q=`{|}^",
    "?q=%26": "?q=%26",
    "?q=%2F": "?q=%2F",
    "?q=100%": "?q=100%25",
    "?q=\ud83d": "?q=%EF%BF%BD",
    "?a#b": "?a",
    "?a#b?c": "?a",
    "#": "",
    "#a\\b": "",
    "#/route?x=1": "",
    # tracking
    "?utm_source=x": "",
    "?UTM_Source=x": "",
    "?utm%5Fsource=1&%67clid": "",
    "?utm_source=x&b=2&gclid=7&a=1": "?b=2&a=1",
    "?q=utm_source": "?q=utm_source",
    "?srsltid=AfmB": "",
    "?SRSLTID=AfmB": "",
    "?gad_source=1&gad_campaignid=22&gbraid=0A": "",
    "?matomo_campaign=x&piwik_kwd=y&pk_campaign=z&mtm_cid=1": "",
    "?a=1&amp;utm_source=x&amp;fbclid=2": "?a=1",
    "?amp;amp;utm_source=x": "",
    "?a=1&amp;b=2": "?a=1&amp;b=2",
    "?FbClid=1&MSCLKID=2&Gclid=3": "",
    "?hsCtaTracking=1&ScCid=2&ranMID=3": "",
    "?utm": "?utm",
    "?cid=1&ref=2&source=3": "?cid=1&ref=2&source=3",
}
WHOLE = {
    "http://example.com": "http://example.com/",
    "HTTPS://example.com": "https://example.com/",
    "https://example.com:443/a": "https://example.com/a",
    "http://example.com:80/a": "http://example.com/a",
    "http://example.com:443/a": "http://example.com:443/a",
    "https://example.com:80/a": "https://example.com:80/a",
    "http://example.com:8080/a": "http://example.com:8080/a",
    "https://example.com:0443/": "https://example.com/",
    "https://example.com:00000000000000000000443/": "https://example.com/",
    "https://example.com:0/": "https://example.com:0/",
    "https://example.com:65535/": "https://example.com:65535/",
    "https://example.com:/": "https://example.com/",
    "http://[2001:DB8::1]:80/": "http://[2001:db8::1]/",
    "https://me:secret@example.com/": "https://example.com/",
    "https://me@example.com/": "https://example.com/",
    "https://:@example.com/": "https://example.com/",
    "https://a@b@example.com/": "https://example.com/",
    "https://a.example@b.example/": "https://b.example/",
    "https://a.example\\@b.example/": "https://a.example/@b.example/",
    "https://a.example?@b.example/": "https://a.example/?@b.example/",
    "https://a.example#@b.example/": "https://a.example/",
    "https:example.com/a": "https://example.com/a",
    "https:/example.com/a": "https://example.com/a",
    "https:///example.com/a": "https://example.com/a",
    "https:\\\\example.com\\a": "https://example.com/a",
    " https://example.com/ ": "https://example.com/",
    "\thttps://exam\nple.com/\r": "https://example.com/",
    "https://example.com?a#b": "https://example.com/?a",
}
NO_URLS = [
    *("", " ", "example.com", "/path", "//example.com/", "?a", "#a", "http", "https:", "https://", "https:///"),
    *("ftp://example.com/", "file://example.com/", "ws://example.com/", "mailto:a@example.com", "about:blank"),
    *("javascript:alert(1)", "JavaScript:alert(1)", "data:text/html,x", "blob:https://example.com/1", "view-source:https://a/"),
    *("https://example.com:99999/", "https://example.com:65536/", "https://example.com:x/", "https://example.com:-1/"),
    *("https://example.com:8_0/", "https://example.com:٨٠/", "https://:80/", "https://@/", "https://me@/", "https://?a", "https://#a"),
    *("ht tps://example.com/", "1https://example.com/", "https//example.com/", "\u200bhttps://example.com/"),
]  # fmt: skip


@pytest.mark.parametrize("host", HOSTS)
def test_a_host_is_the_one_a_browser_goes_to(host) -> None:
    assert normalise_url(f"https://{host}/") == f"https://{HOSTS[host]}/"


@pytest.mark.parametrize("host", NO_HOSTS)
def test_what_is_no_host_is_refused(host) -> None:
    with pytest.raises(UrlError) as caught:
        normalise_url(f"http://{host}:81/?x" if host else "http://:81/")
    assert caught.value.reason == "invalid_url"


@pytest.mark.parametrize("path", PATHS)
def test_a_path_has_one_form(path) -> None:
    assert normalise_url(f"https://example.com{path}") == f"https://example.com{PATHS[path]}"


@pytest.mark.parametrize("query", QUERIES)
def test_a_query_has_one_form(query) -> None:
    assert normalise_url(f"https://example.com/p{query}") == f"https://example.com/p{QUERIES[query]}"


@pytest.mark.parametrize("url", WHOLE)
def test_a_url_has_one_form(url) -> None:
    assert normalise_url(url) == WHOLE[url]


@pytest.mark.parametrize("url", NO_URLS)
@pytest.mark.parametrize("rewrite", [True, False])
def test_what_is_no_http_url_is_refused(url, rewrite) -> None:
    with pytest.raises(UrlError) as caught:
        normalise_url(url, rewrite=rewrite)
    assert caught.value.reason == "invalid_url"


def test_there_are_a_few_hundred_facts() -> None:
    assert len(HOSTS) + len(NO_HOSTS) + len(PATHS) + len(QUERIES) + len(WHOLE) + len(NO_URLS) > 250
