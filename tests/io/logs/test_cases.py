"""Inputs made anew from public bug reports, each with its right outcome: read as files are, and parsed. See docs/reference/cases.md."""

from collections import Counter
from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple

import pytest

from clickstream.io.logs import LogSplit, match_logs, open_behind, read_split, read_values
from clickstream.transforms import ParseOptions
from clickstream.transforms.parse.clicks import parse_clicks

CASES = Path(__file__).parent / "cases"
REFERENCE = Path(__file__).parents[3] / "docs/reference/cases.md"
NOW_MS = 1_793_600_000_000
SHOP = "https://shop.example"
INDIA = (f"{SHOP}/a", "India")


class Outcome(NamedTuple):
    """Clicks by page and country, reasons of what is rejected, and what was mended in what is counted."""

    clicks: dict[tuple[str, str], int]
    rejected: Mapping[str, int] = {}
    mended: Mapping[str, int] = {}


GIVEN = {"": 3, "-": 1, "XX": 1, "INDIA": 1, "IN": 1}
FIVE = Outcome({INDIA: 5})
RIGHT = {
    "firehose.ndjson": Outcome({INDIA: 2, (f"{SHOP}/b", "Spain"): 1}),
    "nginx_escape.ndjson": Outcome({(f"{SHOP}/a", "IN"): 1}, {"nginx_escape": 2, "invalid_timestamp": 2}),
    "half_emoji.ndjson": Outcome({INDIA: 3}, {"invalid_json": 1}, {"half_character": 2}),
    "long_ua.ndjson": Outcome({INDIA: 4}, {}, {"browser_cut": 1, "city_cut": 1, "row_key_unknown": 1}),
    "country.ndjson": Outcome({INDIA: 1, **{(f"{SHOP}/a", name): n for name, n in GIVEN.items()}}),
    **dict.fromkeys(("array.json", "bom.ndjson", "pretty.json", "utf16.ndjson"), FIVE),
    "percent.ndjson": Outcome({(f"{SHOP}/caf%C3%A9", "France"): 30}),
    "eszett.ndjson": Outcome(
        {("https://xn--strae-oqa.example/", "Germany"): 20, ("https://strasse.example/", "Germany"): 10}
    ),
    "campaign.ndjson": Outcome({(f"{SHOP}/shoes", "India"): 300}),
    "backslash.ndjson": Outcome(
        {
            (f"{SHOP}/{path}", "Germany"): 1
            for path in (r"search?q=C:\temp", "a", "search?q=a%5Cb", "search?q=red+shoes")
        }
    ),
    "negative.ndjson": Outcome({INDIA: 7}, {}, {"time_spent_unknown": 2, "session_end_unknown": 2}),
    "piece_1.ndjson": Outcome({("https://a.example/p", "India"): 10}),
    "piece_2.ndjson": Outcome({("https://a.example/p", "India"): 6}),
    "long_integer.ndjson": Outcome({("https://a.example/", "C"): 5}, {"out_of_range": 1}),
}


def outcome(path: Path) -> Outcome:
    """What becomes of a file's records."""
    (file,) = match_logs(str(path))
    reader = read_split if file.form.in_lines else read_values
    found = Outcome(Counter(), Counter(), Counter())
    with open_behind(file.path, 0, file.form) as handle:
        for batch in reader(handle, LogSplit(file.path, 0, None, file.form), 1 << 20):
            parsed = parse_clicks(batch, ParseOptions(), now_ms=NOW_MS)
            found.clicks.update(zip(*(parsed.clicks[name].to_pylist() for name in ("url", "country")), strict=True))
            found.rejected.update(parsed.rejected["reason"].to_pylist())
            found.mended.update(parsed.mended)
    return found


@pytest.mark.parametrize("name", RIGHT)
def test_each_case_has_its_right_outcome(name) -> None:
    assert outcome(CASES / name) == RIGHT[name]


def test_all_cases_are_here_and_on_the_page() -> None:
    names = {path.name for path in CASES.iterdir()}
    assert names == set(RIGHT)
    text = REFERENCE.read_text()
    assert [name for name in names if f"`{name}`" not in text] == []
