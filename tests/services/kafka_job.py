"""A toy job over a topic: windows of places, a slow sink that can be broken, and the commit. On Prism, it is a process of its own."""

import json
import os
import signal
import subprocess
import sys
import time
from collections import defaultdict
from contextlib import contextmanager, suppress
from pathlib import Path

import apache_beam as beam
from apache_beam.options.pipeline_options import PipelineOptions
from apache_beam.transforms.trigger import AccumulationMode, AfterProcessingTime, AfterWatermark
from apache_beam.transforms.window import FixedWindows, TimestampedValue

from clickstream.io.kafka import CommitOffsets, ReadFromKafka
from clickstream.transforms.schema import BatchProgress
from tests.services.kafka_topic import latest_time

ROOT = Path(__file__).parents[2]
WINDOW_MS, LATENESS_MS = 2_000, 1_000
DISORDER_SECONDS, IDLE_SECONDS = 2.0, 3.0


class Parse(beam.DoFn):
    """A stand-in for the real parse: events by window, and the batch's progress."""

    def process(self, batch):
        windows = defaultdict(list)
        needed_until = batch.watermark
        partition = int(batch.source.rpartition("/")[2])
        for offset, value in zip(batch.positions, batch.values, strict=True):
            window = json.loads(value)["t"] // WINDOW_MS
            expiry = (window + 1) * WINDOW_MS + LATENESS_MS
            if expiry <= batch.watermark:
                yield beam.pvalue.TaggedOutput("late", [partition, offset])
            else:
                windows[window].append([partition, offset])
                needed_until = max(needed_until, expiry)
        for window, found in windows.items():
            yield TimestampedValue((window % 2, (window, found)), window * WINDOW_MS / 1000)
        yield beam.pvalue.TaggedOutput("progress", BatchProgress(batch.source, batch.span, needed_until))


class Sink(beam.DoFn):
    """Appends each pane to a file, after a while; fails if a file tells it to."""

    def __init__(self, folder, seconds):
        self._folder, self._seconds = Path(folder), seconds

    def process(self, pane):
        time.sleep(self._seconds)
        if (self._folder / "broken").exists():
            message = "The store is down."
            raise ConnectionError(message)
        windows = defaultdict(list)
        for window, found in pane[1]:
            windows[window] += found
        with (self._folder / "sunk").open("a") as file:
            for item in windows.items():
                file.write(json.dumps(item) + "\n")
        yield len(windows)


def note_late(place, folder):
    with (Path(folder) / "late").open("a") as file:
        file.write(json.dumps([None, [place]]) + "\n")


def wire(pipeline, address, topic, folder, sink_seconds, **options):
    """Source, windows, two sinks (a slow one and a fast one) and the commit."""
    parsed = (
        pipeline
        | ReadFromKafka(
            address,
            topic,
            topic,
            event_time=latest_time,
            disorder_seconds=DISORDER_SECONDS,
            idle_seconds=IDLE_SECONDS,
            **options,
        )
        | beam.ParDo(Parse()).with_outputs("late", "progress", main="clicks")
    )
    _ = parsed.late | beam.Map(note_late, folder)
    pairs = parsed.clicks | beam.Map(lambda pair: pair).with_output_types(tuple[int, tuple])
    windows = pairs | beam.WindowInto(
        FixedWindows(WINDOW_MS // 1000),
        trigger=AfterWatermark(late=AfterProcessingTime(1)),
        accumulation_mode=AccumulationMode.ACCUMULATING,
        allowed_lateness=LATENESS_MS // 1000,
    )
    panes = windows | beam.GroupByKey()
    slow = panes | "Slow" >> beam.ParDo(Sink(folder, sink_seconds))
    fast = panes | "Fast" >> beam.Map(len)
    _ = {"progress": parsed.progress, "after": [slow, fast]} | CommitOffsets(address, topic)


@contextmanager
def live_job(prism, kafka, topic, folder, sink_seconds=0.0):
    """Runs the job in a process of its own until the block ends, or is killed before; gives the process."""
    command = [sys.executable, "-m", __name__, prism, kafka.address, topic, str(folder), str(sink_seconds)]
    with (Path(folder) / "log").open("a") as log:
        process = subprocess.Popen(command, cwd=ROOT, stdout=log, stderr=log, start_new_session=True)
    try:
        yield process
    finally:
        kill(process)


def kill(process):
    """Ends the job and its Prism at once; Prism outlives a job that has ended by itself."""
    with suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
    process.wait(20)


def main(prism, address, topic, folder, sink_seconds):
    options = PipelineOptions([f"--prism_location={prism}", "--environment_type=LOOPBACK", "--streaming"])
    pipeline = beam.Pipeline("PrismRunner", options=options)
    wire(pipeline, address, topic, folder, float(sink_seconds))
    result = pipeline.run()
    while result.state not in ("FAILED", "DONE", "CANCELLED"):
        time.sleep(0.2)
    os._exit(1)


if __name__ == "__main__":
    main(*sys.argv[1:])
