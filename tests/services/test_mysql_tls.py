"""TLS with a real MySQL: three mistakes with certificates are told apart, and a CA file that isn't there ends a live job with 2."""

import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from certificates import Authority

from clickstream.io.errors import UserError
from clickstream.io.sql import connect_by_url, setup_mysql
from clickstream.pipeline.__main__ import main

_SECONDS = 15


@pytest.fixture
def server(mysql, tmp_path_factory, monkeypatch):
    """Gives a function that makes the server show a certificate, until the test ends; and a folder that it can read."""
    monkeypatch.setenv("TLS_PASSWORD", mysql.password)
    with mysql.connect() as opened, opened.cursor() as cursor:
        names = ("ssl_ca", "ssl_cert", "ssl_key")
        cursor.execute("SELECT @@ssl_ca, @@ssl_cert, @@ssl_key")
        before = cursor.fetchone()

        def show(*files):
            for name, file in zip(names, files, strict=True):
                cursor.execute(f"SET GLOBAL {name} = %s", (str(file),))
            cursor.execute("ALTER INSTANCE RELOAD TLS")

        yield show
        show(*before)


@pytest.fixture
def folder() -> Iterator[Path]:
    """One that the server's account can look into."""
    with tempfile.TemporaryDirectory(prefix="clickstream-tls-") as found:
        Path(found).chmod(0o755)
        yield Path(found)


def test_a_certificate_that_fits_is_taken_and_others_are_told_apart(mysql, server, folder) -> None:
    authority, others = Authority(folder), Authority(folder, "others")
    address = mysql.url(mysql.create_database())

    def said() -> str:
        with pytest.raises(UserError) as raised:
            setup_mysql(connect_by_url(address, password="env:TLS_PASSWORD", tls_ca=str(authority.file)))
        return str(raised.value)

    server(authority.file, *authority.server("fitting"))
    setup_mysql(connect_by_url(address, password="env:TLS_PASSWORD", tls_ca=str(authority.file)))
    server(
        authority.file, *authority.server("expired", days_left=_SECONDS / 86_400)
    )  # no server begins with one that has expired
    time.sleep(_SECONDS + 1)
    assert "the server's certificate has expired: renew it there." in said()
    server(authority.file, *authority.server("other", "elsewhere.example"))
    assert "the server's certificate is for another host name: connect by a name" in said()
    server(others.file, *others.server("foreign"))
    assert "the server's certificate is of another authority: give the CA file" in said()


def test_a_live_job_with_a_ca_file_that_is_not_there_ends_with_2(
    mysql, kafka, topic, capfd, monkeypatch, tmp_path
) -> None:
    monkeypatch.setenv("TLS_PASSWORD", mysql.password)
    monkeypatch.chdir(tmp_path)
    where = [
        f"--bootstrap_servers={kafka.address}",
        f"--topic={topic}",
        f"--mysql={mysql.url(mysql.create_database())}",
    ]
    assert main([*where, "--mysql_password=env:TLS_PASSWORD", "--mysql_tls_ca=nowhere.pem", "--until=now"]) == 2
    assert capfd.readouterr().err == "There is no certificate file nowhere.pem: check --mysql_tls_ca.\n"
