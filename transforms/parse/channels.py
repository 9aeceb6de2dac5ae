"""Channels: a documented list of what referring sites and campaign parameters come to. In the terms of Google Analytics' default channel group."""

import re

CHANNELS = (
    *("internal", "direct", "search", "social", "video", "ai", "email", "referral"),
    *("paid_search", "paid_social", "display", "affiliate", "paid", "campaign"),
)

# By the name of the site, whatever stands before and behind it: google.com, news.google.co.in.
_SEARCH = frozenset(
    [
        *(
            "google",
            "bing",
            "yahoo",
            "duckduckgo",
            "yandex",
            "baidu",
            "ecosia",
            "qwant",
            "startpage",
            "naver",
            "seznam",
            "sogou",
            "so",
            "ask",
        ),
        *("aol", "brave", "kagi", "mojeek", "swisscows", "presearch", "haosou", "daum", "coccoc"),
    ]
)
_SOCIAL = frozenset(
    [
        *(
            "facebook",
            "instagram",
            "twitter",
            "x",
            "t",
            "linkedin",
            "lnkd",
            "pinterest",
            "reddit",
            "tumblr",
            "mastodon",
            "threads",
            "bsky",
        ),
        *(
            "vk",
            "ok",
            "weibo",
            "snapchat",
            "whatsapp",
            "telegram",
            "quora",
            "discord",
            "slack",
            "xing",
            "medium",
            "hackernews",
        ),
        *("ycombinator", "lemmy", "tiktok"),
    ]
)
_VIDEO = frozenset(["youtube", "youtu", "vimeo", "twitch", "dailymotion", "bilibili", "youku", "odysee", "peertube"])
_AI = frozenset(["chatgpt", "openai", "perplexity", "claude", "gemini", "copilot", "deepseek", "mistral", "grok"])
_KINDS = {"search": _SEARCH, "social": _SOCIAL, "video": _VIDEO}
_MAIL_HOSTS = re.compile(r"^(mail|webmail|outlook|gmail|com\.google\.android\.gm)\b|\.mail\.|^e\.mail\.")
_PAID_MEDIA = re.compile(r"^(.*cp[acmv].*|ppc|retargeting|paid.*)$")
_DISPLAY = frozenset(["display", "banner", "expandable", "interstitial", "cpm", "programmatic"])
_MAIL = frozenset(["email", "e-mail", "e_mail", "mail", "newsletter"])
_AFFILIATE = frozenset(["affiliate", "affiliates", "partner"])
_SOCIAL_MEDIA = frozenset(["social", "social-network", "social-media", "sm", "social_network", "social_media"])
_SEARCH_CLICKS = frozenset(["gclid", "gbraid", "wbraid", "msclkid", "yclid"])
_SOCIAL_CLICKS = frozenset(["ttclid", "twclid", "li_fat_id", "rdt_cid", "epik", "qclid"])
_SECOND_LEVEL = frozenset(["co", "com", "net", "org", "gov", "edu", "ac", "ne", "or", "go"])


def channel_of(
    referrer: str, site: str = "", campaign: str = "", source: str = "", medium: str = "", clicked: str = ""
) -> str:
    """The channel, one of `CHANNELS`.

    Args:
        referrer: The referring site, see `site_of`; empty: none.
        site: The page's own.
        campaign: Whether there is one: its name.
        source: Of the campaign, such as `newsletter` or `google`.
        medium: Of the campaign, such as `cpc`.
        clicked: A parameter by which an advertiser counts a click, such as `gclid`; empty: none.
    """
    if campaign or source or medium or clicked:
        return _of_campaign(_kind(source) or _kind(referrer), source.lower(), medium.lower(), clicked)
    if not referrer:
        return "direct"
    if referrer == site:
        return "internal"
    return _kind(referrer) or "referral"


def _of_campaign(kind: str, source: str, medium: str, clicked: str) -> str:
    if medium in _MAIL or source in _MAIL:
        return "email"
    if medium in _AFFILIATE:
        return "affiliate"
    if medium in _DISPLAY or clicked == "dclid":
        return "display"
    if clicked or _PAID_MEDIA.match(medium):
        if kind == "search" or clicked in _SEARCH_CLICKS:
            return "paid_search"
        return "paid_social" if kind == "social" or clicked in _SOCIAL_CLICKS else "paid"
    if medium in _SOCIAL_MEDIA:
        return "social"
    return kind or ("referral" if medium == "referral" else "campaign")


def _kind(site: str) -> str:
    """What a site, or a source's name, is known for; empty: nothing."""
    site = site.lower()
    if _MAIL_HOSTS.search(site):
        return "email"
    if not _AI.isdisjoint(site.split(".")):
        return "ai"
    name = _name(site)
    return next((kind for kind, names in _KINDS.items() if name in names), "")


def _name(site: str) -> str:
    """The part of a host that is registered: `google` of `news.google.co.in`. A name without dots is itself."""
    parts = site.split(".")
    if parts[0] in ("com", "org") and len(parts) > 2:  # an app's
        return parts[1]
    if len(parts) > 1:
        parts.pop()
    if len(parts) > 1 and parts[-1] in _SECOND_LEVEL:
        parts.pop()
    return parts[-1]
