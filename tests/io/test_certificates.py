"""Three mistakes with certificates are told apart, by Kafka's client and over HTTPS, in front of a server that shows them."""

import contextlib
import socket
import ssl
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from certificates import Authority

from clickstream.io.elasticsearch import ElasticsearchConnection, ask
from clickstream.io.errors import UserError
from clickstream.io.kafka import KafkaConnection, check_kafka
from clickstream.io.sql import connect_by_url

EXPIRED = r"the server's certificate has expired\): renew it there"
OTHER_HOST = r"the server's certificate is for another host name\): connect by a name that it has"
OTHER_AUTHORITY = r"the server's certificate is of another authority\): give the CA file"


@contextmanager
def showing(certificate: Path, key: Path) -> Iterator[int]:
    """A server that shows a certificate, and says nothing more; gives its port."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate, key)
    listening = socket.create_server(("127.0.0.1", 0))

    def serve() -> None:
        while True:
            try:
                plain, _ = listening.accept()
            except OSError:
                return
            plain.settimeout(5)
            with contextlib.suppress(OSError), context.wrap_socket(plain, server_side=True):
                pass

    thread = threading.Thread(target=serve, daemon=True)
    thread.start()
    try:
        yield listening.getsockname()[1]
    finally:
        listening.shutdown(socket.SHUT_RDWR)
        listening.close()
        thread.join()


@pytest.fixture(params=["expired", "other host", "other authority"])
def fault(request, tmp_path) -> Iterator[tuple[int, Path, str]]:
    """The port of a server with a faulty certificate, the CA file that its client has, and what is to be said."""
    authority = Authority(tmp_path)
    others = Authority(tmp_path, "others")
    made, says = {
        "expired": (authority.server("expired", days_left=-1), EXPIRED),
        "other host": (authority.server("elsewhere", "elsewhere.example"), OTHER_HOST),
        "other authority": (others.server("foreign"), OTHER_AUTHORITY),
    }[request.param]
    with showing(*made) as port:
        yield port, authority.file, says


def test_kafkas_client_tells_them_apart(fault) -> None:
    port, authority, says = fault
    config = {"security.protocol": "SSL", "ssl.ca.location": str(authority)}
    with pytest.raises(UserError, match=rf"^Kafka at 127.0.0.1:{port}: no TLS connection \({says}") as raised:
        check_kafka(KafkaConnection(f"127.0.0.1:{port}", "group", config), "clicks")
    assert "\n" not in str(raised.value)


def test_elasticsearchs_client_tells_them_apart(fault) -> None:
    port, authority, says = fault
    connection = ElasticsearchConnection(f"https://127.0.0.1:{port}", ca_certs=str(authority))
    with pytest.raises(UserError, match=rf"^Elasticsearch: no TLS connection \({says}") as raised:
        ask(connection.connect(), "GET", "/")
    assert "\n" not in str(raised.value)


@pytest.mark.parametrize("content", [None, "no certificate"])
def test_a_ca_file_of_no_use_is_one_line(tmp_path, content) -> None:
    file = tmp_path / "ca.pem"
    if content is not None:
        file.write_text(content)
    says = "There is no certificate file .*" if content is None else "can't be used .it holds no certificates in PEM."
    with pytest.raises(UserError, match=rf"{says}: check --mysql_tls_ca"):
        connect_by_url("mysql://app@127.0.0.1:1/clicks", tls_ca=str(file)).engine()
    with pytest.raises(UserError, match=rf"{says}: check --elasticsearch_ca"):
        ElasticsearchConnection("https://127.0.0.1:1", ca_certs=str(file)).connect()
