"""One country, one row: codes and names of ISO 3166, as events give them, to one name."""

import re
import unicodedata
from functools import cache

import pyarrow as pa
import pycountry

from clickstream.transforms.limits import MAX_COUNTRY_LENGTH
from clickstream.transforms.memo import Memo

# What ISO 3166 doesn't list, and GeoIP databases, browsers (CLDR) and people write.
_IN_USE = {
    "AE": ("UAE",),
    "AX": ("Aland",),
    "BN": ("Brunei",),
    "BQ": ("Caribbean Netherlands", "Bonaire"),
    "CC": ("Cocos Islands", "Keeling Islands"),
    "CD": ("DR Congo", "DRC", "Democratic Republic of the Congo", "Democratic Republic of Congo", "Congo - Kinshasa", "Congo (DRC)"),
    "CG": ("Republic of Congo", "Congo Republic", "Congo - Brazzaville", "Congo-Brazzaville"),
    "CI": ("Ivory Coast",),
    "CV": ("Cape Verde",),
    "FK": ("Falkland Islands", "Falklands"),
    "FM": ("Micronesia",),
    "GB": ("UK", "Great Britain"),
    "HK": ("Hong Kong SAR China", "Hong Kong SAR"),
    "KR": ("Republic of Korea",),
    "MF": ("Saint Martin",),
    "MK": ("Macedonia", "Republic of Macedonia"),
    "MM": ("Burma", "Myanmar (Burma)"),
    "MO": ("Macau", "Macao SAR China", "Macao SAR"),
    "NL": ("Holland",),
    "PN": ("Pitcairn Islands",),
    "PS": ("Palestine", "Palestinian Territories", "Palestinian Territory"),
    "RU": ("Russia",),
    "SH": ("Saint Helena",),
    "ST": ("São Tomé and Príncipe",),
    "SX": ("Sint Maarten",),
    "SZ": ("Swaziland",),
    "TF": ("French Southern and Antarctic Lands",),
    "TL": ("East Timor",),
    "TR": ("Turkey",),
    "UM": ("U.S. Outlying Islands", "US Outlying Islands"),
    "US": ("U.S.", "U.S.A."),
    "VA": ("Vatican City", "Vatican", "Holy See"),
    "VI": ("U.S. Virgin Islands", "US Virgin Islands"),
}  # fmt: skip

_THE, _SAINT = re.compile(r"\bthe "), re.compile(r"\bst\.? (?=[a-z])")


def iso_name(country: str) -> str:
    """The one name of a country: of its ISO 3166 alpha-2 or alpha-3 code, its official name or a common one, whatever its case and accents.

    `IN`, `IND`, `INDIA` and `Republic of India` are `India`; common names are preferred (`South Korea`). What isn't known stays as it is. Idempotent.
    """
    return _names().get(_plain(country), country)


def by_iso_name(countries: pa.StringArray | pa.ChunkedArray) -> pa.Array:
    """The same of a column. Each distinct text is looked up once, and worked out once while the process lives."""
    found = (countries.combine_chunks() if isinstance(countries, pa.ChunkedArray) else countries).dictionary_encode()
    return pa.array(map(_MEMO.__getitem__, found.dictionary.to_pylist()), pa.string()).take(found.indices)


def with_iso_names(clicks: pa.Table) -> pa.Table:
    """Clicks by the one name of their country each."""
    place = clicks.schema.get_field_index("country")
    return clicks.set_column(place, clicks.schema.field(place), by_iso_name(clicks["country"]))


_MEMO = Memo(iso_name, longest=MAX_COUNTRY_LENGTH)


@cache
def _names() -> dict[str, str]:
    """By all that a country is called, without what people write in several ways."""
    found: dict[str, str] = {}
    for country in pycountry.countries:
        fields = dict(country)
        called = [fields.get(name) for name in ("common_name", "name", "official_name", "alpha_2", "alpha_3")]
        names = [name for name in (*called, *_IN_USE.get(fields["alpha_2"], ())) if name]
        found |= {_plain(name): names[0] for name in names}
    return found


def _plain(name: str) -> str:
    letters = unicodedata.normalize("NFKD", name).casefold().replace("\N{RIGHT SINGLE QUOTATION MARK}", "'")
    text = "".join(letter for letter in letters if not unicodedata.combining(letter)).replace("&", " and ")
    return _SAINT.sub("saint ", _THE.sub("", " ".join(text.split())))
