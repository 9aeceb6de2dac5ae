"""The live page over each store, as a user starts it, each in a process of its own."""

import json
import os
import re
import secrets
import subprocess
import sys
import threading
import time
from contextlib import ExitStack, contextmanager
from datetime import datetime, timezone
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest
from bulk_bodies import bulk_chunks

from clickstream.io import sql
from clickstream.io.elasticsearch.connection import ElasticsearchConnection, send_bulk
from clickstream.io.elasticsearch.index import setup_elasticsearch
from clickstream.io.sql import SqlConnection, tables
from clickstream.io.sql import mysql as mysql_sink

STORES = ("sqlite", "mariadb", "elasticsearch")
HACK = '<img src=x onerror="window.hacked=1"><script>window.hacked=1</script>\'"'
STATUS = {
    **{"state": "ok", "reason": "", "events_per_second": 1250.5, "lag": 42, "lag_by_partition": {"0": 40, "1": 2}},
    **{"windows_written": 72, "rows_written": 5000, "rejected": 17, "too_late": 5, "sink_retries": 2},
    **{
        "last_error": f"MySQL: connection lost {HACK}",
        "last_error_at_ms": 1_795_000_000_000,
        "at_ms": 1_795_000_000_000,
    },
}


@contextmanager
def status_server():
    """A live job's health, as it says it."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self):
            body = json.dumps(STATUS | {"watermark_ms": time.time() * 1000 - 95_000}).encode()
            self.send_response(200 if self.path == "/status.json" else 404)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_):
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_address[1]}"
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


@contextmanager
def started(*options, environment=None):
    """The command, as a user starts it; gives a function that waits for its address."""
    command = [sys.executable, "-m", "clickstream.pipeline", "page", "--page_port=0", *options]
    process = subprocess.Popen(command, stderr=subprocess.PIPE, text=True, env=os.environ | (environment or {}))

    def address():
        line = process.stderr.readline()
        found = re.match(r"Page: (http://127\.0\.0\.1:\d+)/", line)
        assert found, line + process.stderr.read()
        return found[1]

    try:
        yield address
    finally:
        process.terminate()
        assert process.wait(30) == 0
        process.stderr.close()


def in_sql(server, pages, patch, dead_letters=()):
    """A new database with these result rows and rejected records: the options that name it."""
    patch.setenv("PAGE_PASSWORD", server.password)
    url = server.url(server.create_database())
    connection = mysql_sink.connect_by_url(url, password="env:PAGE_PASSWORD")
    mysql_sink.setup_mysql(connection)
    write_rows(connection, pages)
    letters, now = sql.dead_letters_writer(connection), datetime.now(timezone.utc)
    for page in dead_letters:
        assert letters.write(tables.dead_letter_columns(page, code_version="1", rejected_at=now)) == []
    letters.close()
    return [f"--mysql={url}", "--mysql_password=env:PAGE_PASSWORD"]


def write_rows(connection, pages):
    writer = sql.metrics_writer(connection)
    for page in pages:
        assert writer.write(tables.metric_columns(page)) == []
    writer.close()


def in_elasticsearch(server, pages):
    index, client = f"page_{secrets.token_hex(6)}", ElasticsearchConnection(server.address).connect()
    setup_elasticsearch(client, index)
    for page in pages:
        for chunk in bulk_chunks(page, index):
            send_bulk(client, chunk.body)
    client.perform_request("POST", f"/{index}/_refresh", headers={"accept": "application/json"})
    client.close()
    return [f"--elasticsearch={server.address}", f"--elasticsearch_index={index}"]


class Pages:
    """Addresses of the pages over the rows and dead letters of an embedded database; a store gets its copy when it is first asked for.

    A context manager; its end ends them.
    """

    def __init__(self, services, folder, rows, *options):
        self._services, self._folder, self._rows, self._options = services, folder, rows, options
        self._stack, self._known = ExitStack(), {}

    def __enter__(self):
        self._patch = self._stack.enter_context(pytest.MonkeyPatch.context())
        return self

    def __exit__(self, *_):
        self._stack.close()

    def __getitem__(self, store):
        if store not in self._known:
            own = [f"--output_dir={self._folder}"]
            if store == "mariadb":
                embedded = SqlConnection("sqlite", str(self._folder / "clickstream.db"))
                own = in_sql(self._services.get(store), [self._rows], self._patch, sql.read_dead_letters(embedded))
            elif store == "elasticsearch":
                own += in_elasticsearch(self._services.get(store), [self._rows])
            self._known[store] = self._stack.enter_context(started(*own, *self._options))()
        return self._known[store]
