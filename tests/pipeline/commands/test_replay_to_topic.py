import sqlite3
from collections import Counter

import pytest

from clickstream.io.kafka import Record
from clickstream.pipeline.__main__ import main
from clickstream.pipeline.replay.topic import _message, summary


def test_the_summary_says_what_went_and_what_stays() -> None:
    assert summary(Counter({"accepted": 7}), "clicks") == "Dead letters now accepted and sent to clicks: 7\n"
    counts = Counter({"accepted": 7, "refused": 2, "too late": 1, "in parts": 3, "expired unread": 4})
    assert summary(counts, "clicks") == (
        "Dead letters now accepted and sent to clicks: 7; 2 still refused; 1 too late for the job; 3 incomplete; 4 expired unread\n"
    )


MISTAKES = {
    "no store": (["--mysql=mysql://app@127.0.0.1:1/clicks"], "2003 CR_CONN_HOST_ERROR: nothing answers there"),
    "no servers": (["--topic=clicks", "--dead_letters=kafka:rejected"], "--bootstrap_servers or --topic is missing"),
    "bad place": (
        ["--bootstrap_servers=127.0.0.1:1", "--topic=c", "--dead_letters=x"],
        "--dead_letters=x: write mysql",
    ),
    "no broker": (["--bootstrap_servers=127.0.0.1:1", "--topic=c", "--dead_letters=kafka:r"], "127.0.0.1:1"),
    "password itself": (
        ["--bootstrap_servers=127.0.0.1:1", "--topic=c", "--mysql=mysql://app@h:1/c", "--mysql_password=pw"],
        "env:NAME",
    ),
}


@pytest.mark.parametrize("name", MISTAKES)
def test_a_mistake_is_one_line(name, capsys, tmp_path, monkeypatch) -> None:
    monkeypatch.chdir(tmp_path)
    arguments, says = MISTAKES[name]
    assert main(["replay-dead-letters", *arguments]) == 2
    said = capsys.readouterr()
    assert (said.out, said.err.count("\n")) == ("", 1)
    assert says in said.err
    assert list(tmp_path.iterdir()) == []


def test_an_sqlite_file_without_the_table_is_no_traceback(tmp_path, kafka, capsys) -> None:
    topic = kafka.create_topic(tmp_path.name.replace("_", "-") + "-sqlite")
    place = [f"--bootstrap_servers={kafka.address}", f"--topic={topic}", f"--dead_letters=file:{tmp_path / 'x.db'}"]
    assert main(["replay-dead-letters", *place]) == 2
    assert "There are no dead letters in" in capsys.readouterr().err
    sqlite3.connect(tmp_path / "x.db").close()
    (tmp_path / "x.db").touch()
    assert main(["replay-dead-letters", *place]) == 2
    assert capsys.readouterr().err.count("\n") == 1


def test_a_record_goes_back_as_it_was_in_the_topic() -> None:
    raw = b'{"value":{"a":1},"key":"k","headers":{"h": "2", "gone": null}}'
    assert _message(raw, 3) == Record(b'{"a":1}', b"k", 3, (("h", b"2"),))
    assert _message(b'{"value":1}', 3) == Record(b'{"value":1}', None, 3)
