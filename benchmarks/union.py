"""How long MySQL or MariaDB takes to unite the users of one page over a day of 5-minute windows: `CALL get_unique_users`.

usage: python -m tests.services up mysql      # prints address and password; likewise mariadb
       MYSQL_PASSWORD=... python benchmarks/union.py --mysql=mysql://app@HOST:PORT/bench [--users=100] [--calls=21]

Fills the database named with 288 windows of a hundred pages, `--users` each of a hundred times as many, and asks for one page.
Prints the median and the largest time of a call, and the answer beside the right one.
"""

import argparse
import statistics
import time
from collections.abc import Iterator

import numpy as np
import pyarrow as pa
from measuring import machine

from clickstream.io.sql import metrics_writer
from clickstream.io.sql.mysql import connect_by_url, setup_mysql
from clickstream.io.sql.tables import metric_columns
from clickstream.transforms.aggregate.page_sums import PageSums, cut_by_window
from clickstream.transforms.aggregate.result_rows import page_metrics
from clickstream.transforms.schema import UTC_MS

DAY_MS, WINDOW_SECONDS, PAGES = 86_400_000, 300, 100
START_MS = 1_793_491_200_000  # 2026-11-01
PAGE = "https://shop.example/0"


def windows_of(table: pa.Table) -> Iterator[pa.Table]:
    """The rows of each window."""
    for piece in cut_by_window(table, window_seconds=WINDOW_SECONDS, shards=1):
        sums, start = PageSums(), piece.window_start_ms
        sums.add(piece.partials)
        yield page_metrics(sums.table(), window_start_ms=start, window_end_ms=start + WINDOW_SECONDS * 1000)


def clicks(users: int, seed: int) -> tuple[pa.Table, int]:
    """A day's clicks, one a user, window and page; and how many users the first page had."""
    rng = np.random.default_rng(seed)
    size = DAY_MS // (WINDOW_SECONDS * 1000) * PAGES * users
    chosen = rng.integers(100 * users, size=size)
    columns = {
        "url": pa.array([f"https://shop.example/{page}" for page in range(PAGES)]).take(
            pa.array(np.arange(size) % PAGES)
        ),
        "country": pa.repeat("India", size),
        "user_id": pa.array(chosen).cast(pa.string()),
        "timestamp": pa.array(START_MS + np.arange(size) * DAY_MS // size).cast(UTC_MS),
        "time_spent_ms": pa.array(rng.integers(600_000, size=size)),
    }
    return pa.table(columns), len(np.unique(chosen[::PAGES]))


def main() -> None:
    """Fills, asks, and prints a line of a Markdown table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--mysql", required=True)
    parser.add_argument("--mysql_password", default="env:MYSQL_PASSWORD")
    parser.add_argument("--users", type=int, default=100)
    parser.add_argument("--calls", type=int, default=21)
    options = parser.parse_args()
    connection = connect_by_url(options.mysql, password=options.mysql_password)
    setup_mysql(connection)
    table, expected = clicks(options.users, seed=1)
    writer = metrics_writer(connection)
    for rows in windows_of(table):
        writer.write(metric_columns(rows))
    writer.close()
    seconds = []
    with connection.engine().connect() as opened:
        version = opened.exec_driver_sql("SELECT VERSION()").scalar()
        for _ in range(options.calls):
            began = time.perf_counter()
            answer = opened.exec_driver_sql(
                "CALL get_unique_users(%s, NULL, '2026-11-01', '2026-11-02')", (PAGE,)
            ).scalar()
            seconds.append(time.perf_counter() - began)
    print(f"{machine()}; {version}\n")
    print(
        f"| {288 * options.users:,} hashes in 288 rows | median {statistics.median(seconds) * 1000:.0f} ms | largest "
        f"{max(seconds) * 1000:.0f} ms | {answer:,} users, {expected:,} right |"
    )


if __name__ == "__main__":
    main()
