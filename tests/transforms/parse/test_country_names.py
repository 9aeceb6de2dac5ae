"""Countries by their names of ISO 3166: a table written by hand, and what holds of any text."""

import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from clickstream.transforms import ParseOptions, RawBatch
from clickstream.transforms.parse import iso_name, parse_clicks, with_iso_names

# The name under which a country is counted: how else it is written, from what trackers and GeoIP databases send. Not made from any library.
WRITTEN = {
    "India": ("IN", "in", "IND", "ind", "INDIA", "india", "Republic of India", "REPUBLIC OF INDIA"),
    "United States": ("US", "USA", "usa", "United States of America", "The United States", "U.S.", "U.S.A."),
    "United Kingdom": ("GB", "GBR", "UK", "Great Britain", "United Kingdom of Great Britain and Northern Ireland"),
    "Germany": ("DE", "DEU", "germany", "Federal Republic of Germany"),
    "Netherlands": ("NL", "NLD", "The Netherlands", "the netherlands", "Holland", "Kingdom of the Netherlands"),
    "Bolivia": ("BO", "BOL", "Bolivia, Plurinational State of", "Plurinational State of Bolivia"),
    "South Korea": ("KR", "KOR", "Korea, Republic of", "Republic of Korea", "SOUTH KOREA"),
    "North Korea": ("KP", "PRK", "Democratic People's Republic of Korea", "Democratic People\N{RIGHT SINGLE QUOTATION MARK}s Republic of Korea"),
    "Vietnam": ("VN", "VNM", "Viet Nam", "viet nam", "Socialist Republic of Viet Nam"),
    "Russian Federation": ("RU", "RUS", "Russia", "RUSSIA"),
    "Türkiye": ("TR", "TUR", "Turkey", "Turkiye", "TÜRKİYE", "Tu\N{COMBINING DIAERESIS}rkiye"),
    "Czechia": ("CZ", "CZE", "Czech Republic", "The Czech Republic"),
    "Côte d'Ivoire": ("CI", "CIV", "Cote d'Ivoire", "COTE D\N{RIGHT SINGLE QUOTATION MARK}IVOIRE", "Ivory Coast"),
    "Congo": ("CG", "COG", "Republic of the Congo", "Congo - Brazzaville", "Congo Republic"),
    "Congo, The Democratic Republic of the": ("CD", "COD", "DR Congo", "Congo - Kinshasa", "Democratic Republic of the Congo"),
    "Trinidad and Tobago": ("TT", "TTO", "Trinidad & Tobago", "trinidad  and tobago"),
    "Saint Lucia": ("LC", "LCA", "St. Lucia", "St Lucia"),
    "Saint Vincent and the Grenadines": ("VC", "VCT", "St. Vincent & Grenadines", "Saint Vincent and Grenadines"),
    "Bahamas": ("BS", "BHS", "The Bahamas", "Commonwealth of the Bahamas"),
    "Gambia": ("GM", "GMB", "The Gambia"),
    "Réunion": ("RE", "REU", "Reunion"),
    "Iran": ("IR", "IRN", "Iran, Islamic Republic of"),
    "Syria": ("SY", "SYR", "Syrian Arab Republic"),
    "Tanzania": ("TZ", "TZA", "Tanzania, United Republic of"),
    "Moldova": ("MD", "MDA", "Republic of Moldova"),
    "Laos": ("LA", "LAO", "Lao People's Democratic Republic"),
    "Hong Kong": ("HK", "HKG", "Hong Kong SAR China"),
    "Macao": ("MO", "MAC", "Macau", "Macao SAR China"),
    "Cabo Verde": ("CV", "CPV", "Cape Verde"),
    "Eswatini": ("SZ", "SWZ", "Swaziland"),
    "North Macedonia": ("MK", "MKD", "Macedonia"),
    "Myanmar": ("MM", "MMR", "Burma", "Myanmar (Burma)"),
    "Niger": ("NE", "NER"),
    "Nigeria": ("NG", "NGA"),
    "Austria": ("AT", "AUT"),
    "Australia": ("AU", "AUS"),
    "Namibia": ("NA", "NAM"),
}  # fmt: skip
NO_COUNTRIES = (
    "",
    "ZZ",
    "XX",
    "T1",
    "A1",
    "(not set)",
    "-",
    "Atlantis",
    "Indiana",
    "IN-MH",
    "I N",
    "91",
    "Europe",
    "\ud83d",
    "İ",
)


@pytest.mark.parametrize("name", WRITTEN)
def test_a_country_has_one_name_however_it_is_written(name) -> None:
    assert {iso_name(text) for text in (name, *WRITTEN[name])} == {name}


@pytest.mark.parametrize("text", NO_COUNTRIES)
def test_what_is_no_country_stays_as_it_is(text) -> None:
    assert iso_name(text) == text


@given(st.one_of(st.text(), st.sampled_from([text for texts in WRITTEN.values() for text in texts])))
def test_a_name_stays_what_it_has_become(text) -> None:
    name = iso_name(text)
    assert iso_name(name) == name
    assert name == text or len(name) <= 128


def record(country: str) -> bytes:
    return b'{"user_id":"u","timestamp":1793527200,"url":"https://a.example/","country":"%s"}' % country.encode()


def test_countries_are_counted_by_name_only_where_it_is_asked_for() -> None:
    given_as = ["IN", "india", "", "Atlantis", "IND", "unknown"]
    batch = RawBatch([record(country) for country in given_as], "log", range(6))
    named = parse_clicks(batch, ParseOptions(iso_country_names=True), now_ms=1_793_600_000_000).clicks
    assert named["country"].to_pylist() == ["India", "India", "", "Atlantis", "India", ""]
    plain = parse_clicks(batch, ParseOptions(), now_ms=1_793_600_000_000).clicks
    assert plain["country"].to_pylist() == ["IN", "india", "", "Atlantis", "IND", ""]


def test_clicks_that_were_kept_get_their_names_too() -> None:
    parts = [pa.table({"country": texts, "n": range(len(texts))}) for texts in (["IN", "x"], ["IND"], [])]
    clicks = pa.concat_tables([part.cast(pa.schema({"country": pa.string(), "n": pa.int64()})) for part in parts])
    assert with_iso_names(clicks).to_pylist() == [
        {"country": "India", "n": 0}, {"country": "x", "n": 1}, {"country": "India", "n": 0},
    ]  # fmt: skip
