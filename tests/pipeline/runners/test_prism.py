"""Prism is found before the first event, or its lack is told in one line with the ways out."""

import errno
import os
import socket
import time
from typing import Any

import apache_beam as beam
import pytest
from apache_beam.coders import VarIntCoder
from apache_beam.options.pipeline_options import DebugOptions
from apache_beam.runners.portability.prism_runner import PrismJobServer
from apache_beam.testing.util import assert_that, equal_to
from apache_beam.transforms.timeutil import TimeDomain
from apache_beam.transforms.userstate import BagStateSpec, TimerSpec, on_timer
from live_graph import wire_live

from clickstream.io.errors import UserError
from clickstream.pipeline.commands.live import _engine
from clickstream.pipeline.options import read_options
from clickstream.pipeline.runners.prism import FoundPrism, FoundPrismRunner, find_prism
from clickstream.transforms.runner import NO_SPLITS, keep_state_whole
from tests.services.prism import on_prism


def lacking(location=None):
    with pytest.raises(UserError) as raised:
        find_prism(read_options([f"--prism_location={location}"] if location else []))
    message = str(raised.value)
    assert "\n" not in message
    assert message.endswith("or run without it, now and then, with --until=now.")
    return message


def test_a_binary_is_taken_as_it_is(tmp_path) -> None:
    (tmp_path / "prism").touch()
    assert find_prism(read_options([f"--prism_location={tmp_path / 'prism'}"])) == str(tmp_path / "prism")


def test_a_binary_on_a_read_only_file_system_is_started_as_it_is(tmp_path, monkeypatch) -> None:
    """As in a container: Beam would set its mode, and fail."""
    program = tmp_path / "prism"
    program.touch(0o555)
    monkeypatch.setattr("os.chmod", fails_read_only)
    command, _ = FoundPrism(read_options([f"--prism_location={program}"])).subprocess_cmd_and_endpoint()
    assert str(program) in command


def fails_read_only(*_: Any, **__: Any) -> None:
    raise OSError(errno.EROFS, os.strerror(errno.EROFS))


def test_a_binary_that_may_not_be_run_yet_is_made_one_that_may(tmp_path) -> None:
    program = tmp_path / "prism"
    program.touch(0o644)
    command, _ = FoundPrism(read_options([f"--prism_location={program}"])).subprocess_cmd_and_endpoint()
    assert str(program) in command
    assert os.access(program, os.X_OK)


def test_a_path_without_a_binary_is_told(tmp_path) -> None:
    assert "is no file: build it with Go" in lacking(tmp_path / "prism")


def test_an_address_that_is_none_of_beams_is_told() -> None:
    assert "Prism can't be had" in lacking("http://127.0.0.1/prism.zip")


def test_a_machine_that_reaches_no_download_is_told(monkeypatch, tmp_path) -> None:
    with socket.socket() as closed:
        closed.bind(("127.0.0.1", 0))
        monkeypatch.setenv("https_proxy", f"http://127.0.0.1:{closed.getsockname()[1]}")
        monkeypatch.setenv("PATH", str(tmp_path))
        monkeypatch.setattr(PrismJobServer, "BIN_CACHE", str(tmp_path))
        assert "Unable to fetch remote prism binary" in lacking()


SOURCE = ["--bootstrap_servers=127.0.0.1:1", "--topic=clicks"]
SEEN = BagStateSpec("seen", VarIntCoder())
END = TimerSpec("end", TimeDomain.WATERMARK)
_SEEN, _END = beam.DoFn.StateParam(SEEN), beam.DoFn.TimerParam(END)


class Slow(beam.DoFn):
    """Keeps what it sees, some of it slowly; tells at the end how many that were."""

    def process(self, numbered: tuple[str, int], seen: Any = _SEEN, end: Any = _END) -> None:
        time.sleep(0.3 if numbered[1] % 10 == 3 else 0.01)
        seen.add(numbered[1])
        end.set(1000)

    @on_timer(END)
    def end(self, seen: Any = _SEEN):
        yield len(set(seen.read()))


def test_state_is_whole_although_a_bundle_takes_long(prism) -> None:
    """As steps that keep state have it. With its splits, Prism lost half of it."""
    with on_prism(prism) as pipeline:
        keep_state_whole(pipeline)
        one = pipeline | beam.Create([0]) | beam.FlatMap(lambda _: [("key", n) for n in range(60)])
        assert_that(one | beam.ParDo(Slow()), equal_to([60]))


def test_live_jobs_run_without_splits(tmp_path) -> None:
    (tmp_path / "prism").touch()
    options = read_options([*SOURCE, f"--prism_location={tmp_path / 'prism'}", "--experiments=another"])
    engine = _engine(options, bounded=False)
    assert isinstance(engine, FoundPrismRunner)
    pipeline = beam.Pipeline(engine, options=options)
    wire_live(pipeline, options)
    assert {"another", NO_SPLITS} <= {*pipeline.options.view_as(DebugOptions).experiments}
