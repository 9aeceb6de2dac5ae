"""The reference agrees with the code: options, reasons, metrics, columns, fields, procedures and views."""

import importlib.util
import re
import sys
from pathlib import Path

import pytest

from clickstream.io.elasticsearch.mapping import MAPPING
from clickstream.io.sample import SampleOptions, sample_records
from clickstream.io.sql.tables import dead_letters_table, page_metrics_table
from clickstream.pipeline.command_line import COMMANDS
from clickstream.pipeline.watch import LiveFigures, SinkFigures
from clickstream.pipeline.watch.health import LastError, Limits, report
from clickstream.pipeline.watch.health_server import metrics_text
from clickstream.transforms import RawBatch
from clickstream.transforms.parse import builtin_formats, event_format
from clickstream.transforms.parse.clicks import ParseOptions, parse_clicks
from clickstream.transforms.parse.faults import FAULT

ROOT = Path(__file__).parents[2]
REFERENCE = ROOT / "docs/reference"
NOW_MS = 1_793_527_200_000
SOUND = {"user_id": '"u"', "timestamp": str(NOW_MS), "url": '"https://a.example/"', "country": '"India"'}


def page(name: str) -> str:
    return (REFERENCE / f"{name}.md").read_text()


def first_cells(text: str) -> set[str]:
    """The names in code in the first column of all tables."""
    cells = (line.split("|")[1] for line in text.splitlines() if line.startswith("|"))
    return {name for cell in cells for name in re.findall(r"`([^`]+)`", cell)}


def section(text: str, title: str) -> str:
    return text.split(f"\n## {title}\n")[1].split("\n## ")[0]


def load(path: Path):
    spec = importlib.util.spec_from_file_location(path.stem, path)
    module = importlib.util.module_from_spec(spec)
    sys.modules[path.stem] = module
    spec.loader.exec_module(module)
    return module


def test_the_options_are_those_of_help() -> None:
    written = load(ROOT / "docs/tools/options.py").page()
    assert page("options") == written, "run: .venv/bin/python docs/tools/options.py"


def test_each_command_has_its_line() -> None:
    named = {name for cell in first_cells(page("commands")) for name in re.findall(r"[a-z-]+", cell)}
    assert set(COMMANDS) <= named


def record(**fields: str | None) -> bytes:
    given = {name: value for name, value in (SOUND | fields).items() if value is not None}
    return ("{" + ", ".join(f'"{name}": {value}' for name, value in given.items()) + "}").encode()


REJECTED = {
    "empty_record": b"  ",
    "record_too_large": record(city='"' + "x" * (1 << 20) + '"'),
    "invalid_utf8": record(user_id='"u"').replace(b'"u"', b'"\xff"'),
    "invalid_json": record()[:-1],
    "nginx_escape": record(browser=r'"\x22Acme\x22"'),
    "too_deep": record(other="[" * 100_000 + "]" * 100_000),
    "schema_registry_frame": b"\0\0\0\0\x07" + record(),
    "missing_field": record(url=None),
    "wrong_type": record(user_id="7"),
    "out_of_range": record(timestamp="9" * 400),
    "field_too_long": record(user_id='"' + "x" * 513 + '"'),
    "empty_user_id": record(user_id='" "'),
    "empty_country": record(country='""'),
    "invalid_timestamp": record(timestamp='"yesterday"'),
    "event_too_old": record(timestamp=str(NOW_MS - 8 * 86_400_000)),
    "event_in_future": record(timestamp=str(NOW_MS + 700_000)),
    "invalid_url": record(url='"ftp://a.example/"'),
    "url_too_long": record(url='"https://a.example/' + "x" * 8_192 + '"'),
}
OF_CONTAINERS = {"invalid_avro", "invalid_protobuf", "invalid_packing"}
OF_LINES = {"invalid_line"}  # of text, by an event format
OF_STORES = {"sink_refused", "raw_store_refused"}
OF_A_FAULT = {FAULT}  # no record is known that has it


def reasons(records: list[bytes]) -> list[str]:
    options = ParseOptions(max_event_age_seconds=7 * 86_400, max_clock_skew_seconds=600, country_required=True)
    batch = RawBatch(records, "log", range(len(records)))
    return parse_clicks(batch, options, now_ms=NOW_MS).rejected["reason"].to_pylist()


def test_the_sound_record_is_a_click() -> None:
    assert reasons([record()]) == []


@pytest.mark.parametrize("reason", REJECTED)
def test_a_reason_is_given_for_what_the_page_says(reason) -> None:
    assert reasons([REJECTED[reason]]) == [reason]


def test_a_line_that_fits_no_format_has_its_reason() -> None:
    options = ParseOptions(event_format=event_format("combined"))
    parsed = parse_clicks(RawBatch([b"no log line"], "log", range(1)), options, now_ms=NOW_MS)
    assert set(parsed.rejected["reason"].to_pylist()) == OF_LINES


