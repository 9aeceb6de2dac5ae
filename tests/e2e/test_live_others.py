"""What is others' stays: an account of four privileges, a user's own index template and an analyst's grant, over three restarts of the live job."""

import secrets
import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager

import pymysql
import pytest
from e2e.live_stores import Bench
from e2e.test_live_survives import TIMING, assert_exact_in_the_end, fed

from clickstream.io.elasticsearch.mapping import MAPPING
from clickstream.pipeline.__main__ import main

pytestmark = pytest.mark.timeout(900)
RIGHTS = "SELECT, INSERT, UPDATE, DELETE"
RESTARTS = 3


class Account:
    """An account with certain rights only."""

    def __init__(self, bench: Bench, *rights: str) -> None:
        self._bench, self.name, self.password = bench, f"u{secrets.token_hex(4)}", secrets.token_hex(8)
        bench.sql(f"CREATE USER '{self.name}'@'%' IDENTIFIED BY '{self.password}'")
        for right in rights:
            bench.sql(f"GRANT {right} TO '{self.name}'@'%'")

    def connect(self) -> pymysql.Connection:
        server = self._bench.sql_server
        place = {"host": server.host, "port": server.port, "database": self._bench.database}
        return pymysql.connect(user=self.name, password=self.password, autocommit=True, **place)

    def grants(self) -> list[tuple]:
        return sorted(self._bench.sql(f"SHOW GRANTS FOR '{self.name}'@'%'"))


@contextmanager
def calling(analyst: Account) -> Iterator[list[str]]:
    """The analyst calls a procedure again and again while the block lasts; gives what went wrong."""
    over, failed = threading.Event(), list[str]()

    def call() -> None:
        with analyst.connect() as opened, opened.cursor() as cursor:
            while not over.wait(0.05):
                try:
                    cursor.execute("CALL get_clicks('https://nobody.example/', NULL, NULL, NULL)")
                    cursor.fetchall()
                except pymysql.err.MySQLError as error:  # noqa: PERF203 (each is counted)
                    failed.append(str(error))

    caller = threading.Thread(target=call)
    caller.start()
    try:
        yield failed
    finally:
        over.set()
        caller.join()


def test_nothing_of_others_changes_over_three_restarts(
    kafka, mariadb, elasticsearch, prism, tmp_path, monkeypatch
) -> None:
    bench = Bench(kafka, mariadb, elasticsearch, prism, tmp_path)
    theirs = {
        "index_patterns": [f"{bench.index}*"],
        "priority": 7,
        "_meta": {"owner": "search team"},
        "template": {
            "settings": {"index": {"number_of_shards": "2", "number_of_replicas": "0", "refresh_interval": "7s"}},
            "mappings": {"dynamic": "strict", "properties": MAPPING},
            "aliases": {f"all_{bench.index}": {}},
        },
    }
    bench.ask(f"_index_template/{bench.index}", theirs, "PUT")
    monkeypatch.setenv("TEST_SQL_PASSWORD", mariadb.password)
    server = [f"--mysql={mariadb.url(bench.database)}", "--mysql_password=env:TEST_SQL_PASSWORD"]
    assert main(["setup-sinks", *server]) == 0
    account = Account(bench, f"{RIGHTS} ON `{bench.database}`.*")
    procedure = f"EXECUTE ON PROCEDURE `{bench.database}`.get_clicks"
    analyst = Account(bench, f"SELECT ON `{bench.database}`.page_metrics", procedure)

    def state() -> tuple:
        template = bench.ask(f"_index_template/{bench.index}", method="GET")["index_templates"]
        made = bench.sql(
            "SELECT routine_name, created, last_altered FROM information_schema.routines WHERE routine_schema = DATABASE() ORDER BY 1"
        )
        return template, made, account.grants(), analyst.grants()

    before = state()
    job = bench.job(*TIMING, f"--mysql={mariadb.url(bench.database).replace(mariadb.user, account.name, 1)}")
    job.password = account.password
    try:
        with fed(bench, seed=51), calling(analyst) as failed:
            for _ in range(RESTARTS):
                reached = sum(bench.topic.committed(bench.group).values())
                job.start()
                job.wait_until(lambda: sum(bench.topic.committed(bench.group).values()) > reached, 90, "a commit")  # noqa: B023
                assert job.stop(signal.SIGINT)[0] == 0
                assert state() == before
            job.start()
        assert_exact_in_the_end(bench, job)
        assert job.process.poll() is None
    finally:
        job.kill()
    assert failed == []
    assert state() == before
    settings = bench.ask(f"{bench.index}/_settings", method="GET")[bench.index]["settings"]["index"]
    assert (settings["number_of_shards"], settings["refresh_interval"]) == ("2", "7s")
    assert "Traceback" not in job.err
