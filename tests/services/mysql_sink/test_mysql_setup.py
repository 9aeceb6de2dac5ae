"""Setting up and checking real servers, and what their errors say."""

from concurrent.futures import ThreadPoolExecutor

import pytest
from rows import metric
from services.mysql_rows import PASSWORD, write

from clickstream.io import sql
from clickstream.io.errors import UserError
from clickstream.io.sql import mysql


def test_several_may_set_up_at_once(sql_server, monkeypatch):
    monkeypatch.setenv("CLICKSTREAM_TEST_PASSWORD", sql_server.password)
    connection = mysql.connect_by_url(sql_server.url(sql_server.create_database()), password=PASSWORD)
    with ThreadPoolExecutor(6) as pool:
        assert list(pool.map(mysql.setup_mysql, [connection] * 12)) == [None] * 12
    mysql.check_mysql(connection)


def refusal(connection, action=None):
    """The one line that a failing action says; it holds no password."""
    with pytest.raises(UserError) as raised:
        (action or (lambda: write(connection, [metric()])))()
    assert "\n" not in str(raised.value)
    return str(raised.value)


def test_messages(connection, sql_server, monkeypatch, ask):
    assert "1049 BAD_DB_ERROR: there is no such database" in refusal(
        mysql.connect_by_url(sql_server.url("nowhere"), password=PASSWORD)
    )
    ask("DROP TABLE page_metrics")
    assert "1146 NO_SUCH_TABLE: a table is missing: run setup-sinks" in refusal(connection)
    ask("CREATE USER IF NOT EXISTS 'reader'@'%%' IDENTIFIED BY 'CANARYpw'", *())
    ask(f"GRANT SELECT ON {connection.database}.* TO 'reader'@'%%'", *())
    monkeypatch.setenv("CLICKSTREAM_TEST_PASSWORD", "CANARYpw")
    reader = mysql.connect_by_url(sql_server.url(connection.database).replace("app@", "reader@"), password=PASSWORD)
    said = refusal(reader, lambda: sql.setup_sql(reader))
    assert (
        "table page_metrics is missing, and this account may not make it (1142 TABLEACCESS_DENIED_ERROR): GRANT it CREATE on"
        in said
    )
    assert "or run setup-sinks" in said
    monkeypatch.setenv("CLICKSTREAM_TEST_PASSWORD", "CANARYwrong")
    said = refusal(connection)
    assert "1045 ACCESS_DENIED_ERROR: user name or password is wrong" in said
    assert "CANARY" not in said
    nobody = mysql.connect_by_url("mysql://app@127.0.0.1:1/clicks", password=PASSWORD)
    assert "MySQL at 127.0.0.1:1/clicks: 2003 CR_CONN_HOST_ERROR: nothing answers there" in refusal(
        nobody, lambda: mysql.check_mysql(nobody)
    )


def test_the_database_is_made_and_set_up_again(sql_server, monkeypatch):
    monkeypatch.setenv("CLICKSTREAM_TEST_PASSWORD", sql_server.password)
    name = sql_server.create_database()
    with sql_server.connect().cursor() as cursor:
        cursor.execute(f"DROP DATABASE {name}")
    connection = mysql.connect_by_url(sql_server.url(name), password=PASSWORD)
    for _ in range(2):
        mysql.setup_mysql(connection)
        mysql.check_mysql(connection)


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (
            "ALTER TABLE page_metrics MODIFY country VARCHAR(128) COLLATE utf8mb4_general_ci NOT NULL",
            "column country: found collation utf8mb4_general_ci, needed utf8mb4_bin",
        ),
        (
            "ALTER TABLE page_metrics MODIFY country VARCHAR(64) COLLATE utf8mb4_bin NOT NULL",
            r"column country: found type VARCHAR\(64\), needed VARCHAR\(128\)",
        ),
        ("ALTER TABLE page_metrics MODIFY version INT NOT NULL", "column version: found type INTEGER, needed BIGINT"),
        (
            "ALTER TABLE page_metrics MODIFY avg_time_spent DOUBLE NOT NULL",
            "column avg_time_spent: found NOT NULL, needed NULL allowed",
        ),
        ("ALTER TABLE page_metrics DROP COLUMN clicks", "column clicks: found none of this name"),
        ("ALTER TABLE page_metrics DROP COLUMN users_sketch", "column users_sketch: found none of this name"),
        (
            "ALTER TABLE page_metrics MODIFY users_sketch TEXT CHARACTER SET ascii COLLATE ascii_bin",
            "column users_sketch: found type TEXT, needed LONGTEXT",
        ),
        (
            "ALTER TABLE page_metrics MODIFY users_sketch LONGTEXT CHARACTER SET utf8mb4 COLLATE utf8mb4_bin",
            "column users_sketch: found collation utf8mb4_bin, needed ascii_bin",
        ),
        ("ALTER TABLE page_metrics DROP PRIMARY KEY, ADD PRIMARY KEY (window_start, url_hash)", "found primary key"),
        ("ALTER TABLE page_metrics ADD COLUMN more INT NOT NULL", "column more: found NOT NULL"),
        (
            "ALTER TABLE dead_letters MODIFY `raw` BLOB NOT NULL",
            "table dead_letters, column raw: found type BLOB, needed LONGBLOB",
        ),
        ("DROP TABLE dead_letters", "table dead_letters is missing: run setup-sinks"),
        ("DROP PROCEDURE get_clicks", "procedure get_clicks is missing: run setup-sinks"),
    ],
)
def test_the_schema_check_and_its_cure(connection, ask, change, said):
    ask(change)
    with pytest.raises(UserError, match=said) as raised:
        mysql.check_mysql(connection)
    cure = str(raised.value).partition("Cure: ")[2].partition(", or ALTER")[0]
    if cure.startswith("ALTER TABLE"):
        ask(cure.partition(", then run")[0])
    elif not cure:
        mysql.setup_mysql(connection)
    else:
        return
    mysql.setup_mysql(connection)
    mysql.check_mysql(connection)
