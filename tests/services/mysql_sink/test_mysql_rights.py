"""What is others' in a database stays, and what an account may not it need not: MariaDB and MySQL alike."""

import secrets

import pymysql
import pytest
from rows import PAGE, metric, table_of

from clickstream.io import sql
from clickstream.io.errors import UserError
from clickstream.io.sql import mysql, routines, tables

PASSWORD = "env:CLICKSTREAM_TEST_PASSWORD"
ROWS = "SELECT, INSERT, UPDATE, DELETE"


class Account:
    """An account of its own, with these rights on a database."""

    def __init__(self, server, rights, database):
        self.name, self.password, self._server = f"u{secrets.token_hex(4)}", secrets.token_hex(8), server
        self._ask(f"CREATE USER '{self.name}'@'%' IDENTIFIED BY '{self.password}'")
        if rights:
            self.grant(f"{rights} ON `{database}`.*")

    def grant(self, rights):
        self._ask(f"GRANT {rights} TO '{self.name}'@'%'")

    def drop(self):
        self._ask(f"DROP USER '{self.name}'@'%'")

    def _ask(self, statement):
        with self._server.connect() as opened, opened.cursor() as cursor:
            cursor.execute(statement)

    def connect(self, database):
        place = {"host": self._server.host, "port": self._server.port, "database": database}
        return pymysql.connect(user=self.name, password=self.password, autocommit=True, **place)

    def connection(self, database, monkeypatch):
        monkeypatch.setenv("ACCOUNT_PASSWORD", self.password)
        url = self._server.url(database).replace(f"//{self._server.user}@", f"//{self.name}@")
        return mysql.connect_by_url(url, password="env:ACCOUNT_PASSWORD")


@pytest.fixture
def connection(sql_server, monkeypatch):
    monkeypatch.setenv("CLICKSTREAM_TEST_PASSWORD", sql_server.password)
    return mysql.connect_by_url(sql_server.url(sql_server.create_database()), password=PASSWORD)


@pytest.fixture
def account(sql_server, connection):
    """Makes accounts with rights on the database."""
    made = []

    def make(rights=""):
        made.append(Account(sql_server, rights, connection.database))
        return made[-1]

    yield make
    for each in made:
        each.drop()


def write(connection, rows):
    writer = sql.metrics_writer(connection)
    assert writer.write(tables.metric_columns(table_of(rows))) == []
    writer.close()


def clicks_as(account, connection):
    with account.connect(connection.database) as opened, opened.cursor() as cursor:
        cursor.execute("CALL get_clicks(%s, NULL, NULL, NULL)", (PAGE,))
        return cursor.fetchall()


@pytest.mark.parametrize("renew", [False, True], ids=["job", "setup-sinks"])
def test_an_analysts_grant_survives_each_start(connection, account, renew):
    mysql.setup_mysql(connection)
    write(connection, [metric(version=3)])
    analyst = account()
    analyst.grant(f"SELECT ON `{connection.database}`.page_metrics")
    analyst.grant(f"EXECUTE ON PROCEDURE `{connection.database}`.get_clicks")
    for _ in range(3):
        mysql.setup_mysql(connection, renew=renew)
        mysql.check_mysql(connection)
        assert clicks_as(analyst, connection) == ((3,),)


def test_a_start_makes_nothing_anew(connection, ask):
    made = (
        "SELECT routine_name, created, last_altered FROM information_schema.routines"
        " WHERE routine_schema = DATABASE() ORDER BY 1"
    )
    mysql.setup_mysql(connection)
    before = ask(made)
    ask("DO SLEEP(1.1)")
    mysql.setup_mysql(connection)
    assert ask(made) == before
    assert len(before) == 6


def test_a_procedure_of_another_version_is_replaced_by_setup_sinks_alone_and_the_grants_on_it_stay(
    connection, account, ask, caplog
):
    mysql.setup_mysql(connection)
    write(connection, [metric(version=3)])
    analyst = account("SELECT")
    ask("DROP PROCEDURE get_clicks")
    ask(
        "CREATE PROCEDURE get_clicks(IN p_url TEXT, IN p_country TEXT, IN p_from DATETIME, IN p_to DATETIME)"
        " SQL SECURITY INVOKER BEGIN SELECT 'old'; END"
    )
    analyst.grant(f"EXECUTE ON PROCEDURE `{connection.database}`.get_clicks")
    mysql.setup_mysql(connection)
    assert clicks_as(analyst, connection) == (("old",),)
    assert "get_clicks is of another version: run setup-sinks" in caplog.text
    mysql.setup_mysql(connection, renew=True)
    assert clicks_as(analyst, connection) == ((3,),)


