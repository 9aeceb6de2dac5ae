"""An empty database in each of the two servers, and an administrator's questions to it."""

import pytest
from services.mysql_rows import PASSWORD

from clickstream.io.sql import mysql


@pytest.fixture
def connection(sql_server, monkeypatch):
    monkeypatch.setenv("CLICKSTREAM_TEST_PASSWORD", sql_server.password)
    made = mysql.connect_by_url(sql_server.url(sql_server.create_database()), password=PASSWORD)
    mysql.setup_mysql(made)
    return made


@pytest.fixture
def ask(sql_server, connection):
    """Asks the server: a statement and its values; gives the rows."""
    opened = sql_server.connect(connection.database)

    def answer(question, *values):
        with opened.cursor() as cursor:
            cursor.execute(question, values)
            return list(cursor.fetchall())

    yield answer
    opened.close()