def test_the_event_formats_are_all_there_are() -> None:
    text = page("event-formats")
    assert first_cells(text.split("\n## ")[0]) == set(builtin_formats())
    keys, of_sources = section(text, "The file").split("A source is a path")
    assert first_cells(keys) == {"fields", "only", "types", "record", "envelope"}
    assert first_cells(of_sources) == {"path", "header", "key", "part", "unit", "format", "zone", "base"}


# Fields that a row can do without: none of these is rejected.
MENDED = {
    "city_cut": record(city='"' + "x" * 513 + '"'),
    "browser_cut": record(browser='"' + "x" * 513 + '"'),
    "os_cut": record(os='"' + "x" * 513 + '"'),
    "device_cut": record(device='"' + "x" * 513 + '"'),
    "city_unknown": record(city="7"),
    "browser_unknown": record(browser="{}"),
    "os_unknown": record(os="[]"),
    "device_unknown": record(device="true"),
    "referrer_unknown": record(referrer="7"),
    "row_key_unknown": record(row_key='"' + "x" * 513 + '"'),
    "time_spent_unknown": record(time_spent="-3.2"),
    "session_end_unknown": record(session_end='""'),
    "user_agent_data_unknown": b'{"click_data": %s, "geo_data": {"country": "India"}, "user_agent_data": 7}' % record(),
    "half_character": record(user_id=r'"\ud83d"'),
}


@pytest.mark.parametrize("name", MENDED)
def test_what_is_mended_is_counted_as_the_page_says(name) -> None:
    parsed = parse_clicks(RawBatch([MENDED[name]], "log", [0]), ParseOptions(), now_ms=NOW_MS)
    assert (parsed.clicks.num_rows, parsed.mended) == (1, {name: 1})
    assert name in first_cells(section(page("input"), "What rejects a record, and what doesn't"))


def test_no_other_name_of_what_is_mended_is_on_the_page() -> None:
    cells = first_cells(section(page("input"), "What rejects a record, and what doesn't"))
    assert {cell for cell in cells if cell.endswith(("_cut", "_unknown", "_character"))} == set(MENDED)


def test_the_reasons_are_all_there_are() -> None:
    documented = first_cells(section(page("dead-letters"), "Reasons"))
    assert documented == set(REJECTED) | OF_LINES | OF_CONTAINERS | OF_STORES | OF_A_FAULT
    broken = [r for batch in sample_records(SampleOptions(seed=3, events=5000, broken_share=0.5)) for r in batch]
    assert set(reasons(broken)) <= documented
    sources = "\n".join(path.read_text() for path in (ROOT / "io").rglob("*.py"))
    assert set(re.findall(r'"([a-z_]+_refused)"', sources)) & OF_STORES == OF_STORES


def test_the_metrics_are_those_that_are_served() -> None:
    figures = LiveFigures(
        rejected={"invalid_json": 1},
        mended={"city_cut": 1},
        sinks={"sql": SinkFigures(1, 1, 1, 1)},
        lag={"0": 1},
        watermark_ms=1,
    )
    told = report("clicks", figures, 1.0, Limits(1), LastError("lost", 1), NOW_MS) | {"restarts": 0}
    samples = re.findall(r"^(clickstream_\w+)(?:\{(.*)\})? ", metrics_text(told).decode(), re.MULTILINE)
    served = {name: set(re.findall(r'(\w+)="', labels)) for name, labels in samples if not name.endswith("_created")}
    rows = re.findall(r"^\| `(clickstream_\w+)` \| (.*?) \|", page("metrics"), re.MULTILINE)
    assert {name: set(re.findall(r"`(\w+)`", labels)) for name, labels in rows} == served


def test_the_columns_are_those_of_the_tables() -> None:
    rows = section(page("tables"), "`page_metrics`")
    assert first_cells(rows) | {"url_hash"} == set(page_metrics_table().columns.keys())
    assert first_cells(page("dead-letters").split("\n## ")[0]) == set(dead_letters_table().columns.keys())


def test_the_fields_are_those_of_the_index() -> None:
    kinds = {}
    for names, kind in re.findall(
        r"^\| (`.*?) \| `(\w+)`", section_behind(page("elasticsearch-index"), "| field | type |"), re.M
    ):
        kinds |= dict.fromkeys(re.findall(r"`([^`]+)`", names), kind)
    assert kinds == {name: field["type"] for name, field in MAPPING.items()}


def section_behind(text: str, heading: str) -> str:
    return text.split(heading)[1]


@pytest.mark.parametrize(("file", "pattern"), [("procedures", r"CREATE PROCEDURE (\w+)"), ("views", r"VIEW `(\w+)`")])
def test_procedures_and_views_are_all_named(file, pattern) -> None:
    text = page("procedures").replace("`…_", "`page_metrics_")
    names = set(re.findall(pattern, (ROOT / f"sql/{file}.sql").read_text()))
    assert names
    assert {name for name in names if name not in text} == set()
