"""A stream in miniature, for a test of your own: clicks, a watermark that passes their window's end, and a click behind it.

The window is published at its end, and again with the late click. In a test of yours, `assert_that` takes the place of `print`.
python examples/late_clicks.py
"""

import apache_beam as beam
from apache_beam.options.pipeline_options import PipelineOptions
from apache_beam.testing.test_stream import TestStream
from apache_beam.transforms.window import TimestampedValue

from clickstream.transforms import (
    AggregateByPage,
    BatchClicks,
    MeasureTimeSpent,
    ParseClicks,
    TimeSpentPolicy,
)

START = 1_793_534_400  # noon of 1 November 2026 (UTC)


def click(user, second):
    """A click so many seconds from the start."""
    event = {"user_id": user, "timestamp": START + second, "url": "https://shop.example/", "country": "India"}
    return TimestampedValue(event, START + second)


STREAM = (
    TestStream()
    .advance_watermark_to(START)
    .add_elements([click("ada", 10), click("bob", 20)])
    .advance_watermark_to(START + 300)  # the end of their window
    .advance_processing_time(10)
    .add_elements([click("eve", 30)])  # late
    .advance_processing_time(10)
    .advance_watermark_to(START + 2_000)  # beyond the allowed lateness
    .add_elements([click("zoe", 40)])  # too late: nothing comes of it
    .advance_watermark_to_infinity()
)


def run(pipeline, stream=STREAM):
    """Gives (clicks, users) each time the window is published."""
    aggregate = AggregateByPage(300, allowed_lateness_seconds=600)
    clicks = (pipeline | stream | BatchClicks() | ParseClicks()).clicks
    tables = clicks | MeasureTimeSpent(TimeSpentPolicy("fixed", 300)) | aggregate
    return tables | beam.FlatMap(lambda table: [(row["clicks"], row["unique_users"]) for row in table.to_pylist()])


if __name__ == "__main__":
    with beam.Pipeline("DirectRunner", options=PipelineOptions(streaming=True)) as pipeline:
        _ = run(pipeline) | beam.Map(print)
