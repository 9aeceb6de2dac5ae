"""What the terminal says: exact text when piped; on a real (pseudo) terminal a box, short URLs and a line of progress."""

import fcntl
import io
import os
import pty
import re
import struct
import sys
import termios
import time
import tty
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime, timezone
from pathlib import Path

import pytest
from rich.cells import cell_len

from clickstream.page.report.figures import Bucket, Figures, OverTime, Page
from clickstream.pipeline.counts import Counts
from clickstream.pipeline.output_dir import OutputDir
from clickstream.pipeline.summary import ProgressLine, print_summary
from clickstream.transforms.sketches import Users

TIME = datetime(2025, 3, 14, tzinfo=timezone.utc)
REWRITE = "\r\x1b[K"
MARKUP = "https://e.com/[bold red]x[/bold red]:smile:[link=https://evil.example]"
LONG = "https://example.com/" + "long/" * 60 + "end.html"


def figures(*urls):
    users = Users(9_876, 9_800, 9_950, exact=False)
    pages = tuple(Page(url, 1_000 - i, 600, 30_000.0, 40, 20, users, 27.25, 99.0) for i, url in enumerate(urls))
    over_time = OverTime(
        288, 12_345, 9_999, 600, 30_000.0, 40, 20, TIME, TIME, 300, 300, TIME, 300, (Bucket(1, 1, 1.0),)
    )
    return Figures(over_time if urls else None, len(urls), pages, (), 0, (), 0, ())


COUNTS = Counts(1_000_000, 997_000, 500, {"invalid_json": 2_000, "too_large": 500})


def printed(monkeypatch, shown, counts=COUNTS, *, sample=True, encoding="utf-8"):
    raw = io.BytesIO()
    monkeypatch.setattr(sys, "stdout", io.TextIOWrapper(raw, encoding=encoding, newline=""))
    print_summary(OutputDir(Path("out")), counts, shown, 12.34, sample=sample)
    return raw.getvalue().decode(encoding)


def test_piped_it_is_plain_text(monkeypatch):
    monkeypatch.setenv("FORCE_COLOR", "1")
    unknown = Page("https://e.com/b", 7, 0, 0.0, None, None, None, None, None)
    exact = Page("https://e.com/c", 6, 1, 2.5, None, None, Users(5, 5, 5, exact=True), 2.5, 2.5)
    some = figures("https://e.com/a")
    shown = Figures(some.over_time, 3, (*some.top_pages, unknown, exact), (), 0, (), 0, ())
    assert (
        printed(monkeypatch, shown)
        == """\
Top pages
clicks   users  mean s  median s  time known  page
 1,000  ~9,876    50.0      27.2         60%  https://e.com/a
     7       -       -         -          0%  https://e.com/b
     6       5     2.5       2.5         17%  https://e.com/c

read 1,000,000 = accepted 997,000 + rejected 2,500 + too late 500  (12.3 s, 81,037 records/s)
rejected: invalid_json 2,000, too_large 500
rows 12,345 in 288 windows

Results: out/clickstream.db
         out/elasticsearch.ndjson
         out/report.html

Next:
  your own log:   clickstream --input='logs/*.ndjson' --output_dir=results
  look:           open out/report.html
  ask:            sqlite3 out/clickstream.db "SELECT url, SUM(clicks) FROM page_metrics GROUP BY 1 ORDER BY 2 DESC LIMIT 5"
  live on Kafka:  clickstream --help
"""
    )


def test_run_local_advises_itself(monkeypatch):
    monkeypatch.setenv("CLICKSTREAM_COMMAND", "./run_local.sh")
    assert "your own log:   ./run_local.sh --input=" in printed(monkeypatch, figures())


def test_a_run_without_clicks_says_so(monkeypatch):
    text = printed(monkeypatch, figures(), Counts(0, 0, 0), sample=False)
    assert text.startswith(
        "read 0 = accepted 0 + rejected 0 + too late 0  (12.3 s, 0 records/s)\nrows 0: no clicks yet\n"
    )
    assert "your own log" not in text


def test_at_most_ten_pages_are_printed(monkeypatch):
    text = printed(monkeypatch, figures(*(f"https://e.com/{i}" for i in range(20))))
    assert text.count("https://e.com/") == 10


def test_counts_that_do_not_add_up_are_not_shown_as_equal(monkeypatch):
    text = printed(monkeypatch, figures("https://e.com/"), Counts(10, 5, 1, {"invalid_json": 2}))
    assert "read 10, accepted 5 + rejected 2 + too late 1" in text
    assert "These don't add up: 2 records are unaccounted for." in text
    assert "read 10 =" not in text


