"""`run_flink.sh` before the first event: what is set for exactness, and each mistake told in one line."""

import socket
import sys
from pathlib import Path

import apache_beam as beam
import pytest
from apache_beam.options.pipeline_options import PortableOptions
from live_graph import wire_live

from clickstream.io.errors import UserError
from clickstream.io.flink import FlinkCluster
from clickstream.pipeline.__main__ import main
from clickstream.pipeline.commands.flink import checkpoint_place
from clickstream.pipeline.options import KafkaOptions, MetricOptions, read_options
from clickstream.pipeline.runners.flink.job import FlinkJob
from clickstream.pipeline.runners.flink.options import (
    flink_settings,
    parallelism,
    read_flink_options,
    with_runner_options,
)
from clickstream.pipeline.runners.flink.server import find_job_server

SOURCE = ["--bootstrap_servers=127.0.0.1:1", "--topic=clicks"]
LOCAL = [*SOURCE, "--flink_master=[local]"]
CLUSTER = [*SOURCE, "--flink_master=127.0.0.1:1"]


def refused(arguments: list[str]) -> str:
    with pytest.raises(UserError) as raised:
        read_flink_options(arguments)
    message = str(raised.value)
    assert "\n" not in message
    return message


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        ([*LOCAL, "--save_point_path=file:///x"], "Unknown option --save_point_path=file:///x"),
        ([*LOCAL, "--checkpointing_intervall=5"], "Unknown option --checkpointing_intervall=5"),
        (SOURCE, "--flink_master is missing"),
        (["--flink_master=[local]", "--input=clicks.ndjson"], "--bootstrap_servers is missing"),
        ([*LOCAL, "--until=now"], "--until isn't for Flink: the job goes on until it is stopped"),
        ([*LOCAL, "--runner=FlinkRunner"], "can't be chosen here"),
        (CLUSTER, "--environment_type is missing: EXTERNAL"),
        ([*CLUSTER, "--environment_type=EXTERNAL"], "needs --environment_config=HOST:PORT"),
        ([*CLUSTER, "--environment_type=LOOPBACK", "--detach"], "--detach needs workers of their own"),
        ([*LOCAL, "--flink_conf=state.backend.type"], "write KEY=VALUE"),
        ([*LOCAL, "--checkpoint_interval=soon"], "'soon' is no duration"),
    ],
)
def test_a_mistake_is_told(arguments, says) -> None:
    assert says in refused(arguments)


LOGS = ["--input=clicks.ndjson"]
ELSEWHERE = ["--flink_master=127.0.0.1:1", "--environment_type=EXTERNAL", "--environment_config=127.0.0.1:1"]


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (LOGS, "--flink_master is missing"),
        (["verify"], "--flink_master is missing"),
        ([*LOGS, "--flink_master=[local]", "--savepoint_path=file:///x"], "--savepoint_path is for the live job"),
        ([*LOGS, "--flink_master=[local]", "--page"], "--page isn't for Flink"),
        ([*LOGS, "--flink_master=127.0.0.1:1"], "--environment_type is missing: EXTERNAL"),
        ([*LOGS, *ELSEWHERE], "name --mysql or --elasticsearch"),
        ([*LOGS, *ELSEWHERE, "--mysql=mysql://a@b/c", "--raw_store=files"], "no --raw_store=files"),
        (["reprocess", *ELSEWHERE], "reprocess and verify leave what they find in this machine's folders"),
        ([*LOGS, *ELSEWHERE, "--mysql=mysql://a@b/c"], "No Flink answers at http://127.0.0.1:1"),
    ],
)
def test_a_bounded_jobs_mistake_is_a_line(arguments, says, capsys) -> None:
    assert main(["flink", *arguments]) == 2
    said = capsys.readouterr().err
    assert says in said
    assert said.count("\n") == 1


def test_a_mistake_ends_with_status_2_and_a_line(capsys, monkeypatch) -> None:
    monkeypatch.setenv("CLICKSTREAM_SUPERVISED", "1")  # the job itself, in this process
    assert main(["flink", *CLUSTER, "--environment_type=LOOPBACK"]) == 2
    said = capsys.readouterr().err
    assert said.startswith("No Flink answers at http://127.0.0.1:1 (")
    assert said.count("\n") == 1


