"""Result rows that a store refused (dead letters of reason `sink_refused`), into the store that lacks them.

The same guarded writes as the job's: a row that has come there meanwhile in a later version stands, and twice is as good as once.
"""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace
from typing import NamedTuple

from clickstream.io.elasticsearch import write_refused_documents
from clickstream.io.sql import write_refused_rows
from clickstream.pipeline.sinks import Sinks
from clickstream.transforms.breakdowns import holds_breakdown
from clickstream.transforms.schema import BREAKDOWN, PAGES

WRITTEN, STILL_REFUSED, NOT_NAMED = "written", "still refused by their store", "of a store that isn't named"
_STORES = ("mysql", "sqlite", "elasticsearch")


class RefusedRow(NamedTuple):
    """A dead letter that is a row: `STORE:TABLE`, or of Elasticsearch the index; and its JSON."""

    source: str
    raw: bytes


def is_row(source: str, position: int) -> bool:
    """Whether a dead letter is a result row, and no record: rows have no place in a log or topic."""
    return position == -1 and source.partition(":")[0] in _STORES


class RefusedRows:
    """Writes refused rows into the sinks that the options name."""

    def __init__(self, sinks: Sinks) -> None:
        self._sinks = sinks

    def write(self, rows: Sequence[RefusedRow]) -> list[str]:
        """What became of each: WRITTEN, STILL_REFUSED, or NOT_NAMED.

        Raises:
            UserError: A store can't be reached or written.
        """
        outcomes = [NOT_NAMED] * len(rows)
        for source in dict.fromkeys(row.source for row in rows):
            places = [place for place, row in enumerate(rows) if row.source == source]
            writer = self._writer(source)
            if writer is not None:
                stored = writer([rows[place].raw for place in places])
                for place, done in zip(places, stored, strict=True):
                    outcomes[place] = WRITTEN if done else STILL_REFUSED
        return outcomes

    def _writer(self, source: str) -> Callable[[Sequence[bytes]], Iterable[bool]] | None:
        store, _, name = source.partition(":")
        sql, cluster = self._sinks.sql, self._sinks.elasticsearch
        if store == "elasticsearch" and cluster is not None and _is_of(name, self._sinks.index):
            return lambda raws: write_refused_documents(cluster, name, raws)
        if sql is not None and store == ("sqlite" if sql.is_sqlite else "mysql") and _is_of(name, sql.metrics_table):
            table = replace(sql, metrics_table=name, kind=BREAKDOWN if holds_breakdown(name) else PAGES)
            return lambda raws: write_refused_rows(table, raws)
        return None


def _is_of(name: str, base: str) -> bool:
    """Whether it is the windows' table or index, or that of a roll-up or breakdown."""
    return name == base or name.startswith(f"{base}_")
