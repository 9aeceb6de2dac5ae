"""Prism is found before the first event, or its lack is told in one line with the ways out."""

import socket

import pytest
from apache_beam.runners.portability.prism_runner import PrismJobServer

from clickstream.io.errors import UserError
from clickstream.pipeline.options import read_options
from clickstream.pipeline.prism import find_prism


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
