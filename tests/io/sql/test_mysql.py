"""Connections in beam-nuggets' terms, and the procedures' script; no server."""

import warnings

import pytest
from apache_beam.internal.cloudpickle import cloudpickle
from apache_beam.transforms.display import DisplayData
from beam_nuggets.io.relational_db_api import SourceConfiguration, TableConfiguration

from clickstream.io.errors import UserError
from clickstream.io.secrets import SecretError
from clickstream.io.sql import SqlConnection, mysql, routines

CANARY = "CANARY77aa"


def source(**other):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # beam-nuggets calls SQLAlchemy's URL in the old way
        return SourceConfiguration(
            **{"drivername": "mysql+pymysql", "host": "db", "username": "app", "database": "clicks"} | other
        )


def test_a_connection_of_beam_nuggets():
    table = TableConfiguration("metrics", create_if_missing=True)
    made = mysql.connect_by_configuration(source(port=3307, create_if_missing=True), table, password="env:PW")
    assert made == SqlConnection(
        *("mysql+pymysql", "clicks", "db", 3307, "app", "env:PW"),
        metrics_table="metrics",
        create_database=True,
        create_tables=True,
    )


@pytest.mark.parametrize("driver", ["mysql", "mariadb", "mariadb+pymysql"])
def test_other_names_of_the_driver(driver):
    assert mysql.connect_by_configuration(source(drivername=driver)).drivername == "mysql+pymysql"


def test_sqlite_of_beam_nuggets():
    given = SourceConfiguration("sqlite", database="x.db")
    assert mysql.connect_by_configuration(given).place == "SQLite file x.db"


def test_a_configuration_with_a_password_is_refused():
    with pytest.raises(UserError, match="password=env:NAME instead") as raised:
        mysql.WriteToMySql(source(password=CANARY))
    assert CANARY not in str(raised.value)


@pytest.mark.parametrize(
    ("made", "said"),
    [
        ((source(database=None), None), "names no database"),
        ((source(drivername="postgresql"), None), "isn't supported"),
        ((source(), TableConfiguration("x", primary_key_columns=["url"])), "name and create_if_missing only"),
        ((source(), TableConfiguration("x y")), "letters, digits and _"),
    ],
)
def test_configurations_that_are_refused(made, said):
    with pytest.raises(UserError, match=said):
        mysql.WriteToMySql(*made)


def test_a_connection_by_url():
    made = mysql.connect_by_url("mysql://app@db:3307/clicks", password="file:/run/secret")
    assert made == SqlConnection("mysql+pymysql", "clicks", "db", 3307, "app", "file:/run/secret", create_database=True)
    assert mysql.connect_by_url("mysql://db/clicks").place == "MySQL at db:3306/clicks"


@pytest.mark.parametrize(
    "url", ["", "db", "mysql://db", "sqlite:///x.db", "mysql://db:x/clicks", "mysql://db/clicks?ssl=1"]
)
def test_urls_that_are_refused(url):
    with pytest.raises(UserError, match="mysql://USER@HOST:PORT/DATABASE"):
        mysql.connect_by_url(url)


def test_a_url_with_a_password_is_refused_and_not_repeated():
    for url in (f"mysql://app:{CANARY}@db/clicks", f"mysql://app:{CANARY}@db:{CANARY}/clicks"):
        with pytest.raises(UserError) as raised:
            mysql.connect_by_url(url)
        assert CANARY not in str(raised.value)


def test_a_literal_password_is_refused_and_not_repeated():
    with pytest.raises(SecretError) as raised:
        mysql.WriteToMySql(source(), password=CANARY)
    assert CANARY not in str(raised.value)


def test_the_password_is_in_no_pickle_and_not_shown(monkeypatch):
    monkeypatch.setenv("PW", CANARY)
    write = mysql.WriteToMySql(source(), password="env:PW")
    assert CANARY.encode() not in cloudpickle.dumps(write)
    assert CANARY not in repr(write) + str(DisplayData.create_from(write).items)


def test_the_script_of_procedures():
    found = routines.procedures("metrics")
    assert [each.name for each in found] == [
        *("get_clicks", "get_unique_users", "get_avg_time_spent", "get_time_quantile"),
        *("get_sessions", "get_bounce_rate"),
    ]
    for each in found:
        assert each.statement.startswith(f"CREATE PROCEDURE {each.name}(")
        assert f"COMMENT '{each.comment}'\nREADS SQL DATA" in each.statement
        assert "FROM `metrics`" in each.body
    assert len({each.comment for each in found}) == len(found)


def test_a_procedures_version_is_that_of_its_text():
    again, other = routines.procedures("metrics"), routines.procedures("other")
    assert again == routines.procedures("metrics")
    assert not {each.comment for each in again} & {each.comment for each in other}


def test_the_script_of_views():
    found = routines.views("metrics")
    assert list(found) == [f"metrics_{by}" for by in ("by_hour", "by_day", "by_page", "by_country")]
    for name, statement in found.items():
        assert statement.startswith(f"CREATE OR REPLACE SQL SECURITY INVOKER VIEW `{name}` AS")
        assert "FROM `metrics`" in statement
