"""A server that is away, drops connections, lets nobody in, or is none."""

import contextlib
import socket
import threading
import time
from contextlib import contextmanager
from dataclasses import replace
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import urlsplit

import pytest
from rows import metric, table_of
from services.bulk_proxy import INDEX, SECRET, actions_of, documents, identity, run, sender, stored

from clickstream.io.elasticsearch.connection import ElasticsearchConnection
from clickstream.io.elasticsearch.errors import ElasticsearchError
from clickstream.io.elasticsearch.index import check_elasticsearch


def test_a_connection_that_was_dropped_while_idle_costs_no_time_limit(server, monkeypatch):
    """As a firewall does it: what was open isn't passed on any more, and nobody is told."""
    dropped = []
    with forwarding(server.hosts, dropped) as address:
        connection = ElasticsearchConnection(address, request_timeout=20)
        write = sender(connection)
        assert write.send(actions_of([metric(0, 1)])) == {}
        dropped += range(99)
        monkeypatch.setattr("clickstream.io.elasticsearch.node.IDLE_SECONDS", -1)
        began = time.monotonic()
        assert write.send(actions_of([metric(0, 2)])) == {}
        assert time.monotonic() - began < 10
    assert stored(server.hosts) == documents(metric(0, 1), metric(0, 2))


@contextmanager
def forwarding(address, dropped):
    """A proxy of connections; of those that are open when `dropped` is filled, nothing is passed on."""
    listening = socket.create_server(("127.0.0.1", 0))
    host, _, port = urlsplit(address).netloc.partition(":")
    open_now = []

    def pass_on(one, other, old):
        with contextlib.suppress(OSError):
            while data := one.recv(65_536):
                if not (dropped and old):
                    other.sendall(data)

    def serve():
        with contextlib.suppress(OSError):
            while True:
                client, _ = listening.accept()
                real = socket.create_connection((host, int(port)))
                open_now.extend((client, real))
                old = not dropped
                for pair in ((client, real), (real, client)):
                    threading.Thread(target=pass_on, args=(*pair, old), daemon=True).start()

    threading.Thread(target=serve, daemon=True).start()
    try:
        yield f"http://127.0.0.1:{listening.getsockname()[1]}"
    finally:
        listening.shutdown(socket.SHUT_RDWR)
        for each in (listening, *open_now):
            each.close()


def test_an_outage_during_a_write_is_waited_out_and_nothing_is_missing(elasticsearch, server):
    def outage():
        elasticsearch.stop()
        time.sleep(3)
        elasticsearch.start()

    waits = []
    write = sender(server, 120)
    patience = write.new_patience
    write.new_patience = lambda: replace(patience(), sleep=lambda pause: (waits.append(pause), time.sleep(pause)))
    rows, breaking = [], threading.Thread(target=outage)
    for first in range(0, 100_000_000, 1_000):
        rows += (batch := [metric(0, first + n) for n in range(1_000)])
        assert write.send(actions_of(batch)) == {}
        if first == 5_000:
            breaking.start()
        elif first > 5_000 and not breaking.is_alive():
            break
    assert waits
    assert stored(elasticsearch.address) == documents(*rows)


@pytest.mark.parametrize(("status", "cure"), [(401, "check the API key"), (403, "grant")])
def test_a_refused_login_fails_at_once_with_the_cure_and_without_secret_or_document(proxy, monkeypatch, status, cure):
    monkeypatch.setenv("ES_KEY", SECRET)
    proxy.faults = [status] * 10
    connection = replace(proxy.connection, api_key="env:ES_KEY")
    with pytest.raises(Exception, match=rf"Elasticsearch answered {status} injected: {cure}") as caught:
        run(connection, [(0, table_of([metric()]))])
    assert len(proxy.bulks) == 1
    assert proxy.authorizations == {f"ApiKey {SECRET}"}
    assert SECRET not in str(caught.value)
    assert "a.example" not in str(caught.value)


def test_user_and_password_are_sent_and_an_item_that_is_forbidden_fails_at_once(proxy, monkeypatch):
    monkeypatch.setenv("ES_PASSWORD", "p:ä")
    connection = replace(proxy.connection, user="app", password="env:ES_PASSWORD")
    proxy.faults = [{identity(metric()): 403}]
    with pytest.raises(ElasticsearchError, match=r"refuses to write \(403 injected_item\): grant") as caught:
        sender(connection).send(actions_of([metric()]))
    assert proxy.authorizations == {"Basic YXBwOnA6w6Q="}
    assert SECRET not in str(caught.value)


def test_something_else_at_the_address_is_said_to_be_so():
    class Other(BaseHTTPRequestHandler):
        def do_GET(self):
            self.send_response(200)
            self.send_header("content-length", "2")
            self.end_headers()
            self.wfile.write(b"hi")

        def log_message(self, *_):
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Other) as other:
        threading.Thread(target=other.serve_forever, daemon=True).start()
        client = ElasticsearchConnection(f"http://127.0.0.1:{other.server_address[1]}").connect()
        with pytest.raises(ElasticsearchError, match=r"is not Elasticsearch: check the host"):
            check_elasticsearch(client, INDEX)
        other.shutdown()


def test_tls_to_a_port_that_speaks_http_is_one_line(server):
    secure = replace(server, hosts=server.hosts.replace("http:", "https:"), verify=False)
    with pytest.warns(Warning, match="insecure"):
        client = secure.connect()
    with pytest.raises(ElasticsearchError, match=r"no TLS connection .*check http or https") as caught:
        check_elasticsearch(client, INDEX)
    assert "\n" not in str(caught.value)