@pytest.mark.parametrize("encoding", ["utf-8", "ascii"])
@pytest.mark.parametrize(
    "url", [MARKUP, LONG, "https://e.com/\x1b[2J\x1b]0;title\x07\r\n\u202e\x9b31m", "https://é.com/日本"]
)
def test_a_piped_url_is_printed_literally(monkeypatch, url, encoding):
    text = printed(monkeypatch, figures(url), encoding=encoding)
    assert all(character.isprintable() or character == "\n" for character in text)
    shown = "".join(character if character.isprintable() else ascii(character)[1:-1] for character in url)
    assert shown.encode(encoding, "backslashreplace").decode(encoding) in text


@pytest.fixture
def on_terminal(monkeypatch):
    """Runs what it is given while stdout and stderr are a pseudo terminal, and returns what that was sent."""

    def run(act, *, columns=100, term="xterm-256color"):
        monkeypatch.setenv("TERM", term)
        monkeypatch.setenv("COLUMNS", str(columns))
        monkeypatch.delenv("NO_COLOR", raising=False)
        ours, theirs = pty.openpty()
        tty.setraw(theirs)
        fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", 24, columns, 0, 0))
        with ThreadPoolExecutor(1) as reader, open(theirs, "w", encoding="utf-8", newline="") as terminal:
            sent = reader.submit(_all_of, ours)
            with monkeypatch.context() as patched:
                patched.setattr(sys, "stdout", terminal)
                patched.setattr(sys, "stderr", terminal)
                act()
            terminal.close()
        os.close(ours)
        return sent.result().decode()

    return run


def _all_of(terminal):
    read = []
    try:
        while got := os.read(terminal, 65_536):
            read.append(got)
    except OSError:  # Linux's way to say that the other end is closed
        pass
    return b"".join(read)


@pytest.mark.parametrize("columns", [72, 100])
def test_on_a_terminal_a_box_holds_short_urls(on_terminal, columns):
    wide = "https://example.com/" + "日本" * 100
    shown = figures(LONG, MARKUP, wide, "https://e.com/\x1b[2J\r")
    sent = on_terminal(lambda: print_summary(OutputDir(Path("out")), COUNTS, shown, 1.0, sample=False), columns=columns)
    assert "\x1b[1m" in sent
    box = [line for line in re.sub(r"\x1b\[[0-9;]*m", "", sent).splitlines() if line.startswith(tuple("┏┃┡│└"))]
    assert {cell_len(line) for line in box} == {columns}
    long, markup, _, control = (line.split("│")[1].strip() for line in box if line.startswith("│"))
    assert long.startswith("https://e")
    assert long.endswith("end.html")
    assert long.count("…") == 1
    assert markup.startswith("https://e")
    assert markup.endswith(".example]")
    assert control == r"https://e.com/\x1b[2J\r"


def progress(total_bytes):
    with ProgressLine(total_bytes=total_bytes) as line:
        line.update(records=0, bytes_read=0, rejected=0)
        time.sleep(0.1)
        line.update(records=12_345, bytes_read=430, rejected=7)
        line.update(records=20_000, bytes_read=1_200, rejected=8)


def test_the_line_of_progress_is_rewritten_and_then_gone(on_terminal):
    _, first, second, third, last = on_terminal(lambda: progress(1_000)).split(REWRITE)
    assert first == "0 records | 0 records/s | 0% | rejected 0"
    assert re.fullmatch(r"12,345 records \| \d{1,3},\d{3} records/s \| 43% \| rejected 7", second)
    assert third.endswith("| 100% | rejected 8")
    assert last == ""


def test_the_line_of_progress_fits_its_terminal(on_terminal):
    assert max(map(len, on_terminal(lambda: progress(1_000), columns=20).split(REWRITE))) == 19


def test_a_terminal_that_cannot_rewrite_a_line_gets_none(on_terminal):
    assert on_terminal(lambda: progress(1_000), term="dumb") == ""


def test_without_a_known_size_no_share_is_shown(on_terminal):
    sent = on_terminal(lambda: progress(None))
    assert "12,345 records" in sent
    assert "%" not in sent


def test_piped_there_is_no_progress(capsys):
    with ProgressLine(total_bytes=10) as line:
        line.update(records=5, bytes_read=5, rejected=0)
    assert capsys.readouterr() == ("", "")
