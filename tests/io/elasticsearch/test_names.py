"""Names of indices, and of indices by time."""

from datetime import datetime, timezone
from fnmatch import fnmatchcase

import pytest
from bulk_bodies import bulk_body
from rows import metric, table_of

from clickstream.io.elasticsearch.errors import ElasticsearchError
from clickstream.io.elasticsearch.names import check_index_name, index_at, pattern_of, searched

LATE = datetime(2026, 10, 31, 23, 59, 59, tzinfo=timezone.utc)


@pytest.mark.parametrize("name", ["clicks", "clicks-{month}", "c{day}", "a.b_{month}_1h"])
def test_names_that_can_be(name):
    assert check_index_name(name) == name


@pytest.mark.parametrize(
    "name", ["", "Clicks", "_clicks", "{month}", "a*", "a,b", "a-{year}", "a-{month}-{day}", "a-{", "a" * 256]
)
def test_names_that_can_not_be(name):
    with pytest.raises(ElasticsearchError, match="is no index name"):
        check_index_name(name)


def test_a_window_belongs_to_the_month_or_day_in_which_it_starts():
    assert index_at("clicks", LATE) == "clicks"
    assert index_at("clicks-{month}", LATE) == "clicks-2026-10"
    assert index_at("clicks-{day}_1h", LATE) == "clicks-2026-10-31_1h"


def test_what_is_searched_is_all_of_the_name_without_what_is_derived():
    assert searched("clicks") == "clicks"
    assert searched("clicks_1h") == "clicks_1h"
    assert searched("clicks-{month}") == "clicks-2*-*,-clicks-2*-*_1h,-clicks-2*-*_1d,-clicks-2*-*_by_*"
    assert searched("clicks-{month}_1d") == "clicks-2*-*_1d,-clicks-2*-*_by_*"
    assert searched("clicks-{month}_by_os") == "clicks-2*-*_by_os"
    assert searched("clicks-{month}_by_os_1h") == "clicks-2*-*_by_os_1h"


@pytest.mark.parametrize("name", ["clicks-{month}", "clicks-{day}"])
def test_the_pattern_matches_its_own_indices_and_not_those_of_another_job(name):
    assert fnmatchcase(index_at(name, LATE), pattern_of(name))
    assert not fnmatchcase(index_at(name.replace("clicks", "clicks-shop"), LATE), pattern_of(name))


def test_each_row_of_a_table_goes_to_its_own_month():
    rows = [metric(window_start=LATE.replace(second=0, month=month, day=1)) for month in (10, 11, 10)]
    heads = bulk_body(table_of(rows), "i-{month}").splitlines()[::2]
    assert [head.split(b'"')[5] for head in heads] == [b"i-2026-10", b"i-2026-11", b"i-2026-10"]
