"""How visitors arrived: the referring site, the campaign in the URL, and the channel that both come to. A column at a time, once a distinct text."""

from collections.abc import Callable, Collection, Mapping, Sequence
from typing import NamedTuple, TypeAlias, TypeVar
from urllib.parse import parse_qsl, urlsplit

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from clickstream.transforms.arrays import Int64s
from clickstream.transforms.limits import MAX_TEXT_LENGTH
from clickstream.transforms.memo import Memo
from clickstream.transforms.parse.channels import channel_of
from clickstream.transforms.schema import ARRIVAL_SCHEMA

ARRIVAL_COLUMNS = tuple(ARRIVAL_SCHEMA.names)
_LONGEST_KNOWN = 512
_CAMPAIGNS = ("utm_campaign", "mtm_campaign", "matomo_campaign", "pk_campaign", "piwik_campaign")
_SOURCES = ("utm_source", "mtm_source", "matomo_source", "pk_source")
_MEDIA = ("utm_medium", "mtm_medium", "matomo_medium", "pk_medium")
_PAID = frozenset(
    [
        "gclid",
        "gbraid",
        "wbraid",
        "dclid",
        "msclkid",
        "yclid",
        "ttclid",
        "twclid",
        "li_fat_id",
        "rdt_cid",
        "epik",
        "qclid",
    ]
)
_MOST_PARAMETERS = 100
_SOME = "some"


class Tagged(NamedTuple):
    """What a URL says of how its visitor came: `site` is its host, `clicked` the parameter by which an advertiser counts a click."""

    site: str
    campaign: str = ""
    source: str = ""
    medium: str = ""
    clicked: str = ""


def site_of(url: str) -> str:
    """The host of a URL of any scheme, in lower case and without `www.`; empty if it has none."""
    try:
        return (urlsplit(url.strip()).hostname or "").removeprefix("www.").removesuffix(".")[:MAX_TEXT_LENGTH]
    except ValueError:
        return ""


def tagged(url: str) -> Tagged:
    """Reads the campaign parameters of a URL as it came, before tracking parameters are off."""
    query = url.partition("#")[0].partition("?")[2]
    if not query:
        return Tagged(site_of(url))
    try:
        found = parse_qsl(query, max_num_fields=_MOST_PARAMETERS, errors="replace")
    except ValueError:
        return Tagged(site_of(url))
    given = {name.lower().removeprefix("amp;"): value for name, value in reversed(found)}
    campaign, source, medium = (_first(given, names) for names in (_CAMPAIGNS, _SOURCES, _MEDIA))
    return Tagged(site_of(url), campaign, source, medium, next(iter(sorted(_PAID & given.keys())), ""))


def _first(given: Mapping[str, str], names: Sequence[str]) -> str:
    return next((given[name].strip()[:MAX_TEXT_LENGTH] for name in names if given.get(name)), "")


_sites = Memo(site_of, longest=_LONGEST_KNOWN)
_tags = Memo(tagged, longest=_LONGEST_KNOWN)
_Texts: TypeAlias = pa.StringArray | Sequence[str | None]
_Found = TypeVar("_Found", str, Tagged)


def arrivals(urls: _Texts, referrers: _Texts | None, wanted: Collection[str]) -> dict[str, pa.Array]:
    """Those of ARRIVAL_COLUMNS that are wanted, of each click.

    Args:
        urls: As they came.
        referrers: The pages that led there, as URLs; null or no URL: none. Not needed for `campaign`.
        wanted: `referrer`: the referring site, empty for none; `campaign`: its name, empty for none; `channel`: see `channel_of`.
    """
    if not set(ARRIVAL_COLUMNS).intersection(wanted):
        return {}
    of_urls, tags = _distinct(urls, _tags.__getitem__)
    found = {"campaign": _spread([tag.campaign for tag in tags], of_urls)}
    if not {"referrer", "channel"}.isdisjoint(wanted):
        given = pa.nulls(len(urls), pa.string()) if referrers is None else referrers
        of_referrers, sites = _distinct(given, _sites.__getitem__)
        found["referrer"] = _spread(sites, of_referrers)
        found["channel"] = _channels(sites, of_referrers, tags, of_urls)
    return {name: found[name] for name in ARRIVAL_COLUMNS if name in wanted}


def _channels(sites: list[str], of_referrers: Int64s, tags: list[Tagged], of_urls: Int64s) -> pa.Array:
    """Pages are many; what they say of channels, with the sites that lead there, is little."""
    kinds = [tag._replace(campaign=_SOME if tag.campaign else "") for tag in tags]
    distinct = list(dict.fromkeys(kinds))
    numbers = {kind: number for number, kind in enumerate(distinct)}
    of_kinds = np.array([numbers[kind] for kind in kinds], np.int64)[of_urls]
    pairs, of_rows = np.unique(of_kinds * len(sites) + of_referrers, return_inverse=True)
    places = (divmod(pair, len(sites)) for pair in pairs.tolist())
    return _spread([channel_of(sites[site], *distinct[kind]) for kind, site in places], of_rows.reshape(-1))


def _distinct(texts: _Texts, work_out: Callable[[str], _Found]) -> tuple[Int64s, list[_Found]]:
    """What each distinct text comes to, without repeating itself, and which of these each text has."""
    column = texts if isinstance(texts, pa.Array) else pa.array(texts, pa.string())
    encoded = pc.fill_null(column, "").dictionary_encode()
    found = list(map(work_out, encoded.dictionary.to_pylist()))
    numbers = {each: number for number, each in enumerate(dict.fromkeys(found))}
    places = np.array([numbers[each] for each in found], np.int64)
    return places[np.asarray(encoded.indices)], list(numbers)


def _spread(texts: list[str], of_rows: Int64s) -> pa.Array:
    return pa.array(texts, pa.string()).take(pa.array(of_rows))
