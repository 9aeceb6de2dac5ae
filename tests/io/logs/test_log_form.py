"""A log is known by its first bytes, and read as what it is."""

import bz2
import gzip
import json
import lzma
import os
import tarfile
import zipfile
from pathlib import Path

import pyarrow as pa
import pytest
import zstandard
from apache_beam.testing.test_pipeline import TestPipeline

from clickstream.io.errors import UserError, user_error_in
from clickstream.io.logs import (
    LogForm,
    LogSplit,
    ReadClickLogs,
    form_of,
    match_logs,
    open_behind,
    read_split,
    read_values,
)

OBJECTS = [{"user_id": f"ü{n}", "url": "https://a.example/\U0001f680", "n": n} for n in range(300)]
LINES = "".join(json.dumps(each, ensure_ascii=False) + "\n" for each in OBJECTS)
ARRAY = json.dumps(OBJECTS, indent=2, ensure_ascii=False)


def lz4(data: bytes) -> bytes:
    sink = pa.BufferOutputStream()
    with pa.CompressedOutputStream(sink, "lz4") as stream:
        stream.write(data)
    return sink.getvalue().to_pybytes()


PACKERS = {
    "gzip": gzip.compress,
    "zstd": zstandard.ZstdCompressor().compress,
    "bz2": bz2.compress,
    "lz4": lz4,
    "xz": lzma.compress,
}


def read(path: Path, batch_bytes: int = 1000) -> list[dict]:
    (file,) = match_logs(str(path))
    reader = read_split if file.form.in_lines else read_values
    with open_behind(file.path, 0, file.form) as handle:
        batches = list(reader(handle, LogSplit(file.path, 0, None, file.form), batch_bytes))
    return [json.loads(value.decode("utf-8-sig")) for batch in batches for value in batch.values]


@pytest.mark.parametrize("packed", PACKERS)
@pytest.mark.parametrize("text", [LINES, ARRAY], ids=["lines", "array"])
def test_packed_logs_are_known_by_their_first_bytes(tmp_path, packed, text) -> None:
    log = tmp_path / "clicks.log"
    log.write_bytes(PACKERS[packed](text.encode()))
    assert form_of(str(log)) == LogForm(packed, "", text is LINES)
    assert read(log) == OBJECTS


def test_a_name_that_promises_too_much_is_no_matter(tmp_path) -> None:
    log = tmp_path / "clicks.ndjson.gz"
    log.write_text(LINES)
    assert read(log) == OBJECTS


@pytest.mark.parametrize("packed", PACKERS)
def test_an_archive_that_is_cut_off_names_the_file(tmp_path, packed) -> None:
    log = tmp_path / "clicks"
    random = json.dumps(os.urandom(100_000).hex())
    log.write_bytes(PACKERS[packed]((random + "\n").encode() * 3)[:-40])
    pipeline = TestPipeline(runner="FnApiRunner")
    _ = pipeline | ReadClickLogs(str(log))
    with pytest.raises(Exception, match="can't be read to its end") as caught:
        pipeline.run()
    assert str(user_error_in(caught.value)).startswith(f"{log} can't be read to its end")


@pytest.mark.parametrize(
    "encoding", ["utf-16", "utf-16-le", "utf-16-be", "utf-32", "utf-32-le", "utf-32-be", "utf-8-sig"]
)
@pytest.mark.parametrize("text", [LINES, ARRAY], ids=["lines", "array"])
@pytest.mark.parametrize("pack", [bytes, gzip.compress], ids=["plain", "packed"])
def test_other_encodings_are_read(tmp_path, encoding, text, pack) -> None:
    log = tmp_path / "clicks.json"
    log.write_bytes(pack(text.encode(encoding)))
    assert read(log) == OBJECTS


def test_what_the_encoding_does_not_know_is_one_replacement(tmp_path) -> None:
    log = tmp_path / "clicks.json"
    log.write_bytes('{"a": "\ud83d"}\n{"a": "\ufeff"}\n{"a'.encode("utf-16-le", "surrogatepass") + b"\x22")
    (file,) = match_logs(str(log))
    with open_behind(file.path, 0, file.form) as handle:
        assert handle.read() == '{"a": "\ufffd"}\n{"a": "\ufeff"}\n{"a'.encode()


