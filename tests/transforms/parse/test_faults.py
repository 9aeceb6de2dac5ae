"""No record stops the job: huge numbers, deep nesting, and whatever else makes the program raise, which is narrowed down to its record."""

import json
import logging
import warnings
from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from oracle import read_click

from clickstream.transforms import ParseOptions, RawBatch
from clickstream.transforms.limits import MAX_NESTING
from clickstream.transforms.parse import checks as check
from clickstream.transforms.parse import clicks as clicks_module
from clickstream.transforms.parse import event_time, faults
from clickstream.transforms.parse.clicks import parse_clicks
from clickstream.transforms.parse.event_time import LatestEventTime
from clickstream.transforms.parse.pseudonyms import Pseudonyms
from clickstream.transforms.schema import Span

NOW = 1_795_000_000_000
SECONDS = 1_793_527_200
MARK = "makes the program fail"
USUAL = {"user_id": "u", "timestamp": SECONDS, "url": "https://a.example/", "country": "C"}


@pytest.fixture(autouse=True)
def warnings_are_errors():
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        yield


def flat(**fields: object) -> bytes:
    return json.dumps(USUAL | fields).encode()


def nested(**fields: object) -> bytes:
    click = {name: value for name, value in (USUAL | fields).items() if name != "country"}
    return json.dumps({"click_data": click, "geo_data": {"country": "C"}}).encode()


def with_number(number: str, name: str = "timestamp", shape=flat) -> bytes:
    return shape(**{name: 777_777_777}).replace(b"777777777", number.encode())


def parse(values: list[bytes], options: ParseOptions = ParseOptions(), **more):  # noqa: B008
    pseudonyms = more.pop("pseudonyms", None)
    first = more["span"].start if "span" in more else 0
    batch = RawBatch(values, "log", range(first, first + len(values)), **more)
    return parse_clicks(batch, options, now_ms=NOW, pseudonyms=pseudonyms)


def outcomes(values: list[bytes]) -> list[str]:
    """`click`, or the reason why not."""
    parsed = parse(values)
    rejected = dict(zip(*(parsed.rejected[name].to_pylist() for name in ("position", "reason")), strict=True))
    assert parsed.clicks.num_rows + len(rejected) == len(values)
    assert "internal_error" not in rejected.values()
    return [rejected.get(number, "click") for number in range(len(values))]


def in_any_company(*values: bytes) -> list[str]:
    """Each record's outcome: alone, beside others of either shape and broken ones, and among hundreds of another kind, all the same."""
    alone = [outcomes([value])[0] for value in values]
    for others in (
        [flat()],
        [nested()],
        [b"{"],
        [flat()] * 200,
        [nested()] * 200,
        [flat(timestamp="2026-11-01")] * 200,
    ):
        assert outcomes([*others, *values])[len(others) :] == alone
        assert outcomes([*values, *others])[: len(values)] == alone
    return alone


def test_a_time_of_very_many_digits_costs_its_record_and_no_other() -> None:
    """The case of public bug reports: five clicks, and one record with 309 digits."""
    values = [flat()] * 5 + [with_number("9" * 309)]
    assert outcomes(values) == ["click"] * 5 + ["out_of_range"]
    assert LatestEventTime()(values) == SECONDS * 1000


DIGITS = [19, 20, 25, 100, 307, 308, 309, 310, 400, 4299, 4300, 4301, 5000, 100_000]
NUMBERS = [
    *(sign + "9" * digits for digits in DIGITS for sign in ("", "-")),
    *("1" + "0" * digits for digits in DIGITS),
    *("9" * digits + ".5" for digits in (17, 309, 4301)),
    *(
        "1e308",
        "1.7976931348623157e308",
        "-1e308",
        "1e309",
        "1e-400",
        "0." + "0" * 400 + "1",
        "1" + "0" * 400 + "e-391",
    ),
    *(
        "18446744073709551615",
        "18446744073709551616",
        "9223372036854775808",
        "-9223372036854775809",
        "9007199254740993",
    ),
    *("7258118399999", "7258118399999.99", "7258118400000", "99999999999.99999", "7258118399.9999"),
]


@pytest.mark.parametrize("shape", [flat, nested])
@pytest.mark.parametrize("name", ["timestamp", "session_end", "time_spent", "user_id", "url", "other"])
def test_huge_numbers_have_one_outcome_in_any_company(name, shape) -> None:
    values = [with_number(number, name, shape) for number in NUMBERS]
    found = in_any_company(*values)
    accepted = [read_click(value, now_ms=NOW) is not None for value in values]
    assert [outcome == "click" for outcome in found] == accepted


