"""Whatever way a run ends, nothing of it stays; what is installed is whole; what fails says why."""

import os
import re
import signal
import subprocess
import sys
import threading
import time
import zipfile
from collections.abc import Iterable, Iterator
from pathlib import Path

import pytest

from tests.services import places
from tests.services.cassandra import Cassandra
from tests.services.daemon import Daemon
from tests.services.elasticsearch import VERSION, Elasticsearch
from tests.services.errors import ServiceError
from tests.services.hbase import HBase
from tests.services.installing import installed
from tests.services.kafka import Kafka
from tests.services.keeper import running
from tests.services.mariadb import MariaDb
from tests.services.module_info import without_requires
from tests.services.run import Run
from tests.services.services import Services
from tests.services.test_harness import open_port

ROOT = Path(__file__).parents[2]


def ends(condition, seconds: float = 30.0) -> bool:
    deadline = time.monotonic() + seconds
    while condition() and time.monotonic() < deadline:
        time.sleep(0.1)
    return not condition()


@pytest.fixture
def run():
    run = Run()
    yield run
    run.close()


def shell(run: Run, script: str, **options) -> Daemon:
    folder = run.new_folder("server")
    places.hand_over(folder)
    ready = lambda said: "ready" in said  # noqa: E731
    return Daemon("server", ["sh", "-c", script], folder, ready, run, **options)


def test_closing_stops_servers_and_removes_their_folder():
    services = Services()
    server = services.get("mariadb")
    folder, leader = server._daemon.folder, server.pid
    assert open_port(server.port)
    services.close()
    assert not open_port(server.port)
    assert not folder.parent.exists()
    assert not running(leader)


@pytest.mark.parametrize("ending", [signal.SIGINT, signal.SIGTERM, signal.SIGKILL])
def test_up_leaves_nothing_behind(ending):
    command = [sys.executable, "-m", "tests.services", "up", "mariadb"]
    clean = {name: value for name, value in os.environ.items() if not name.startswith("CLICKSTREAM_TEST_")}
    with subprocess.Popen(command, cwd=ROOT, env=clean, stdout=subprocess.PIPE, text=True) as process:
        try:
            said = "".join(iter_until(process.stdout, "# Ctrl-C"))
            port = int(re.search(r"CLICKSTREAM_TEST_MARIADB=mysql://app@127.0.0.1:(\d+)\n", said)[1])
            assert f"--mysql=mysql://app@127.0.0.1:{port}/clickstream" in said
            assert open_port(port)
            process.send_signal(ending)
            assert process.wait(60) == (-ending if ending == signal.SIGKILL else 0)
        finally:
            process.kill()
    assert ends(lambda: open_port(port))


def iter_until(lines: Iterable[str], end: str) -> Iterator[str]:
    for line in lines:
        yield line
        if line.startswith(end):
            return


def test_a_server_that_ends_says_its_last_words(run):
    server = shell(run, "echo no room on the device; exit 3")
    with pytest.raises(ServiceError, match=r"(?s)server ended while starting.*no room on the device"):
        server.start()
    assert server.process is None


def test_a_server_that_ended_of_itself_starts_again(run):
    server = shell(run, "echo ready; exec sleep 1000")
    server.start()
    os.kill(server.process.pid, signal.SIGKILL)
    assert ends(lambda: server.process.poll() is None)
    server.start()
    assert server.process.poll() is None
    server.stop()


def test_a_server_that_does_not_answer_is_stopped(run):
    server = shell(run, "echo $$; sleep 1000", start_seconds=0.5)
    with pytest.raises(ServiceError, match="didn't answer within"):
        server.start()
    leader = int(server.log.read_text())
    assert not running(leader)


def test_stopping_takes_the_whole_group_with_it(run):
    server = shell(run, "sh -c 'trap \"\" TERM; sleep 1000' & sleep 0.2; echo ready; wait")
    server.start()
    leader = server.process.pid
    server.stop()
    assert not running(leader)


def test_tests_of_one_group_run_in_one_process(request):
    """What `pytest -n` distributes by is a test's name with its group: without it, live jobs would run side by side."""
    group = f"@{Path(__file__).name}"
    assert [f"@{mark.args[0]}" for mark in request.node.iter_markers("xdist_group")] == [group]
    if "PYTEST_XDIST_WORKER" in os.environ and request.config.getvalue("loadgroup"):
        assert request.node.nodeid.endswith(group)


