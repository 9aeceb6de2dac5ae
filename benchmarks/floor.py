"""The floor: the same numbers by one DuckDB query over the file, without Beam, dead letters or sinks. A peer for `batch.py`.

usage: python benchmarks/floor.py CLICKS.ndjson [WINDOW_SECONDS]
"""

import sys

import duckdb

QUERY = """
    SELECT time_bucket(to_seconds($seconds), click_data.timestamp) AS window_start, click_data.url, geo_data.country,
           count(*) AS clicks, count(DISTINCT click_data.user_id) AS unique_users,
           sum(click_data.time_spent) AS time_spent_seconds, count(click_data.time_spent) AS timed_clicks
    FROM read_json($path, format = 'newline_delimited', ignore_errors = true, columns = {
        click_data: 'STRUCT(user_id VARCHAR, "timestamp" TIMESTAMP, url VARCHAR, time_spent DOUBLE)',
        geo_data: 'STRUCT(country VARCHAR)'})
    GROUP BY ALL
"""

if __name__ == "__main__":
    seconds = int(sys.argv[2]) if len(sys.argv) > 2 else 300
    rows = duckdb.execute(f"SELECT count(*) FROM ({QUERY})", {"path": sys.argv[1], "seconds": seconds}).fetchone()  # noqa: S608
    sys.stdout.write(f"{rows[0]} rows\n")
