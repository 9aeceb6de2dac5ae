"""Referring sites, campaigns and channels: by hand for each channel, and the same for a column as text by text."""

import json

import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from clickstream.transforms.parse import ParseOptions, parse_clicks
from clickstream.transforms.parse.arrivals import Tagged, arrivals, site_of, tagged
from clickstream.transforms.parse.channels import CHANNELS, channel_of
from clickstream.transforms.schema import RawBatch

PAGE = "https://www.shop.example/a"
CASES = [
    ("", "", "direct"),
    ("https://shop.example/b", "", "internal"),
    ("https://WWW.Shop.example:443/b?c", "", "internal"),
    ("https://www.google.co.in/", "", "search"),
    ("https://news.google.com/x", "", "search"),
    ("https://duckduckgo.com", "", "search"),
    ("https://t.co/abc", "", "social"),
    ("https://l.facebook.com/l.php?u=1", "", "social"),
    ("https://www.youtube.com/watch", "", "video"),
    ("https://chatgpt.com/", "", "ai"),
    ("https://gemini.google.com/app", "", "ai"),
    ("https://copilot.microsoft.com/", "", "ai"),
    ("https://mail.google.com/mail/u/0", "", "email"),
    ("android-app://com.google.android.gm/", "", "email"),
    ("https://blog.example/post", "", "referral"),
    ("no URL", "", "direct"),
    ("https://[bad", "", "direct"),
    ("https://www.google.com/", "?utm_source=google&utm_medium=cpc", "paid_search"),
    ("", "?GCLID=abc", "paid_search"),
    ("https://www.facebook.com/", "?utm_medium=paid_social", "paid_social"),
    ("", "?utm_source=instagram&utm_medium=paid", "paid_social"),
    ("", "?utm_source=outlets&utm_medium=ppc", "paid"),
    ("", "?utm_medium=banner&utm_campaign=x", "display"),
    ("", "?dclid=1", "display"),
    ("", "?utm_source=newsletter", "email"),
    ("https://www.google.com/", "?utm_medium=Email", "email"),
    ("", "?mtm_medium=affiliate", "affiliate"),
    ("", "?utm_medium=social&utm_source=app", "social"),
    ("", "?utm_source=partnersite&utm_medium=referral", "referral"),
    ("https://blog.example/", "?utm_campaign=spring", "campaign"),
    ("https://shop.example/b", "?utm_campaign=spring", "campaign"),
    ("https://shop.example/b", "?utm_campaign=", "internal"),
]


@pytest.mark.parametrize(("referrer", "query", "channel"), CASES)
def test_channels(referrer, query, channel) -> None:
    found = arrivals([PAGE + query], [referrer], ("channel",))["channel"].to_pylist()
    assert found == [channel]
    assert channel in CHANNELS


def test_every_channel_is_tested() -> None:
    assert {channel for _, _, channel in CASES} == set(CHANNELS)


def test_campaigns_are_decoded_and_may_be_of_matomo() -> None:
    queries = [
        "utm_campaign=a%20b+c",
        "UTM_Campaign=x#utm_campaign=y",
        "pk_campaign=p",
        "a=1&amp;utm_campaign=q",
        "utm_campaign=%ff",
        "a=b",
        "",
    ]
    urls = [f"{PAGE}?{query}" for query in queries]
    assert arrivals(urls, None, ("campaign",))["campaign"].to_pylist() == ["a b c", "x", "p", "q", "\ufffd", "", ""]
    assert tagged(f"{PAGE}?{'a=1&' * 200}utm_campaign=x") == Tagged("shop.example")
    assert len(tagged(f"{PAGE}?utm_campaign={'x' * 2000}").campaign) == 512


URLS = st.sampled_from(
    [PAGE, "https://a.example/?utm_source=x", "https://a.example/?utm_campaign=y&gclid=1", "https://b.example/?q=1"]
)
REFERRERS = st.none() | st.sampled_from(
    ["", "https://a.example/1", "https://google.com/", "https://b.example/", "about:blank"]
)


@given(st.lists(st.tuples(URLS, REFERRERS)))
def test_a_column_is_as_its_texts(clicks) -> None:
    urls, referrers = ([click[n] for click in clicks] for n in range(2))
    found = arrivals(pa.array(urls, pa.string()), pa.array(referrers, pa.string()), ("referrer", "channel", "campaign"))
    sites = [site_of(referrer or "") for referrer in referrers]
    assert found["referrer"].to_pylist() == sites
    assert found["channel"].to_pylist() == [
        channel_of(site, *tagged(url)) for url, site in zip(urls, sites, strict=True)
    ]
    assert found["campaign"].to_pylist() == [tagged(url).campaign for url in urls]


def record(**fields: object) -> bytes:
    return json.dumps({"user_id": "u", "timestamp": 1793527200, "url": f"{PAGE}?utm_campaign=c&a=1"} | fields).encode()


@pytest.mark.parametrize("copies", [1, 300])
def test_parsing_takes_them_from_the_url_as_it_came(copies) -> None:
    """One by one, and compared with records alike; a referrer of another type costs no click."""
    long = "https://google.com/" + "x" * 2000
    values = [record(referrer=long), record(), record(referrer=7), record(referrer=None)] * copies
    options = ParseOptions(columns=("user_id", "timestamp", "url", "country", "referrer", "channel", "campaign"))
    found = parse_clicks(RawBatch(values, "test", range(len(values))), options, now_ms=1793527200_000)
    assert found.clicks["url"].to_pylist() == [f"{PAGE}?a=1"] * len(values)
    assert found.clicks["referrer"].to_pylist() == ["google.com", "", "", ""] * copies
    assert found.clicks["channel"].to_pylist() == ["campaign" if n % 4 else "search" for n in range(len(values))]
    assert found.clicks["campaign"].to_pylist() == ["c"] * len(values)
    assert found.mended == {"referrer_unknown": copies}
