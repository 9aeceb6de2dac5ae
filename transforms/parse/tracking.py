"""Tracking parameters: what a URL's query holds that says where a visitor came from, not which page is shown."""

from collections.abc import Iterable
from dataclasses import dataclass
from urllib.parse import unquote

# Sources: the vendors' own documentation, and the lists that browsers strip by (Firefox's query stripping, Brave's). A name that servers also use
# to choose a page (`cid`, `ref`, `campaign`, `source`, `clickid` …) is not here: --tracking_parameters=+NAME adds it.
TRACKING_PREFIXES = (
    "utm_",  # Google Analytics, and whoever took it over
    "gad_",  # Google Ads
    "mtm_", "matomo_", "pk_", "piwik_",  # Matomo
    "hsa_",  # HubSpot Ads
    "fb_action_",  # Meta
    "bsft_",  # Blueshift
    "trk_",  # Listrak
)  # fmt: skip
TRACKING_PARAMETERS = frozenset(
    [
        *("gclid", "gclsrc", "dclid", "gbraid", "wbraid", "srsltid", "_ga", "_gl", "_gac"),  # Google
        *("fbclid", "fb_ref", "fb_source", "igshid", "igsh"),  # Meta
        "msclkid",  # Microsoft
        *("twclid", "ttclid", "li_fat_id", "rdt_cid", "epik", "sccid", "qclid"),  # X, TikTok, LinkedIn, Reddit, Pinterest, Snapchat, Quora
        *("yclid", "ysclid", "ymclid", "_openstat"),  # Yandex
        *("mc_cid", "mc_eid", "ct_params"),  # Mailchimp
        *("_hsenc", "_hsmi", "__hstc", "__hssc", "__hsfp", "hsctatracking"),  # HubSpot
        "mkt_tok",  # Marketo
        *("s_kwcid", "ef_id"),  # Adobe Advertising
        *("_kx", "_ke"),  # Klaviyo
        *("ml_subscriber", "ml_subscriber_hash"),  # MailerLite
        *("vero_id", "vero_conv"),  # Vero
        *("oly_anon_id", "oly_enc_id"),  # Omeda
        *("__s", "dm_i", "_bta_c", "_bta_tid", "wickedid", "sb_referer_host"),  # Drip, Dotdigital, Bronto, Wicked Reports, Salesforce
        *("irclickid", "irgwc", "cjevent", "cjdata", "awc", "ranmid", "raneaid", "ransiteid", "tduid", "zanpid"),  # affiliate networks
        *("tblci", "dicbo", "vmcid", "ndclid"),  # Taboola, Outbrain, Yahoo, Nextdoor
        *("at_medium", "at_campaign", "at_recipient_id", "at_recipient_list", "xtor"),  # Piano (AT Internet)
        *("wt_mc", "wt_zmc"),  # Mapp
        *("_branch_match_id", "_branch_referrer"),  # Branch
        *("gdfms", "gdftrk", "gdffi"),  # GoDataFeed
    ]
)  # fmt: skip


@dataclass(frozen=True)
class TrackingParameters:
    """Names of query parameters that are off, in lower case; whether they stand so in a URL makes no difference.

    Attributes:
        names: Whole names.
        prefixes: How names begin.
    """

    names: frozenset[str] = TRACKING_PARAMETERS
    prefixes: tuple[str, ...] = tuple(sorted(TRACKING_PREFIXES))

    def changed_by(self, changes: Iterable[str]) -> "TrackingParameters":
        """With `NAME` or `+NAME` more, with `-NAME` fewer; `NAME*` for all that begin so.

        Raises:
            ValueError: A name is empty, or none that could be removed.
        """
        names, prefixes = set(self.names), set(self.prefixes)
        for change in changes:
            name = change.removeprefix("+").removeprefix("-").lower()
            begins = name.endswith("*")
            found, listed, key = (prefixes, self.prefixes, name[:-1]) if begins else (names, self.names, name)
            if not key or any(character in key for character in "*&=#"):
                message = f"{change!r} names no parameter: write +name, -name, or +name* for all that begin so"
                raise ValueError(message)
            if change.startswith("-") and key not in found and key not in listed:
                message = f"{change!r} is none of the tracking parameters"
                raise ValueError(message)
            (found.discard if change.startswith("-") else found.add)(key)
        return TrackingParameters(frozenset(names), tuple(sorted(prefixes)))

    def __contains__(self, parameter: str) -> bool:
        """Whether `name=value`, as it stands in a query, is one: percent-encoded, in any case, or escaped twice (`amp;utm_source`)."""
        name = parameter.partition("=")[0].lower()
        if "%" in name:
            name = unquote(name).lower()
        while name.startswith("amp;"):
            name = name[4:]
        return name in self.names or name.startswith(self.prefixes)


DEFAULT_TRACKING = TrackingParameters()
