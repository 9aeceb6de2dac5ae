"""Fixtures with real servers, for all tests.

`kafka`, `elasticsearch`, `opensearch`, `mariadb`, `mysql`, `cassandra`, `hbase`, `flink`, and
`sql_server`: a test that takes this one runs on each of the two.
Each server is started once in a test process, when the first test asks for one, together with all others that the
chosen tests of its group will need. A server that doesn't start is an error of the tests that need it, never a reason to
skip them.

Of several processes (`pytest -n 3 --dist=loadgroup`) each takes whole groups: the live jobs' tests, those of the servers,
and each other file by itself. A file may name a group of its own by `pytest.mark.xdist_group`.
"""

import contextlib
import uuid
from collections.abc import Iterator

import pytest
from selenium.webdriver.remote.webdriver import WebDriver

from tests.services import chromium
from tests.services.cassandra import Cassandra
from tests.services.elasticsearch import Elasticsearch
from tests.services.errors import ServiceError
from tests.services.flink import Flink, install_job_server
from tests.services.hbase import HBase
from tests.services.kafka import Kafka
from tests.services.kafka_topic import PARTITIONS
from tests.services.mariadb import MariaDb
from tests.services.mysql import MySql
from tests.services.opensearch import OpenSearch
from tests.services.prism import find_prism
from tests.services.services import KINDS, Services, install
from tests.services.sql import SqlServer

NEEDED = pytest.StashKey[dict[str, set[str]]]()
GROUP = pytest.StashKey[str]()


def group_of(item: pytest.Item) -> str:
    """What runs in one process: what the file says, else files whose tests share servers, else a file."""
    named = item.get_closest_marker("xdist_group")
    if named is not None:
        return str(named.args[0])
    names = set(getattr(item, "fixturenames", ()))
    if "prism" in names:
        return "live"
    return "servers" if "services" in names else item.path.name


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Names each test's group, before xdist reads the names."""
    for item in items:
        if item.get_closest_marker("xdist_group") is None:
            item.add_marker(pytest.mark.xdist_group(group_of(item)))
    _alone_first(items)


def _alone_first(items: list[pytest.Item]) -> None:
    """Puts the tests that run alone before all, and a short file beside them: later they would wait for others of ten minutes, and all for them."""
    lonely = {group_of(item) for item in items if item.get_closest_marker("alone")}

    def rank(item: pytest.Item) -> int:
        if group_of(item) in lonely:
            return 0 if item.get_closest_marker("alone") else 1
        return 2 if item.path.name == "test_house.py" else 3

    items.sort(key=rank)


def pytest_collection_finish(session: pytest.Session) -> None:
    """Notes which servers the chosen tests of each group need."""
    needed: dict[str, set[str]] = {}
    for item in session.items:
        wanted = set(getattr(item, "fixturenames", ()))
        wanted.update(filter(_is_text, item.callspec.params.values() if hasattr(item, "callspec") else ()))
        needed.setdefault(group_of(item), set()).update(wanted & KINDS.keys())
    session.config.stash[NEEDED] = needed


def _is_text(parameter: object) -> bool:
    return isinstance(parameter, str)


@pytest.hookimpl(tryfirst=True)
def pytest_runtestloop(session: pytest.Session) -> None:
    """Installs them before the first test, whose time limit that would exceed. A failure shows in the tests."""
    if not session.config.option.collectonly:
        with contextlib.suppress(ServiceError):
            install(set().union(*session.config.stash.get(NEEDED, {}).values()))
            if any("chrome" in getattr(item, "fixturenames", ()) for item in session.items):
                chromium.install()


@pytest.hookimpl(tryfirst=True)
def pytest_runtest_setup(item: pytest.Item) -> None:
    """Notes whose servers are to be started, if none are yet."""
    item.config.stash[GROUP] = group_of(item)


@pytest.fixture(scope="session")
def services(pytestconfig: pytest.Config) -> Iterator[Services]:
    """All servers of this test run."""
    servers = Services()
    try:
        servers.begin(pytestconfig.stash[NEEDED][pytestconfig.stash[GROUP]])
        yield servers
    finally:
        servers.close()


@pytest.fixture(scope="session")
def kafka(services: Services) -> Kafka:
    """A Kafka broker."""
    return services.get("kafka")


@pytest.fixture
def topic(kafka: Kafka) -> str:
    """A topic of a test's own."""
    return kafka.create_topic(f"clicks-{uuid.uuid4().hex}", PARTITIONS)


@pytest.fixture(scope="session")
def mariadb(services: Services) -> MariaDb:
    """A MariaDB server."""
    return services.get("mariadb")


@pytest.fixture(scope="session")
def mysql(services: Services) -> MySql:
    """A MySQL server."""
    return services.get("mysql")


@pytest.fixture(scope="session", params=["mariadb", "mysql"])
def sql_server(services: Services, request: pytest.FixtureRequest) -> SqlServer:
    """MariaDB, then MySQL."""
    return services.get(request.param)


@pytest.fixture(scope="session")
def elasticsearch(services: Services) -> Elasticsearch:
    """An Elasticsearch node."""
    return services.get("elasticsearch")


@pytest.fixture(scope="session")
def opensearch(services: Services) -> OpenSearch:
    """An OpenSearch node."""
    return services.get("opensearch")


@pytest.fixture(scope="session")
def cassandra(services: Services) -> Cassandra:
    """A Cassandra node."""
    return services.get("cassandra")


@pytest.fixture(scope="session")
def hbase(services: Services) -> HBase:
    """HBase, and its Thrift server."""
    return services.get("hbase")


@pytest.fixture(scope="session")
def chrome() -> Iterator[WebDriver]:
    """A browser."""
    with chromium.browser() as driver:
        yield driver


@pytest.fixture(scope="session")
def flink(services: Services) -> Flink:
    """A Flink cluster of one task manager."""
    return services.get("flink")


@pytest.fixture(scope="session")
def job_server() -> str:
    """The folder of the jars of Beam's job server for Flink."""
    return str(install_job_server())


@pytest.fixture(scope="session")
def prism() -> str:
    """The program `prism`."""
    return find_prism()
