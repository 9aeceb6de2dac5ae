"""A log in pieces into MySQL or MariaDB and Elasticsearch; and jobs of other settings over the same tables, which are refused."""

import json
import subprocess
import sys
import time
from itertools import pairwise

import pytest
from e2e.live_stores import Bench
from e2e.test_pieces import LOG, PIECE_1, POLICIES, counted, expected, text
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from clickstream.pipeline.__main__ import main

OPTIONS, RULES = POLICIES["dwell"]


class Servers(Bench):
    """The stores without Kafka."""

    def __post_init__(self) -> None:
        self.database = self.index = self.sql_server.create_database()

    def options(self, *kinds: str) -> list[str]:
        mysql = [f"--mysql={self.sql_server.url(self.database)}", "--mysql_password=env:TEST_SQL_PASSWORD"]
        index = [f"--elasticsearch={self.elasticsearch.address}", f"--elasticsearch_index={self.index}"]
        chosen = [*(mysql if "mysql" in kinds else []), *(index if "elasticsearch" in kinds else [])]
        return [*chosen, f"--output_dir={self.folder / 'out'}"]

    def batch(self, name: str, *options: str, kinds: tuple[str, ...] = ("mysql", "elasticsearch")) -> int:
        return main([f"--input={self.folder / name}", *self.options(*kinds), *options])


@pytest.fixture
def servers(sql_server, elasticsearch, tmp_path, monkeypatch) -> Servers:
    monkeypatch.setenv("TEST_SQL_PASSWORD", sql_server.password)
    return Servers(None, sql_server, elasticsearch, "", tmp_path)


@settings(
    max_examples=2,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
    phases=[Phase.explicit, Phase.reuse, Phase.generate],
)
@given(edges=st.lists(st.integers(0, len(LOG)), min_size=1, max_size=2), mixed=st.booleans())
def test_however_a_log_is_cut_servers_have_the_rows_of_one_run(servers, tmp_path_factory, edges, mixed) -> None:
    servers.__post_init__()
    servers.folder = tmp_path_factory.mktemp("cut")
    records = sorted(LOG, key=lambda record: record[-9:]) if mixed else LOG
    edges = [0, *sorted(edges), len(records)]
    for start, end in pairwise(edges):
        if start < end:
            (servers.folder / f"{start}.log").write_bytes(text(records[start:end]))
            assert servers.batch("*.log", *OPTIONS) == 0
    for rollup in ("", "_1h", "_1d"):
        right = expected(LOG, rollup, **RULES)
        assert counted(servers.sql_rows(rollup)) == counted(servers.documents(rollup)) == right
    assert not (servers.folder / "out/clickstream.db").exists()


@pytest.mark.parametrize("kinds", [("mysql",), ("elasticsearch",)])
def test_either_server_alone(servers, kinds, capsys) -> None:
    for name, records in (("1", PIECE_1[:10]), ("2", PIECE_1[10:])):
        (servers.folder / name).write_bytes(text(records))
        assert servers.batch(name, kinds=kinds) == 0
    said = capsys.readouterr().out
    assert ("Results: MySQL at" in said, "Results: Elasticsearch at" in said) == (
        "mysql" in kinds,
        "elasticsearch" in kinds,
    )
    (row,) = (servers.sql_rows() if "mysql" in kinds else servers.documents()).values()
    assert (row.clicks, row.unique_users) == (16, 16)


def test_a_run_that_is_killed_is_made_good_by_the_next(servers) -> None:
    (servers.folder / "1.log").write_bytes(text(LOG[:250]))
    assert servers.batch("1.log") == 0
    (servers.folder / "2.log").write_bytes(text(LOG[250:]))
    command = [sys.executable, "-m", "clickstream.pipeline", f"--input={servers.folder / '*.log'}"]
    job = subprocess.Popen([*command, *servers.options("mysql", "elasticsearch")], stdout=subprocess.DEVNULL)
    time.sleep(6)
    job.kill()
    job.wait()
    assert servers.batch("*.log") == 0
    right = expected(LOG, session_gap_seconds=1800)
    assert counted(servers.sql_rows()) == counted(servers.documents()) == right


def test_a_folder_that_is_lost_is_said_and_not_counted_short(servers, capsys) -> None:
    (servers.folder / "1").write_bytes(text(PIECE_1[:10]))
    (servers.folder / "2").write_bytes(text(PIECE_1[10:]))
    assert servers.batch("1") == 0
    (servers.folder / "out").rename(servers.folder / "away")
    assert servers.batch("2") == 2
    assert "holds rows of logs whose clicks are kept by --raw_store=files, not where" in capsys.readouterr().err
    assert servers.batch("2", "--raw_store=none") == 2
    (servers.folder / "away").rename(servers.folder / "out2")
    options = servers.options("mysql", "elasticsearch")[:-1]
    assert main([f"--input={servers.folder / '2'}", *options, f"--output_dir={servers.folder / 'out2'}"]) == 0
    (row,) = servers.sql_rows().values()
    assert row.clicks == 16


def test_other_settings_over_the_same_rows_are_refused_or_restate_them(servers, capsys) -> None:
    (servers.folder / "1").write_bytes(text(PIECE_1))
    assert servers.batch("1") == 0
    capsys.readouterr()
    assert servers.batch("1", "--window_seconds=4") == 2
    said = capsys.readouterr().err
    assert said.count("\n") == 1
    assert "holds rows of --window_seconds=300, not 4: give --window_seconds=300, " in said
    store = ["--raw_store=files", *servers.options("mysql", "elasticsearch"), "--window_seconds=4"]
    span = ["--from=2026-11-01", "--to=2026-11-02"]
    for command in ("verify", "reprocess"):
        assert main([command, *store, *span]) == 2
        assert "--window_seconds=300, not 4" in capsys.readouterr().err
    assert main(["reprocess", *store, "--change_settings"]) == 0
    right = [4, 4, 4, 4]
    assert [row.clicks for row in servers.sql_rows().values() if row.clicks] == right
    assert [row.clicks for row in servers.documents().values() if row.clicks] == right
    assert main(["verify", *store, *span]) == 0
    assert servers.batch("1") == 2
    capsys.readouterr()
    for kind in ("mysql", "elasticsearch"):
        assert main(["query", *servers.options(kind), "--format=json"]) == 0
        assert json.loads(capsys.readouterr().out)["clicks"] == 16
        assert main(["query", *servers.options(kind), "--url=https://a.example/p", "--url_normalisation=off"]) == 2
        assert "--url_normalisation=on, not off" in capsys.readouterr().err


def test_pseudonyms_of_another_key_are_told_by_a_check_value(servers, capsys, monkeypatch) -> None:
    (servers.folder / "1").write_bytes(text(PIECE_1))
    keys = {"A": "a1" * 32, "B": "b2" * 32}
    for name, key in keys.items():
        monkeypatch.setenv(f"KEY_{name}", key)
    assert servers.batch("1", "--hash_user_ids=env:KEY_A", kinds=("mysql",)) == 0
    noted = dict(servers.sql("SELECT name, setting FROM page_metrics_settings"))
    assert noted["window_seconds"] == "300"
    assert not any(key in str(noted) for key in keys.values())
    capsys.readouterr()
    for options in (["--hash_user_ids=env:KEY_B"], []):
        assert servers.batch("1", *options, kinds=("mysql",)) == 2
        assert "give --hash_user_ids as of the job that wrote them" in capsys.readouterr().err
