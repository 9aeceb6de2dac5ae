"""Events of your own, from anywhere: a list here. Prints a row a window, URL and country, and what was no click.

python examples/own_events.py
"""

import apache_beam as beam

from clickstream.transforms import AggregateByPage, BatchClicks, MeasureTimeSpent, ParseClicks, TimeSpentPolicy

EVENTS = [
    {"user_id": "ada", "timestamp": "2026-11-01T12:00:00Z", "url": "https://shop.example/", "country": "India"},
    {"user_id": "ada", "timestamp": "2026-11-01T12:00:40Z", "url": "https://shop.example/hats", "country": "India"},
    {
        "user_id": "bob",
        "timestamp": "2026-11-01T12:01:00Z",
        "url": "https://shop.example/?utm_source=x",
        "country": "India",
    },
    {"user_id": "eve", "timestamp": "yesterday", "url": "https://shop.example/", "country": "India"},
]


def show(table):
    for row in table.to_pylist():
        known = f"{row['timed_clicks']} timed, {row['avg_time_spent']} s on average"
        yield f"{row['window_start']:%H:%M} {row['url']}: {row['clicks']} clicks of {row['unique_users']} users, {known}"


def run(pipeline, events=EVENTS):
    """Gives two collections of lines: one a window, URL and country; and one a record that was no click."""
    parsed = pipeline | beam.Create(events) | BatchClicks() | ParseClicks()
    pages = parsed.clicks | MeasureTimeSpent(TimeSpentPolicy("dwell")) | AggregateByPage(window_seconds=300)
    rejected = parsed.rejected | beam.FlatMap(lambda table: [f"rejected: {why}" for why in table["detail"].to_pylist()])
    return pages | beam.FlatMap(show), rejected


if __name__ == "__main__":
    with beam.Pipeline("FnApiRunner") as pipeline:
        for name, lines in zip(("pages", "rejected"), run(pipeline), strict=True):
            _ = lines | f"Print {name}" >> beam.Map(print)
