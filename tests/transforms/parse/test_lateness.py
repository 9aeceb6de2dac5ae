"""Which clicks are too late, and how far a stream has got."""

from itertools import pairwise

from click_records import FLAT, NESTED, NOW, dumps, parse
from hypothesis import given, settings
from hypothesis import strategies as st
from oracle import recompute

from clickstream.transforms import ParseOptions
from clickstream.transforms.schema import Span


def test_too_late_is_told_by_the_batchs_watermark_to_the_millisecond() -> None:
    options = ParseOptions(window_seconds=60, allowed_lateness_seconds=30)
    end = NOW // 60_000 * 60_000
    value = dumps(FLAT, timestamp=end - 1)
    late = parse(value, b"x", options=options, watermark=end + 30_000, span=Span(5, 7, 9))
    still = parse(value, b"x", options=options, watermark=end + 29_999, span=Span(5, 7, 9))
    assert (late.clicks.num_rows, late.too_late.num_rows, late.rejected.num_rows) == (0, 1, 1)
    assert (still.clicks.num_rows, still.too_late.num_rows, still.rejected.num_rows) == (1, 0, 1)
    assert [(p.span, p.needed_until) for p in still.progress] == [(Span(5, 7, 9), end + 30_000)]
    assert [p.needed_until for p in late.progress] == [end + 30_000]
    assert parse(value).progress == []


TIMES_AROUND = st.integers(NOW - 2_000_000, NOW + 500_000)


@given(
    st.lists(TIMES_AROUND.map(lambda ms: dumps(FLAT, timestamp=ms)) | st.sampled_from([b"", b"{", dumps(NESTED)])),
    st.integers(1, 900),
    st.integers(0, 900),
    st.integers(NOW - 2_000_000, NOW + 2_000_000),
)
@settings(max_examples=200)
def test_progress_and_lateness_agree_with_the_oracle(values, window_seconds, lateness, watermark) -> None:
    """Read is accepted, rejected and too late; each part of the batch is needed until the windows of its clicks expire."""
    options = ParseOptions(window_seconds=window_seconds, allowed_lateness_seconds=lateness)
    parsed = parse(*values, options=options, watermark=watermark, span=Span(0, 5, 5 + len(values)))
    expected = recompute(
        values,
        window_seconds=window_seconds,
        now_ms=NOW,
        watermark=watermark,
        allowed_lateness_seconds=lateness,
    )
    counts = {name: expected.outcomes.count(name) for name in ("click", "too late", "rejected")}
    assert counts == {
        "click": parsed.clicks.num_rows,
        "too late": parsed.too_late.num_rows,
        "rejected": parsed.rejected.num_rows,
    }
    ends = [row.window_end + lateness * 1000 for row in expected.rows.values()]
    assert parsed.progress[-1].needed_until == max([watermark, *ends])
    cuts = [5, *(progress.span.end for progress in parsed.progress)]
    assert [p.span for p in parsed.progress] == [Span(0, *cut) for cut in pairwise(cuts)]
    assert cuts[-1] == 5 + len(values)
    assert len(parsed.progress) <= 10
    for part in parsed.progress:
        alone = recompute(
            values[part.span.start - 5 : part.span.end - 5],
            window_seconds=window_seconds,
            now_ms=NOW,
            watermark=watermark,
            allowed_lateness_seconds=lateness,
        )
        expiries = [row.window_end + lateness * 1000 for row in alone.rows.values()]
        assert max([watermark, *expiries]) <= part.needed_until


def test_what_lies_before_a_later_windows_first_click_is_done_with_earlier() -> None:
    values = [dumps(FLAT, timestamp=NOW - 900_000 + 60_000 * n) for n in range(6)]
    options = ParseOptions(window_seconds=120)
    parsed = parse(values[0], b"x", *values[1:], options=options, watermark=0, span=Span(0, 5, 13))
    ends = [(p.needed_until - (NOW - 900_000)) // 60_000 for p in parsed.progress]
    assert ends == sorted(set(ends))
    assert len(ends) in (3, 4), "six minutes of clicks in windows of two"
    many = parse(
        *(dumps(FLAT, timestamp=NOW - 900_000 + 1000 * n) for n in range(600)),
        options=ParseOptions(window_seconds=1),
        watermark=0,
        span=Span(0, 5, 605),
    )
    assert 4 <= len(many.progress) <= 10