@pytest.mark.parametrize(
    ("arguments", "shards"),
    [([], 1), (["--parallelism=2"], 2), (["--parallelism", "3"], 12), (["--parallelism=8", "--shards=16"], 16)],
)
def test_shards_are_as_many_as_keep_the_workers_busy(arguments, shards) -> None:
    assert read_flink_options([*LOCAL, *arguments]).view_as(MetricOptions).shards == shards


def test_what_exactness_needs_is_set() -> None:
    options = read_flink_options([*LOCAL, "--parallelism=2", "--checkpoint_interval=3s"])
    assert options.view_as(KafkaOptions).kafka_splits == "per_partition"
    assert options.view_as(PortableOptions).environment_type == "LOOPBACK"
    assert parallelism(options) == 2
    submitted = with_runner_options(options, "localhost:1", "a-name")
    flags = submitted._flags
    assert {"--finish_bundle_before_checkpointing", "--checkpointing_interval=3000", "--sdk_worker_parallelism=2"} <= {
        *flags
    }
    assert submitted.view_as(KafkaOptions).kafka_splits == "per_partition"


@pytest.mark.parametrize(("runner", "by_timers"), [("PrismRunner", True), ("FlinkRunner", False)])
def test_windows_are_summed_up_by_timers_on_prism_and_by_triggers_elsewhere(runner, by_timers) -> None:
    options = read_options(SOURCE) if by_timers else read_flink_options(LOCAL)
    pipeline = beam.Pipeline(runner, options=options)
    wire_live(pipeline, options)
    steps = {label.split("/")[1] for label in pipeline.applied_labels if label.startswith("SumByPage/")}
    assert ("SumWindows" in steps, "Sums" in steps) == (by_timers, not by_timers)


def test_the_settings_of_an_embedded_flink_keep_checkpoints_and_go_on_from_one() -> None:
    options = read_flink_options(
        [*LOCAL, "--savepoint_path=file:///kept", "--flink_conf=state.backend.type=rocksdb", "--flink_conf=a.b=c=d"]
    )
    settings = flink_settings(options, "file:///place", 4711)
    assert settings["execution.checkpointing.externalized-checkpoint-retention"] == "RETAIN_ON_CANCELLATION"
    assert settings["state.checkpoints.dir"] == settings["state.savepoints.dir"] == "file:///place"
    assert settings["execution.savepoint.path"] == "file:///kept"
    assert settings["rest.bind-port"] == "4711"
    assert (settings["state.backend.type"], settings["a.b"]) == ("rocksdb", "c=d")


def test_an_empty_savepoint_takes_an_earlier_one_back() -> None:
    """So the supervisor begins at the committed offsets, whatever the first attempt was given."""
    options = read_flink_options([*LOCAL, "--savepoint_path=file:///kept", "--savepoint_path="])
    assert "execution.savepoint.path" not in flink_settings(options, "file:///place", 1)
    assert not [flag for flag in options._flags if "savepoint" in flag]


def lacking(monkeypatch, arguments: list[str]) -> str:
    with pytest.raises(UserError) as raised:
        find_job_server(read_flink_options([*LOCAL, *arguments]), None)
    message = str(raised.value)
    assert "\n" not in message
    return message


def fake_java(folder: Path, version: str) -> str:
    """A program that says it is such a Java."""
    java = folder / "java"
    java.write_text(f"#!/bin/sh\necho 'openjdk version \"{version}\" 2026-01-01' >&2\n")
    java.chmod(0o755)
    return f"--job_server_java_launcher={java}"


def test_a_job_server_is_a_jar_or_a_folder_of_jars(tmp_path) -> None:
    (tmp_path / "beam-runners-flink-1.19-2.62.0.jar").touch()
    java = fake_java(tmp_path, "17.0.1")
    for place, command in ((tmp_path, ["-cp", f"{tmp_path}/*"]), (next(tmp_path.glob("*.jar")), ["-jar"])):
        found = find_job_server(read_flink_options([*LOCAL, java, f"--flink_job_server={place}"]), None)
        assert found[0] == str(tmp_path / "java")
        assert set(command) <= set(found)