def test_a_procedure_without_a_comment_is_ours_if_it_does_the_same(connection, ask, caplog):
    for procedure in routines.procedures():
        ask(procedure.statement.replace(f"COMMENT '{procedure.comment}'", "").replace("%", "%%"))
    mysql.setup_mysql(connection)
    assert "another version" not in caplog.text


def test_an_account_that_may_only_write_rows_can_run_the_job_when_all_is_there(connection, account, monkeypatch, ask):
    mysql.setup_mysql(connection)
    writer = account(ROWS).connection(connection.database, monkeypatch)
    for _ in range(3):
        mysql.setup_mysql(writer)
        mysql.check_mysql(writer)
    write(writer, [metric(version=3)])
    assert ask("SELECT clicks FROM page_metrics") == [(3,)]


@pytest.mark.parametrize(
    ("rights", "drop", "said"),
    [
        (ROWS, "TABLE dead_letters", r"table dead_letters is missing, .*\(1142 .*\): GRANT it CREATE on"),
        (ROWS, "VIEW page_metrics_by_day", r"view page_metrics_by_day is missing, .*: GRANT it CREATE VIEW on"),
        (ROWS, "INDEX page_metrics_by_url ON page_metrics", r"index page_metrics_by_url .*: GRANT it INDEX on"),
        (
            f"{ROWS}, EXECUTE",
            "PROCEDURE get_clicks",
            r"procedure get_clicks is missing, .*: GRANT it CREATE ROUTINE on",
        ),
    ],
)
def test_what_is_missing_names_the_one_right_and_setup_sinks(connection, account, monkeypatch, ask, rights, drop, said):
    mysql.setup_mysql(connection)
    ask(f"DROP {drop}")
    writer = account(rights).connection(connection.database, monkeypatch)
    with pytest.raises(UserError, match=f"{said} {connection.database}, or run setup-sinks") as raised:
        mysql.setup_mysql(writer)
    assert "\n" not in str(raised.value)


def test_a_database_that_is_missing_names_the_right(connection, account, monkeypatch):
    writer = account(ROWS).connection(f"{connection.database}_more", monkeypatch)
    with pytest.raises(UserError, match=r"the database is missing, .*\(1044 .*\): GRANT it CREATE on"):
        mysql.setup_mysql(writer)


def test_a_database_may_have_a_hyphen_in_its_name(sql_server, monkeypatch):
    monkeypatch.setenv("CLICKSTREAM_TEST_PASSWORD", sql_server.password)
    name = f"my-shop-{secrets.token_hex(4)}$x"
    connection = mysql.connect_by_url(sql_server.url(name), password=PASSWORD)
    try:
        for _ in range(2):
            mysql.setup_mysql(connection)
            mysql.check_mysql(connection)
        write(connection, [metric(version=3)])
        with sql_server.connect(name) as opened, opened.cursor() as cursor:
            cursor.execute("CALL get_clicks(NULL, NULL, NULL, NULL)")
            assert cursor.fetchall() == ((3,),)
    finally:
        with sql_server.connect() as opened, opened.cursor() as cursor:
            cursor.execute(f"DROP DATABASE IF EXISTS `{name}`")


@pytest.mark.parametrize("name", ["a`b", "-a", "a b", "a.b", "x" * 65, "é"])
def test_other_names_of_databases_are_refused(name):
    with pytest.raises(UserError, match="can't name a database"):
        sql.SqlConnection("mysql+pymysql", name, host="h")


def test_the_rights_to_set_up_are_those_that_the_docs_name(connection, account, monkeypatch):
    rights = f"{ROWS}, CREATE, INDEX, CREATE VIEW, CREATE ROUTINE"
    maker = account(rights).connection(connection.database, monkeypatch)
    mysql.setup_mysql(maker)
    mysql.check_mysql(maker)
    write(maker, [metric()])
