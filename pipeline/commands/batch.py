"""The batch job: click logs to servers, or embedded, to SQLite, an Elasticsearch bulk file and a report, all in one folder."""

import time
from collections.abc import Sequence
from pathlib import Path

from clickstream.io.errors import UserError
from clickstream.io.sample import SampleOptions, write_log
from clickstream.pipeline.batch_job import describe_run, report, run_batch
from clickstream.pipeline.options import ClickOptions, OutputOptions, RawStoreOptions, read_options
from clickstream.pipeline.output_dir import OutputDir
from clickstream.pipeline.raw_store import expire, raw_store_of, set_up_raw_store
from clickstream.pipeline.sinks import names_servers
from clickstream.pipeline.watch import end_status

SAMPLE = SampleOptions(events=500_000)


def main(argv: Sequence[str]) -> int:
    """Runs the batch job of the command line and prints its summary. Returns the exit status.

    Raises:
        UserError: Something that the user can mend.
    """
    options = read_options(argv, "batch")
    if options.view_as(RawStoreOptions).raw_store is None:
        options.view_as(RawStoreOptions).raw_store = "files"
    output = OutputDir(Path(options.view_as(OutputOptions).output_dir))
    run, to_servers = describe_run(options), names_servers(options)
    if to_servers and run["sample"]:
        message = "--input is missing: name the logs whose clicks are to go to the servers."
        raise UserError(message)
    output.prepare()
    if not to_servers:
        output.check(run)
    raw_store = raw_store_of(options)
    set_up_raw_store(raw_store)
    expire(raw_store, options)
    if run["sample"]:
        write_log(output.sample, SAMPLE)
    started = time.monotonic()
    done = run_batch(options, output, run["input"] or str(output.sample))
    if not to_servers:
        output.remember(run)
    report(options, output, done, time.monotonic() - started)
    most = options.view_as(ClickOptions).max_rejected_share
    return end_status(done.counts.read, done.counts.rejected_by_reason, most)