def test_one_on_path_is_taken(monkeypatch, tmp_path) -> None:
    program = tmp_path / "beam-flink-job-server"
    program.touch(mode=0o755)
    monkeypatch.setenv("PATH", str(tmp_path))
    assert find_job_server(read_flink_options(LOCAL), None) == [str(program)]


def test_what_is_missing_is_told(monkeypatch, tmp_path) -> None:
    (tmp_path / "jar").touch()
    given = [f"--flink_job_server={tmp_path / 'jar'}"]
    assert "is no jar and no folder" in lacking(monkeypatch, ["--flink_job_server=nowhere"])
    assert "holds no beam-runners-flink jar" in lacking(monkeypatch, [f"--flink_job_server={tmp_path}"])
    assert "Java is missing (no-java isn't on PATH): install" in lacking(
        monkeypatch, [*given, "--job_server_java_launcher=no-java"]
    )
    assert "is too old" in lacking(monkeypatch, [*given, fake_java(tmp_path, "8.0_402")])


def test_a_machine_that_reaches_no_download_is_told(monkeypatch, tmp_path) -> None:
    with socket.socket() as closed:
        closed.bind(("127.0.0.1", 0))
        monkeypatch.setenv("https_proxy", f"http://127.0.0.1:{closed.getsockname()[1]}")
        monkeypatch.setenv("PATH", str(Path(sys.executable).parent))
        said = lacking(monkeypatch, [f"--jar_cache_dir={tmp_path}"])
    assert "can't be downloaded" in said
    assert "--flink_job_server" in said


def test_a_cluster_of_a_release_that_beam_has_no_job_server_for_is_told() -> None:
    with pytest.raises(UserError, match=r"no job server for Flink 1\.17\.2, only for 1\.19"):
        find_job_server(read_flink_options([*CLUSTER, "--environment_type=LOOPBACK"]), "1.17.2")


class ConfiguredCluster(FlinkCluster):
    """One whose configuration is told."""

    def __init__(self, settings: dict[str, str]) -> None:
        super().__init__("127.0.0.1:1")
        self._settings = settings

    def setting(self, key: str) -> str | None:
        return self._settings.get(key)


def test_checkpoints_never_stay_in_the_memory_of_a_cluster() -> None:
    loopback = [*CLUSTER, "--environment_type=LOOPBACK"]
    kept = ConfiguredCluster({"state.checkpoints.dir": "s3://kept"})
    assert checkpoint_place(read_flink_options(loopback), kept) == "s3://kept"
    chosen = read_flink_options([*loopback, "--checkpoint_dir=file:///chosen"])
    assert checkpoint_place(chosen, kept) == "file:///chosen"
    with pytest.raises(UserError, match=r"--checkpoint_dir is missing, and the cluster has no state\.checkpoints\.dir"):
        checkpoint_place(read_flink_options(loopback), ConfiguredCluster({}))


class FailingCluster:
    """What Flink answers about a job whose workers find no table."""

    def __init__(self) -> None:
        self.asked, self.cancelled = 0, False

    def state(self, _job: str) -> str:
        return "RESTARTING"

    def restarts(self, _job: str) -> int:
        self.asked += 1
        return self.asked

    def cause(self, _job: str) -> str:
        return "java.lang.RuntimeException: …\nTraceback …\nclickstream.io.errors.UserError: No table: make it. [while running 'x']\n\tat a.b.C"

    def cancel(self, _job: str) -> None:
        self.cancelled = True


def test_a_job_that_fails_again_and_again_is_given_up_with_its_cause() -> None:
    cluster, said = FailingCluster(), list[str]()
    job = FlinkJob(cluster, "job", 2, said.append)  # type: ignore[arg-type]
    assert job.ended() is job.ended() is None
    with pytest.raises(
        UserError, match=r"Given up after 2 restarts without progress \(--max_restarts\): No table: make it"
    ):
        job.ended()
    assert cluster.cancelled
    assert said[0] == "Flink restarts the job from its last checkpoint (1): No table: make it."
