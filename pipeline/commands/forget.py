"""`forget`: a user's clicks out of the raw store, and out of every figure that counts them."""

import argparse
import sys
from collections.abc import Mapping, Sequence
from dataclasses import replace

from apache_beam.options.pipeline_options import PipelineOptions

from clickstream.io.errors import UserError
from clickstream.io.raw import RawStore
from clickstream.pipeline.changes import show_changes
from clickstream.pipeline.options import (
    ClickOptions,
    KafkaOptions,
    MetricOptions,
    OutputOptions,
    RawStoreOptions,
    read_options,
)
from clickstream.pipeline.restating import Restating, begin, leased, stretches
from clickstream.pipeline.settings import user_key
from clickstream.transforms.parse import Pseudonyms


class ForgetOptions(PipelineOptions):
    """Who is forgotten."""

    @classmethod
    def _add_argparse_args(cls, parser: argparse.ArgumentParser) -> None:
        parser.add_argument("--user", metavar="ID", help="the user_id, as it stands in the events")


OPTIONS = (ForgetOptions, RawStoreOptions, ClickOptions, MetricOptions, OutputOptions, KafkaOptions)


def main(argv: Sequence[str]) -> int:
    """Forgets a user. Returns the exit status. However it ends, it may be run again.

    Raises:
        UserError: An option is wrong, a store can't be reached, or another job reprocesses.
    """
    options = read_options(argv, "forget")
    user = stored_id(options)
    work = begin(options, write=True, without_user=user)
    with leased(work) as store:
        _forget(work, store, user)
    return 0


def stored_id(options: PipelineOptions) -> str:
    """The user's id as it is stored: with --hash_user_ids, the pseudonym.

    Raises:
        UserError: None is given.
    """
    user, key = options.view_as(ForgetOptions).user, user_key(options)
    if not user:
        message = "forget needs --user=ID."
        raise UserError(message)
    return str(user) if key is None else Pseudonyms(key()).of(user)


def _forget(work: Restating, store: RawStore, user: str) -> None:
    """First the figures, then the clicks: if it ends in between, the next run finds the clicks again."""
    found = _clicks_of(store, user)
    clicks = [millis for times in found.values() for millis in times]
    work = replace(work, fewer=tuple(clicks))
    covered = stretches(found, work.settings.around_ms)
    show_changes([change for stretch in covered for change in work.run(*stretch)], written=True)
    for bucket in found:
        store.delete_user(user, bucket)
    sys.stdout.write(f"{len(clicks)} clicks of {len(found)} buckets removed from the raw store.\n")


def _clicks_of(store: RawStore, user: str) -> Mapping[int, list[int]]:
    times = {bucket.start_ms: store.user_times(user, bucket.start_ms) for bucket in store.buckets()}
    return {bucket: found for bucket, found in times.items() if found}
