import bz2
import gzip
import io
import json
import subprocess
import sys

import pytest
import zstandard
from apache_beam.testing.test_pipeline import TestPipeline
from apache_beam.testing.util import assert_that, equal_to
from hypothesis import given
from hypothesis import strategies as st

from clickstream.io.errors import UserError, user_error_in
from clickstream.io.logs import LogFile, LogForm, LogSplit, ReadClickLogs, match_logs, read_split, split_log
from clickstream.io.logs import read as files


def expected(data: bytes) -> list[tuple[int, bytes]]:
    lines, position, found = data.split(b"\n"), 0, []
    if lines[-1] == b"":
        lines.pop()
    for line in lines:
        found.append((position, line))
        position += len(line) + 1
    return found


def read(data: bytes, splits: list[LogSplit], batch_bytes: int) -> list[tuple[int, bytes]]:
    return [
        (int(position), value)
        for split in splits
        for batch in read_split(io.BytesIO(data), split, batch_bytes)
        for position, value in zip(batch.positions, batch.values, strict=True)
    ]


LOGS = st.lists(st.sampled_from([b"", b"a", b"bcd", b"\r", b"x" * 30]), min_size=1).map(b"\n".join)


@given(LOGS, st.integers(1, 50), st.integers(1, 40), st.booleans())
def test_splits_share_no_line_and_lose_none(data: bytes, split_bytes: int, batch_bytes: int, ended: bool) -> None:
    data += b"\n" if ended else b""
    splits = split_log(LogFile("clicks.ndjson", len(data)), split_bytes)
    assert read(data, splits, batch_bytes) == expected(data)
    assert read(data, [LogSplit("clicks.ndjson", 0, None)], batch_bytes) == expected(data)


LIMITS = {"LONGEST_RECORD": 20, "KEPT_BYTES": 6}


@given(
    st.lists(st.sampled_from([b"", b"a", b"bcd", b"x" * 30, b"y" * 55, b"z" * 200]), min_size=1).map(b"\n".join),
    st.integers(1, 50),
    st.integers(1, 15),
    st.booleans(),
)
def test_a_line_that_is_too_long_is_cut_while_it_is_read(
    data: bytes, split_bytes: int, batch_bytes: int, ended: bool
) -> None:
    """Each line comes once, at its place: whole, or of a longer one the beginning."""
    data += b"\n" if ended else b""
    splits = split_log(LogFile("clicks.ndjson", len(data)), split_bytes)
    with pytest.MonkeyPatch.context() as patch:
        for name, value in LIMITS.items():
            patch.setattr(files, name, value)
        for chosen in (splits, [LogSplit("clicks.ndjson", 0, None)]):
            found = read(data, chosen, batch_bytes)
            assert [at for at, _ in found] == [at for at, _ in expected(data)]
            for (_, value), (_, line) in zip(found, expected(data), strict=True):
                assert value == line or (len(line) > 20 and value == line[:6])


def test_a_line_of_200_mb_costs_little_memory(tmp_path) -> None:
    """Measured in a process of its own; the line before and the one behind are read."""
    log = tmp_path / "clicks.ndjson"
    with log.open("wb") as file:
        file.write(b"before\n")
        for _ in range(200):
            file.write(b"x" * (1 << 20))
        file.write(b"\nbehind\n")
    told = subprocess.run(
        [sys.executable, "-c", MEASURE, str(log)], capture_output=True, text=True, check=True, timeout=120
    )
    lengths, before, after = json.loads(told.stdout)
    assert lengths == [[6, (1 << 20) + 1, 6]] * 2
    assert after - before < 150 << 10  # KiB


MEASURE = """
import json, resource, sys
from clickstream.io.logs import LogFile, LogSplit, read_split, split_log
from clickstream.io.logs import open_text
def peak():
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
def lengths(splits):
    found = []
    for split in splits:
        with open_text(split.path, split.form) as handle:
            found += [len(value) for batch in read_split(handle, split, 3 << 20) for value in batch.values]
    return found
before, path = peak(), sys.argv[1]
whole = lengths([LogSplit(path, 0, None)])
print(json.dumps([[whole, lengths(split_log(LogFile(path, (200 << 20) + 15), 32 << 20))], before, peak()]))
"""


def test_a_compressed_log_is_one_split() -> None:
    packed = LogForm("gzip")
    assert split_log(LogFile("clicks", 10**9, packed), 100) == [LogSplit("clicks", 0, None, packed)]
    assert len(split_log(LogFile("clicks.ndjson", 1000), 100)) == 10


@pytest.mark.parametrize("ending", ["", ".gz", ".zst", ".bz2"])
def test_reads_plain_and_compressed_logs(tmp_path, ending) -> None:
    lines = [b'{"n": %d}' % n for n in range(1000)]
    data = b"\n".join(lines) + b"\n"
    packed = {
        "": data,
        ".gz": gzip.compress(data),
        ".zst": zstandard.ZstdCompressor().compress(data),
        ".bz2": bz2.compress(data),
    }[ending]
    path = tmp_path / f"clicks.ndjson{ending}"
    path.write_bytes(packed)
    with TestPipeline(runner="FnApiRunner") as pipeline:
        batches = pipeline | ReadClickLogs(str(path), batch_bytes=100, split_bytes=777)
        assert_that(batches | _values(), equal_to(lines))


def _values():
    import apache_beam as beam

    return beam.FlatMap(lambda batch: batch.values)


def test_a_glob_names_several_logs_and_skips_empty_ones(tmp_path) -> None:
    for name, data in {"a.ndjson": b"1\n", "b.ndjson": b"", "c.ndjson": b"2"}.items():
        (tmp_path / name).write_bytes(data)
    assert [file.size for file in match_logs(str(tmp_path / "*.ndjson"))] == [2, 1]


@pytest.mark.parametrize(
    ("name", "says"), [("none.ndjson", "matches no file"), ("", "is a directory"), ("empty.ndjson", "is empty")]
)
def test_what_cannot_be_read_is_said_with_its_cure(tmp_path, name, says) -> None:
    (tmp_path / "empty.ndjson").touch()
    with pytest.raises(UserError, match=says):
        match_logs(str(tmp_path / name))


def test_a_damaged_archive_names_the_file(tmp_path) -> None:
    path = tmp_path / "clicks.ndjson.gz"
    path.write_bytes(gzip.compress(b"{}\n" * 100_000)[:-50])
    pipeline = TestPipeline(runner="FnApiRunner")
    _ = pipeline | ReadClickLogs(str(path))
    with pytest.raises(Exception, match="can't be read to its end") as caught:
        pipeline.run()
    error = user_error_in(caught.value)
    assert error is not None
    assert str(error).startswith(f"{path} can't be read to its end")
    assert "\n" not in str(error)