NOT_IN_LINES = {
    "an array": "[{}]",
    "an array on lines": ' \n[\n{"a": 1}',
    "an empty array": "[]",
    "an array a line": '[{"a": 1}]\n[{"a": 2}]\n',
    "an array, and its comma on the next line": '[{"a": 1}\n,{"a": 2}]',
    "objects over several lines": '{\n "a": 1\n}\n{\n "a": 2\n}\n',
    "the first of them, half": '{\n "a": 1,',
    "the first of them, after its comma": '{"a": 1,\n "b"',
    "objects side by side": '{"a": 1}{"a": 2}',
    "with a comma": '{"a": 1}, {"a": 2}',
    "marked as a sequence": '\x1e{"a": 1}\n\x1e{"a": 2}\n',
    "behind a byte order mark": '\ufeff[{"a": 1}]',
    "a long first object": json.dumps({"a": "x" * 200_000}) + '{"a": 2}',
}
IN_LINES = {
    "a line each": '{"a": 1}\n{"a": 2}\n',
    "one": '{"a": 1}',
    "with blanks behind": '{"a": 1} \r\n{"a": 2}',
    "the first one broken": '{"a": 1, "b\n{"a": 2}\n',
    "broken behind a comma": '{"a": 1,\n{"a": 2}\n',
    "broken behind a name": '{"a":\n{"a": 2}\n{"a": 3}\n',
    "the first one in an array": '[{"a": 1}]\r\n\n{"a": 2}\n',
    "half": '{"a": 1, "b',
    "arrays that hold no objects": "[1]\n[2]\n",
    "no JSON": "203.0.113.7 - - [01/Nov/2026] \n",
    "nginx's escapes": '{"a": "\\x22"}\n{"a": 2}\n',
    "nothing but line ends": "\n\n",
}


@pytest.mark.parametrize("name", [*NOT_IN_LINES, *IN_LINES])
def test_the_head_tells_whether_records_have_lines(tmp_path, name) -> None:
    log = tmp_path / "log"
    log.write_text((NOT_IN_LINES | IN_LINES)[name])
    assert form_of(str(log)).in_lines == (name in IN_LINES)


def archive(kind: str, log: Path, path: Path) -> None:
    if kind == "zip":
        with zipfile.ZipFile(path, "w") as packed:
            packed.write(log)
    else:
        with tarfile.open(path, kind) as packed:
            packed.add(log)


@pytest.mark.parametrize(
    ("kind", "says"), [("zip", "is a zip archive: unpack it"), ("w", "is a tar archive"), ("w:gz", "is a tar archive")]
)
def test_archives_of_files_are_refused_with_the_cure(tmp_path, kind, says) -> None:
    log, packed = tmp_path / "clicks.ndjson", tmp_path / "clicks"
    log.write_text(LINES)
    archive(kind, log, packed)
    with pytest.raises(UserError, match=says):
        match_logs(str(packed))


@pytest.mark.parametrize(
    ("head", "says"),
    [(b"ORC", "an ORC file"), (b"ARROW1", "an Arrow file"), (gzip.compress(LINES.encode()), "packed twice")],
    ids=["orc", "arrow", "gzip"],
)
def test_other_files_are_refused_with_the_cure(tmp_path, head, says) -> None:
    log = tmp_path / "clicks.gz"
    log.write_bytes(gzip.compress(head))
    with pytest.raises(UserError, match=says) as caught:
        match_logs(str(log))
    assert "\n" not in str(caught.value)


def test_a_pipe_is_refused_with_the_cure(tmp_path) -> None:
    pipe = tmp_path / "clicks"
    os.mkfifo(pipe)
    with pytest.raises(UserError, match="read once only: write what comes from it to a file"):
        match_logs(str(pipe))
    (tmp_path / "log").write_text(LINES)
    with (tmp_path / "log").open() as log:
        (file,) = match_logs(f"/dev/fd/{log.fileno()}")
        assert file.path == str(tmp_path / "log")