@pytest.mark.parametrize("number", ["9" * 20, "9" * 309, "1e308", "7258118399999"])
@pytest.mark.parametrize("name", ["timestamp", "session_end"])
def test_hundreds_of_one_huge_number_are_what_one_is(name, number) -> None:
    value = with_number(number, name)
    assert set(outcomes([value] * 200)) == set(outcomes([value]))


numbers = st.builds(
    lambda sign, digit, count, rest: sign + digit + "0" * count + rest,
    st.sampled_from(["", "-"]),
    st.sampled_from("123456789"),
    st.sampled_from(DIGITS) | st.integers(0, 5000),
    st.sampled_from(["", ".5", "e1", "e-4300", "e308", ".0e-7"]) | st.integers(-5000, 5000).map("e{}".format),
)
fields = st.sampled_from(["timestamp", "session_end", "time_spent", "other"])
huge = st.builds(with_number, numbers, fields, st.sampled_from([flat, nested]))


@given(st.lists(st.tuples(huge, st.sampled_from([1, 2, 110])), min_size=1, max_size=3), st.booleans())
@settings(max_examples=60, deadline=None)
def test_huge_numbers_are_what_the_oracle_says(chosen, reverse) -> None:
    values = [value for value, times in chosen for _ in range(times)]
    values = values[::-1] if reverse else values
    read = {value: read_click(value, now_ms=NOW) for value, _ in chosen}
    found = outcomes(values)
    assert [outcome == "click" for outcome in found] == [read[value] is not None for value in values]
    latest = LatestEventTime()(values)
    assert latest is None or latest >= max((click.millis for click in read.values() if click), default=0)


def deep(count: int, shape=flat, opening: str = "[", closing: str = "]") -> bytes:
    """A record with so many brackets within its own."""
    return shape()[:-1] + f',"other":{opening * count}1{closing * count}'.encode() + b"}"


