from rows import metric, table_of

from clickstream.io.stored_rows import StoredRows, StoredWindows


def table(*rows: dict):
    return table_of(list(rows))


def test_only_rows_that_differ_in_some_field_are_left() -> None:
    stored = StoredRows()
    first = table(*(metric(0, page, version=page + 1) for page in range(5)))
    assert stored.others(first) is first
    stored.add(first)
    assert stored.others(first).num_rows == 0
    changed = [metric(0, 0, version=2), metric(0, 1, version=2, country="Peru"), metric(0, 2, version=3, bounces=None)]
    again = table(*changed, metric(0, 3, version=4), metric(0, 5))
    assert stored.others(again).to_pylist() == [*changed, metric(0, 5)]
    assert stored.others(table(metric(1, 0, version=1))).num_rows == 1  # another window


def test_what_came_in_several_tables_is_known() -> None:
    stored = StoredRows()
    for page in range(3):
        stored.add(table(metric(0, page)))
    assert stored.others(table(metric(0, 0), metric(0, 2), metric(0, 3))).to_pylist() == [metric(0, 3)]


def test_the_windows_stored_longest_ago_are_forgotten_first() -> None:
    stored = StoredRows(most_rows=4)
    windows = [table(*(metric(window, page) for page in range(2))) for window in range(3)]
    for window in (windows[0], windows[1], windows[0], windows[2]):
        stored.add(window)
    assert [stored.others(window).num_rows for window in windows] == [0, 2, 0]


def test_empty_tables_are_of_no_window() -> None:
    stored = StoredRows()
    stored.add(table())
    assert stored.others(table()).num_rows == 0


def test_a_window_counts_once_whoever_stores_it() -> None:
    windows = StoredWindows()
    assert windows.count_new([table(metric(0, 0)), table(metric(0, 1)), table(metric(1, 0)), table()]) == 2
    assert windows.count_new(iter([table(metric(1, 5)), table(metric(2, 0))])) == 1
