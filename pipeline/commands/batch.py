"""The batch job, embedded: click logs to SQLite, an Elasticsearch bulk file and a report, all in one folder."""

import time
from collections.abc import Sequence
from pathlib import Path

from clickstream.io.sample import SampleOptions, write_log
from clickstream.pipeline.batch_job import describe_run, report, run_batch
from clickstream.pipeline.options import OutputOptions, read_options
from clickstream.pipeline.output_dir import OutputDir
from clickstream.pipeline.raw_store import expire, raw_store_of, set_up_raw_store

SAMPLE = SampleOptions(events=500_000)


def main(argv: Sequence[str]) -> int:
    """Runs the batch job of the command line and prints its summary. Returns the exit status.

    Raises:
        UserError: Something that the user can mend.
    """
    options = read_options(argv, "batch")
    output = OutputDir(Path(options.view_as(OutputOptions).output_dir))
    run = describe_run(options)
    output.prepare()
    output.check(run)
    raw_store = raw_store_of(options)
    set_up_raw_store(raw_store)
    expire(raw_store, options)
    if run["sample"]:
        write_log(output.sample, SAMPLE)
    started = time.monotonic()
    counts = run_batch(options, output, run["input"] or str(output.sample))
    output.remember(run)
    report(output, counts, time.monotonic() - started, sample=run["sample"])
    return 0