@pytest.mark.parametrize(("opening", "closing", "each"), [("[", "]", 1), ('{"a":', "}", 1), ('[{"}":', "}]", 2)])
@pytest.mark.parametrize("shape", [flat, nested])
def test_the_limit_of_levels_is_ours_in_any_company(shape, opening, closing, each) -> None:
    steps = [1, MAX_NESTING // 2 - 1, MAX_NESTING // 2, MAX_NESTING - 1, MAX_NESTING, 990, 991, 992, 993, 994]
    values = [deep(count, shape, opening, closing) for count in steps]
    assert in_any_company(*values) == ["too_deep" if 1 + count * each > MAX_NESTING else "click" for count in steps]
    for value in values[3:5]:
        assert set(outcomes([value] * 200)) == set(outcomes([value]))


def test_brackets_within_texts_and_side_by_side_are_no_levels() -> None:
    others = ("[" * 2000, '["' * 2000, "\\" * 3 + "[{" * 2000, [[]] * 2000, [{"a": "}"}] * 2000)
    assert set(in_any_company(*(flat(other=other) for other in others))) == {"click"}
    assert in_any_company(b'{"' + b"[" * 600, b"{" * 600) == ["invalid_json", "too_deep"]


def test_the_stack_does_not_decide() -> None:
    """As deep as records may be, 300 calls further down."""

    def further(calls: int) -> list[str]:
        return further(calls - 1) if calls else outcomes([deep(MAX_NESTING - 1), deep(MAX_NESTING)])

    assert further(300) == ["click", "too_deep"]


def break_the_program(patch: pytest.MonkeyPatch, *, for_all: bool = False) -> None:
    """A fault in the middle of the work on columns, for records that hold MARK."""
    sound = check.check_urls

    def check_urls(raw, *rest, **options):
        values = raw.to_pylist() if hasattr(raw, "to_pylist") else raw
        if for_all or any(MARK in url for url in values):
            message = f"the text of an error may hold values: {values}"
            raise ZeroDivisionError(message)
        return sound(raw, *rest, **options)

    patch.setattr(check, "check_urls", check_urls)
    faults._tell.cache_clear()


def bad(**fields: object) -> bytes:
    return flat(url=f"https://a.example/{MARK}", **fields)


@given(st.lists(st.sampled_from([flat(), nested(), b"{", bad(), flat(timestamp=SECONDS + 400)]), max_size=40))
@settings(max_examples=60, deadline=None)
def test_a_fault_costs_its_records_and_no_other(values) -> None:
    span = Span(1, 7, 7 + len(values) + 3)
    with pytest.MonkeyPatch.context() as patch:
        break_the_program(patch)
        parsed = parse(values, watermark=SECONDS * 1000, span=span, record_timestamps=list(range(len(values))))
    alone = parse([value for value in values if value != bad()], watermark=SECONDS * 1000)
    assert parsed.clicks.to_pylist() == alone.clicks.to_pylist()
    reasons = {bad(): "internal_error", b"{": "invalid_json"}
    expected = [(7 + n, reasons[value], value) for n, value in enumerate(values) if value in reasons]
    rows = parsed.rejected.to_pylist()
    assert [(row["position"], row["reason"], row["raw"]) for row in rows] == expected
    assert [row["record_timestamp"].timestamp() * 1000 for row in rows] == [position - 7 for position, *_ in expected]
    spans = [progress.span for progress in parsed.progress]
    assert (spans[0].start, spans[-1].end) == (span.start, span.end)
    assert all(before.end == after.start for before, after in pairwise(spans))


def test_late_records_stay_late_beside_a_fault(monkeypatch) -> None:
    break_the_program(monkeypatch)
    options = ParseOptions(window_seconds=60)
    parsed = parse(
        [flat(), bad(), flat(timestamp=SECONDS + 90)], options, watermark=(SECONDS + 60) * 1000, complete_until=NOW
    )
    assert [table.num_rows for table in (parsed.clicks, parsed.too_late, parsed.before, parsed.rejected)] == [
        1,
        1,
        1,
        1,
    ]


def test_a_fault_is_told_once_without_a_value(monkeypatch, caplog) -> None:
    break_the_program(monkeypatch)
    with caplog.at_level(logging.ERROR):
        rejected = [parse([flat(), bad(), flat(), bad()]).rejected for _ in range(3)]
    details = {detail for table in rejected for detail in table["detail"].to_pylist()}
    assert len(caplog.records) == len(details) == 1
    assert "ZeroDivisionError in check_urls (test_faults.py, line" in caplog.text
    assert MARK not in caplog.text + str(details)


def test_a_fault_that_is_no_records_is_raised(monkeypatch) -> None:
    """Everything would be a dead letter: a broken installation, say."""
    break_the_program(monkeypatch, for_all=True)
    with pytest.raises(ZeroDivisionError):
        parse([flat()] * 10)


@pytest.mark.parametrize("also", [True, False])
def test_what_can_not_be_cleaned_of_ids_for_sure_is_withheld(monkeypatch, also) -> None:
    """Where the program fails for a record, it may do so when it looks for ids."""
    break_the_program(monkeypatch)
    if also:
        monkeypatch.setattr(clicks_module, "without_ids", lambda raw, pseudonyms: raw[1 << 20])
    key = "0123456789abcdef"
    options = ParseOptions(user_key=lambda: key)
    parsed = parse(
        [flat(user_id="alice@b.example"), bad(user_id="alice@b.example")], options, pseudonyms=Pseudonyms(key)
    )
    assert parsed.clicks["user_id"].to_pylist() == [Pseudonyms(key).of("alice@b.example")]
    (row,) = parsed.rejected.to_pylist()
    assert row["reason"] == "internal_error"
    assert b"alice" not in row["raw"]
    assert row["raw"].startswith(b"withheld") == also


def test_the_latest_event_time_is_found_beside_what_makes_the_program_fail(monkeypatch) -> None:
    sound = event_time.to_epoch_ms
    monkeypatch.setattr(
        event_time, "to_epoch_ms", lambda times: sound(times) if MARK not in times.to_pylist() else 1 / 0
    )
    values = [flat(timestamp=MARK), flat(), flat(timestamp=SECONDS + 5), flat(timestamp=MARK)]
    assert LatestEventTime()(values) == (SECONDS + 5) * 1000
    assert LatestEventTime()(values[:1]) is None


@pytest.mark.parametrize("stamp", [-1, -(2**63), 2**63 - 1, 253_402_300_800_000])
def test_a_producers_own_stamp_may_be_any_number(stamp) -> None:
    """What no store can write as a time is none."""
    (row,) = parse([b"{"], record_timestamps=[stamp]).rejected.to_pylist()
    assert row["record_timestamp"] is None
