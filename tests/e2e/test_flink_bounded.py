"""The job over logs on an embedded Flink, to the row: a second piece, with what it restates of the first."""

import gzip

import pytest
from e2e.test_pieces import LOG, POLICIES, assert_whole, text

from clickstream.pipeline.__main__ import main

pytestmark = [pytest.mark.timeout(600), pytest.mark.xdist_group("flink")]


def test_logs_in_pieces_are_the_rows_of_one_run(job_server, tmp_path, capfd, monkeypatch) -> None:
    """The first piece is read without Flink: what it leaves is gone on from anywhere."""
    monkeypatch.setenv("POLARS_MAX_THREADS", "1")
    rules = POLICIES["dwell"][1]
    own = [f"--input={tmp_path / '*.log'}", f"--output_dir={tmp_path / 'out'}", "--session_gap=10m"]
    (tmp_path / "1.log").write_bytes(text(LOG[:300]))
    assert main(own) == 0
    (tmp_path / "2.log").write_bytes(text(LOG[300:]))
    capfd.readouterr()
    assert main(["flink", "--flink_master=[local]", f"--flink_job_server={job_server}", "--parallelism=2", *own]) == 0
    assert f"read {len(LOG) - 300} = " in capfd.readouterr().out
    assert_whole(tmp_path / "out", LOG, rules)


def test_what_a_worker_cannot_read_is_one_line(job_server, tmp_path, capfd) -> None:
    packed = gzip.compress(text(LOG))
    (tmp_path / "cut.log.gz").write_bytes(packed[: len(packed) // 2])
    flink = ["--flink_master=[local]", f"--flink_job_server={job_server}", f"--output_dir={tmp_path / 'out'}"]
    assert main(["flink", f"--input={tmp_path / 'cut.log.gz'}", *flink]) == 2
    said = capfd.readouterr().err.strip()
    assert "cut.log.gz can't be read to its end" in said
    assert "\n" not in said
