"""Where the page's numbers come from, by the options: a store, the dead letters, and a live job's health."""

import threading
from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from apache_beam.options.pipeline_options import PipelineOptions

from clickstream.io.errors import UserError
from clickstream.io.health_client import Health, check_health_url, read_health
from clickstream.io.results import ElasticsearchStore, Rejection, SqlStore, Store, read_rejections
from clickstream.io.sql import SqlConnection
from clickstream.page.address import Address
from clickstream.page.answers import WAIT_SECONDS, PageAnswers
from clickstream.page.view import View
from clickstream.pipeline.options import MetricOptions, OutputOptions, PageOptions
from clickstream.pipeline.output_dir import OutputDir, derived_name, embedded_results
from clickstream.pipeline.sinks import dead_letters_of, elasticsearch_of, server_of

_ROLLUPS = ("1d", "1h")  # the longest first


class PageSource:
    """What the page's server asks.

    Args:
        stores: Gives those of `PageAnswers`, or a UserError as long as there are none.
        dead_letters: Gives where they are; None: nowhere that can be shown, and why.
        time_zone: Of the site.
        health: The live job's address; None: there is none.
    """

    def __init__(
        self,
        stores: Callable[[], dict[str, Store]],
        dead_letters: Callable[[], tuple[SqlConnection | None, str]],
        time_zone: str,
        *,
        health: str | None = None,
    ) -> None:
        self.time_zone = time_zone
        self._stores = stores
        self._lock = threading.Lock()
        self._answers: PageAnswers | None = None
        self._dead_letters = dead_letters
        self._health = health

    def view(self, address: Address, wait_seconds: float | None = None) -> View:
        """What the first tab shows of an address."""
        with self._lock:
            if self._answers is None:
                self._answers = PageAnswers(self._stores(), self.time_zone)
        return self._answers.view(address, wait_seconds=WAIT_SECONDS if wait_seconds is None else wait_seconds)

    def rejections(self) -> tuple[Sequence[Rejection] | None, str]:
        """Why records were rejected, and where that is kept; None: it can't be shown, and why."""
        found, why = self._dead_letters()
        if found is None:
            return None, why
        return read_rejections(found), f"Kept in {found.place}, table {found.dead_letters_table}"

    def late(self) -> tuple[int | None, str]:
        """How many clicks came too late, and who says so; None: it isn't known, and why."""
        health = self.health()
        if health is None:
            return None, "A live job counts them, and none is connected: see Health."
        return health.too_late, "Counted by the live job since its start."

    def health(self) -> Health | None:
        """How the live job does; None: there is none."""
        return None if self._health is None else read_health(self._health)


def source_of(options: PipelineOptions) -> PageSource:
    """Reads from the options what the page shows.

    Raises:
        UserError: An option can't be, or there is no store of that name.
    """
    metrics, chosen, health = (
        options.view_as(MetricOptions),
        options.view_as(OutputOptions),
        options.view_as(PageOptions).health,
    )
    try:
        ZoneInfo(metrics.time_zone)
    except (ZoneInfoNotFoundError, ValueError, OSError):
        message = f"--time_zone={metrics.time_zone}: there is no such zone: write its name in the IANA database, such as Asia/Kolkata, or UTC."
        raise UserError(message) from None
    if health is None:  # else a job is at work, which may have yet to make them
        _stores(options, chosen)
    _dead_letters(options)
    return PageSource(
        partial(_stores, options, chosen),
        partial(_dead_letters, options),
        metrics.time_zone,
        health=None if health is None else check_health_url(health),
    )


def _stores(options: PipelineOptions, chosen: OutputOptions) -> dict[str, Store]:
    """One store: MySQL where both are named, which hold the same."""
    server = server_of(options)
    if server is None and chosen.elasticsearch:
        cluster, index = replace(elasticsearch_of(options), request_timeout=20.0), chosen.elasticsearch_index
        return {name: ElasticsearchStore(cluster, derived_name(index, name)) for name in ("", *_ROLLUPS)}
    database = server or embedded_results(chosen.output_dir)
    return {
        name: SqlStore(replace(database, metrics_table=derived_name(database.metrics_table, name)))
        for name in ("", *_ROLLUPS)
    }


def _dead_letters(options: PipelineOptions) -> tuple[SqlConnection | None, str]:
    chosen = options.view_as(OutputOptions)
    embedded = OutputDir(Path(chosen.output_dir)).database
    if not chosen.dead_letters and not chosen.mysql and not embedded.is_file():
        return (
            None,
            f"{chosen.output_dir} holds no dead letters: name where the job keeps them with --dead_letters or --output_dir.",
        )
    found = dead_letters_of(options)
    if isinstance(found, str):
        return None, f"They are in Kafka's topic {found}, which the page doesn't read: replay-dead-letters does."
    if found.is_sqlite and not Path(found.database).is_file():
        return None, f"There are none yet: {found.place} isn't there."
    return found, ""
