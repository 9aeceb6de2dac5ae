"""All servers of one run: each started when first asked for, those that are needed together at the same time."""

from collections.abc import Iterable
from concurrent.futures import Future, ThreadPoolExecutor

from tests.services.cassandra import Cassandra
from tests.services.elasticsearch import Elasticsearch
from tests.services.flink import Flink
from tests.services.hbase import HBase
from tests.services.kafka import Kafka
from tests.services.mariadb import MariaDb
from tests.services.mysql import MySql
from tests.services.opensearch import OpenSearch
from tests.services.run import Run
from tests.services.service import Service

KINDS: dict[str, type[Service]] = {
    kind.name: kind for kind in (Kafka, MariaDb, MySql, Elasticsearch, OpenSearch, Cassandra, HBase, Flink)
}


def install(names: Iterable[str]) -> None:
    """Fills the cache for these servers, side by side; those that are named by the environment need nothing."""
    kinds = [KINDS[name] for name in names]
    with ThreadPoolExecutor() as pool:
        for done in [pool.submit(kind.install) for kind in kinds if not kind.external()]:
            done.result()


class Services:
    """The servers of one run, by name. `close()` stops them all and removes their data."""

    def __init__(self) -> None:
        self._run: Run | None = None
        self._pool = ThreadPoolExecutor(len(KINDS))
        self._started: dict[str, Future[Service]] = {}

    def begin(self, names: Iterable[str]) -> None:
        """Starts servers in the background, each once."""
        if not self._run:
            self._run = Run()
        for name in names:
            if name not in self._started:
                self._started[name] = self._pool.submit(self._start, KINDS[name], self._run)

    def get(self, name: str) -> Service:
        """The server of that name, answering.

        Raises:
            ServiceError: It can't be installed or doesn't start.
        """
        self.begin([name])
        return self._started[name].result()

    def close(self) -> None:
        """Stops all that were started here, side by side, also those still starting, and removes their folder."""
        if self._run:
            started = [future.result() for future in self._started.values() if future.done() and not future.exception()]
            list(self._pool.map(type(self)._stop, started))
            self._run.close()
        self._pool.shutdown()

    @staticmethod
    def _stop(service: Service) -> None:
        if not service.external():
            service.stop()

    @staticmethod
    def _start(kind: type[Service], run: Run) -> Service:
        service = kind(run)
        if not kind.external():
            service.start()
        return service
