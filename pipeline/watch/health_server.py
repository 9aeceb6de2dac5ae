"""Answers over HTTP how a job is doing: `/healthz`, `/metrics` for Prometheus, `/status.json`.

Runs in the supervisor, so that it outlives the job.
"""

import ipaddress
import json
import socket
import threading
from collections.abc import Callable, Iterator, Mapping
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from clickstream.io.errors import UserError
from clickstream.pipeline.watch.health import SINK_NAMES

_TEXT, _JSON = "text/plain; charset=utf-8", "application/json"
_PROMETHEUS = "text/plain; version=0.0.4; charset=utf-8"
_LOOPBACK = ("127.0.0.1", "localhost", "::1")
_PRIVATE = (".local", ".localdomain", ".internal", ".svc", ".lan", ".home.arpa")  # nobody can register a name there


class HealthServer:
    """Listens from its creation on, until `close()`.

    Args:
        host, port: Where; port 0 is a free one.
        report: What to tell: as `JobStatus.report`.

    Raises:
        UserError: It can't listen there.
    """

    def __init__(self, host: str, port: int, report: Callable[[], Mapping[str, Any]]) -> None:
        try:
            self._server = _Server(host, port, report)
        except (OSError, OverflowError) as error:
            why = error.strerror if isinstance(error, OSError) else error
            message = f"--health_port={port} --health_host={host}: {why}: choose another port, 0 for a free one, or an address of this machine."
            raise UserError(message) from None
        threading.Thread(target=self._server.serve_forever, daemon=True).start()

    @property
    def url(self) -> str:
        """Where it listens."""
        host, port = str(self._server.server_address[0]), self._server.server_address[1]
        return f"http://{f'[{host}]' if ':' in host else host}:{port}"

    def close(self) -> None:
        """Stops listening."""
        self._server.shutdown()
        self._server.server_close()


class _Server(ThreadingHTTPServer):
    daemon_threads = True

    def __init__(self, host: str, port: int, report: Callable[[], Mapping[str, Any]]) -> None:
        self.address_family = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0][0]
        self.report, self.bound = report, host
        super().__init__((host, port), _Handler)

    def server_bind(self) -> None:
        """Without the look-up of the host's name, which may take seconds."""
        self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        self.socket.bind(self.server_address)
        self.server_address = self.socket.getsockname()


class _Handler(BaseHTTPRequestHandler):
    server: _Server
    timeout = 10
    server_version, sys_version = "clickstream", ""

    def do_GET(self) -> None:
        if not is_own(self.headers.get("host", ""), self.server.bound):
            self._answer(
                421, _TEXT, b"This answers to an address of this machine, or a name of its own network, only.\n"
            )
            return
        answer = {"/healthz": self._healthz, "/metrics": self._metrics, "/status.json": self._status}.get(
            self.path.partition("?")[0]
        )
        if answer is None:
            self._answer(404, _TEXT, b"There are /healthz, /metrics and /status.json.\n")
        else:
            answer(self.server.report())

    do_HEAD = do_GET  # noqa: N815

    def _healthz(self, report: Mapping[str, Any]) -> None:
        well = report["state"] == "ok"
        said = "ok" if well else f"{report['state']}: {report['reason']}"
        self._answer(200 if well else 503, _TEXT, "".join(f"{line}\n" for line in (said, *_refusals(report))).encode())

    def _metrics(self, report: Mapping[str, Any]) -> None:
        self._answer(200, _PROMETHEUS, metrics_text(report))

    def _status(self, report: Mapping[str, Any]) -> None:
        self._answer(200, _JSON, json.dumps(report).encode())

    def _answer(self, status: int, content: str, body: bytes) -> None:
        self.send_response(status)
        for name, value in (("Content-Type", content), ("Content-Length", len(body)), ("Cache-Control", "no-store")):
            self.send_header(name, str(value))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 (named by the library)
        """No line per request."""


def is_own(host: str, bound: str) -> bool:
    """Whether a request's `Host` is no name by which another site's page could have led a browser here (DNS rebinding).

    On loopback it must be a loopback name, as with the page. Elsewhere an address, a name that only a network of one's own knows, the machine's, or
    that of `bound`.
    """
    name = (host[1:].partition("]")[0] if host.startswith("[") else host.partition(":")[0]).rstrip(".").lower()
    if not name or name == bound.lower() or name in _LOOPBACK:
        return True
    if bound.lower() in _LOOPBACK:
        return False
    return "." not in name or name == socket.gethostname().lower() or name.endswith(_PRIVATE) or _is_address(name)