def test_a_process_runs_until_its_last_thread_ends():
    code = """import ctypes, threading, time
threading.Thread(target=time.sleep, args=[1000]).start()
ctypes.CDLL(None).pthread_exit(None)"""
    with subprocess.Popen([sys.executable, "-c", code], start_new_session=True) as process:
        stat = Path(f"/proc/{process.pid}/stat")
        try:
            assert ends(lambda: stat.read_text().rpartition(")")[2].split()[0] != "Z"), "its first thread"
            assert running(process.pid)
        finally:
            process.kill()
    assert not running(process.pid)


def test_servers_run_under_an_account_that_is_not_root(run):
    server = shell(run, "id -u; echo ready; exec sleep 1000")
    server.start()
    assert int(server.log.read_text().split()[0]) == (places.NOBODY if places.is_root() else os.geteuid())
    server.stop()


def test_servers_do_not_inherit_variables(run, monkeypatch):
    monkeypatch.setenv("A_SECRET", "canary")
    server = shell(run, "env; echo ready; exec sleep 1000")
    server.start()
    assert "canary" not in server.log.read_text()
    server.stop()


def test_ports_are_this_runs_own(run):
    other = Run()
    taken = [*run.free_ports(50), *other.free_ports(50)]
    other.close()
    assert len(set(taken)) == 100
    assert set(taken) <= set(places.PORTS)


@pytest.mark.parametrize(
    ("kind", "address"),
    [
        (Kafka, "broker.example:9092"),
        (Elasticsearch, "http://search.example:9200"),
        (MariaDb, "mysql://me@db.example:3307"),
        (Cassandra, "ring.example:9042"),
        (HBase, "thrift.example:9090"),
    ],
)
def test_a_server_named_from_outside_is_used_and_left_alone(kind, address, run, monkeypatch):
    monkeypatch.setenv(kind.variable(), address)
    monkeypatch.setenv("CLICKSTREAM_TEST_MARIADB_PASSWORD", "hers")
    server = kind(run)
    if kind is MariaDb:
        assert (server.url("x"), server.password) == ("mysql://me@db.example:3307/x", "hers")
    else:
        assert server.address == address
    for action in (server.start, server.stop, server.kill):
        with pytest.raises(ServiceError, match=f"not ours to start or stop: unset {kind.variable()}"):
            action()


def test_a_malformed_address_is_refused(run, monkeypatch):
    monkeypatch.setenv("CLICKSTREAM_TEST_MARIADB", "localhost:3306")
    with pytest.raises(ServiceError, match="write mysql://USER@HOST:PORT"):
        MariaDb(run)


def test_an_interrupted_installation_is_done_again(tmp_path, monkeypatch):
    monkeypatch.setenv("CLICKSTREAM_CACHE", str(shared(tmp_path)))

    def fail(folder: Path) -> None:
        (folder / "half").touch()
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        installed("program", fail)
    whole = installed("program", lambda folder: (folder / "whole").touch())
    assert [file.name for file in whole.iterdir()] == ["whole"]


def test_two_at_once_install_once(tmp_path, monkeypatch):
    monkeypatch.setenv("CLICKSTREAM_CACHE", str(shared(tmp_path)))
    builds = []

    def build(folder: Path) -> None:
        builds.append(folder)
        time.sleep(0.2)

    threads = [threading.Thread(target=installed, args=("program", build)) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(builds) == 1


def shared(folder: Path) -> Path:
    """The folder, opened to all accounts, as root's cache has to be."""
    for place in (folder, *folder.parents[:3]):
        if place.stat().st_uid == os.geteuid():
            place.chmod(place.stat().st_mode | 0o011)
    return folder


@pytest.mark.skipif(not places.is_root(), reason="only root's servers run under another account")
def test_a_cache_that_servers_cannot_enter_is_refused(tmp_path, monkeypatch):
    closed = tmp_path / "closed"
    closed.mkdir(mode=0o700)
    monkeypatch.setenv("CLICKSTREAM_CACHE", str(closed / "cache"))
    with pytest.raises(ServiceError, match="Name another folder"):
        places.cache_folder()


def test_a_module_descriptor_loses_what_it_is_told_and_nothing_else():
    jar = Elasticsearch.install() / f"elasticsearch-{VERSION}" / "lib" / f"elasticsearch-entitlement-{VERSION}.jar"
    with zipfile.ZipFile(jar) as archive:
        descriptor = archive.read("module-info.class")
    assert without_requires(descriptor, ()) == descriptor
    assert without_requires(descriptor, ("jdk.jlink", "jdk.jdi")) == descriptor, "they are out already"
    assert len(without_requires(descriptor, ("java.logging",))) == len(descriptor) - 6
