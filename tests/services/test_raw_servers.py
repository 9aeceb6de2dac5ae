"""Cassandra and HBase answer their real clients, keep what they have acknowledged, and leave nothing behind."""

from contextlib import closing
from urllib.parse import urlsplit

import happybase
import pytest
from cassandra.cluster import Session

from tests.services.__main__ import described
from tests.services.keeper import running
from tests.services.places import PORTS
from tests.services.services import Services
from tests.services.test_harness import open_port, outage

ENDS = pytest.mark.parametrize("end", ["stop", "kill"])


def port_of(server) -> int:
    return urlsplit(f"//{server.address}").port


def written(session: Session) -> list[tuple[int, str]]:
    return sorted(map(tuple, session.execute("SELECT id, word FROM kept")))


@ENDS
def test_cassandra_answers_and_keeps_its_data(cassandra, end):
    assert port_of(cassandra) in PORTS
    keyspace = cassandra.create_keyspace()
    with cassandra.connect(keyspace) as session:
        session.execute("CREATE TABLE kept (id int PRIMARY KEY, word text)")
        insert = session.prepare("INSERT INTO kept (id, word) VALUES (?, ?) IF NOT EXISTS")
        assert [session.execute(insert, row).was_applied for row in [(1, "a"), (1, "b"), (2, "ä")]] == [
            True,
            False,
            True,
        ]
    with outage(cassandra, port_of(cassandra), end):
        pass
    with cassandra.connect(keyspace) as session:
        assert written(session) == [(1, "a"), (2, "ä")]


@ENDS
def test_hbase_answers_and_keeps_its_data(hbase, end):
    assert port_of(hbase) in PORTS
    name = hbase.create_table("f")
    with closing(hbase.connect()) as connection:
        connection.table(name).put(b"1", {b"f:word": b"a"})
        change = happybase.batch.Mutation(isDelete=False, column=b"f:word", value=b"b")
        check = connection.client.checkAndPut
        assert not check(name.encode(), b"1", b"f:word", b"other", change, {})
    with outage(hbase, port_of(hbase), end):
        pass
    with closing(hbase.connect()) as connection:
        assert list(connection.table(name).scan()) == [(b"1", {b"f:word": b"a"})]


def test_a_kill_loses_nothing_acknowledged(cassandra, hbase):
    """Straight after the last answer, with no pause in which something could be written behind."""
    keyspace, name = cassandra.create_keyspace(), hbase.create_table("f")
    with cassandra.connect(keyspace) as session, closing(hbase.connect()) as connection:
        session.execute("CREATE TABLE kept (id int PRIMARY KEY, word text)")
        insert, table = session.prepare("INSERT INTO kept (id, word) VALUES (?, ?)"), connection.table(name)
        try:
            for number in range(200):
                session.execute(insert, (number, "word"))
            cassandra.kill()
            for number in range(200):
                table.put(b"%03d" % number, {b"f:word": b"word"})
            hbase.kill()
        finally:
            cassandra.start()
            hbase.start()
    with cassandra.connect(keyspace) as session, closing(hbase.connect()) as connection:
        assert written(session) == [(number, "word") for number in range(200)]
        assert [key for key, _ in connection.table(name).scan()] == [b"%03d" % number for number in range(200)]


def test_closing_ends_all_their_processes():
    services = Services()
    try:
        lines = described(services, ["cassandra", "hbase"])
        servers = [services.get(name) for name in ("cassandra", "hbase")]
        for server in servers:
            assert f"export CLICKSTREAM_TEST_{server.name.upper()}={server.address}" in lines
            assert f"--{server.name}={server.address}" in "\n".join(lines)
        leaders, folder = [server.pid for server in servers], servers[0]._daemon.folder.parent
    finally:
        services.close()
    assert not any(map(open_port, map(port_of, servers)))
    assert not any(map(running, leaders))
    assert not folder.exists()