def _is_address(name: str) -> bool:
    try:
        ipaddress.ip_address(name)
    except ValueError:
        return False
    return True


def _refusals(report: Mapping[str, Any]) -> Iterator[str]:
    """The stores that lack rows for good, until somebody writes them again."""
    for name, sink in report.get("sinks", {}).items():
        if sink["refused"]:
            yield f"{SINK_NAMES[name]} refuses {sink['refused']:,} rows for their content: dead letters, for replay-dead-letters"


def metrics_text(report: Mapping[str, Any]) -> bytes:
    """The report in Prometheus' text format. Counters are since the job's last start: they begin anew, as Prometheus expects it."""
    registry = CollectorRegistry(auto_describe=False)
    registry.register(_Report(report))
    return generate_latest(registry)


class _Report(Collector):
    def __init__(self, report: Mapping[str, Any]) -> None:
        self._report = report

    def collect(self) -> Iterator[Metric]:
        report, sinks = self._report, self._report.get("sinks", {})
        topic = report.get("topic", "")
        yield _gauge("healthy", "1 if /healthz answers 200.", int(report["state"] == "ok"))
        yield _counter("restarts", "Restarts by the supervisor.", report["restarts"])
        yield _counter("records_read", "Records parsed.", report.get("read", 0))
        yield _counter("clicks_accepted", "Records that are counted.", report.get("accepted", 0))
        yield _counter("clicks_too_late", "Clicks of windows that were closed.", report["too_late"])
        yield _counter("not_a_click", "Events that are no clicks, by the event format.", report.get("not_clicks", 0))
        yield _labelled(
            CounterMetricFamily("clickstream_rejected", "Records in the dead letters, by reason.", labels=["reason"]),
            {(reason,): count for reason, count in report.get("rejected_by_reason", {}).items()},
        )
        yield _labelled(
            CounterMetricFamily(
                "clickstream_mended", "Fields cut or made unknown in records that count.", labels=["what"]
            ),
            {(what,): count for what, count in report.get("mended", {}).items()},
        )
        yield _labelled(
            GaugeMetricFamily("clickstream_kafka_lag", "Records behind the end.", labels=["topic", "partition"]),
            {(topic, partition): lag for partition, lag in report["lag_by_partition"].items()},
        )
        if report["watermark_ms"] is not None:
            yield _gauge(
                "watermark_timestamp_seconds", "Event time up to which all is read.", report["watermark_ms"] / 1000
            )
        for family, field in _SINK_FAMILIES:
            yield _labelled(family(), {(name,): sink[field] for name, sink in sinks.items()})
        failing = GaugeMetricFamily(
            "clickstream_sink_failing_since_timestamp_seconds",
            "Since when writes fail; 0: they go well.",
            labels=["sink"],
        )
        yield _labelled(failing, {(name,): sink["failing_since_ms"] / 1000 for name, sink in sinks.items()})
        if report["last_error_at_ms"]:
            yield _gauge("last_error_timestamp_seconds", "The last error's time.", report["last_error_at_ms"] / 1000)


def _sink_counter(name: str, text: str) -> Callable[[], Metric]:
    return lambda: CounterMetricFamily(f"clickstream_{name}", text, labels=["sink"])


_SINK_FAMILIES = (
    (_sink_counter("rows_written", "Rows, or raw clicks, that are in the store."), "written"),
    (_sink_counter("windows_written", "Windows, hours and days of which rows are in the store."), "windows"),
    (_sink_counter("sink_retries", "Writes that were repeated."), "retries"),
    (_sink_counter("rows_refused", "Rows, or raw clicks, that the store refuses for their content."), "refused"),
)


def _gauge(name: str, text: str, value: float) -> Metric:
    return GaugeMetricFamily(f"clickstream_{name}", text, value=value)


def _counter(name: str, text: str, value: float) -> Metric:
    return CounterMetricFamily(f"clickstream_{name}", text, value=value)


def _labelled(family: Any, values: Mapping[tuple[str, ...], float]) -> Metric:
    for labels, value in values.items():
        family.add_metric(labels, value)
    return family
