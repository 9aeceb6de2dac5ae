"""What somebody has to put right ends a live job in one line with cause and cure, on stderr, /healthz and /status.json; then it goes on by itself."""

import re
import signal
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import pymysql
import pytest
from e2e.live_harness import LiveJob
from e2e.live_stores import Bench
from e2e.test_live_health import Health, away
from e2e.test_live_survives import TIMING, assert_exact_in_the_end, fed

pytestmark = pytest.mark.timeout(900)
OTHERWISE_SAID = ("it restarts in", "trying again", "back after")  # of restarts and outages, the one before included
SECRETS = re.compile("(?i)pass|secret|token|key")


def ended_by(
    job: LiveJob, health: Health, says: tuple[str, ...], break_: Callable[[], object], mend: Callable[[], object]
) -> None:
    """Breaks something, until the job has ended at least twice for it; it is never well meanwhile. Mends it, and waits until all is well.

    It says one of these each time, the last at the end: the check at a restart may know more than the write that failed.
    """
    said = len(job.err)
    break_()
    try:
        health.wait(503, says[-1], 120)
        seen: set[int] = set()

        def twice() -> bool:
            seen.add(health.ask("healthz")[0])
            return job.err[said:].count("it restarts in") >= 2

        job.wait_until(twice, 120, "two restarts")
        assert seen == {503}
        assert says[-1] in health.status()["last_error"]
    finally:
        mend()
    lines = [line for line in job.err[said:].splitlines() if not any(each in line for each in OTHERWISE_SAID)]
    assert lines
    assert [line for line in lines if not any(each in line for each in says)] == []
    health.wait(200, "ok", 120)


class Rotated:
    """An account of the database whose password changes, and a file that holds it, which the job is told of."""

    def __init__(self, bench: Bench, file: Path) -> None:
        self._bench, self._file, self._password = bench, file, "before"
        file.write_text(self._password)
        bench.sql(f"CREATE USER 'rotated'@'%' IDENTIFIED BY '{self._password}'")
        bench.sql(f"GRANT ALL ON `{bench.database}`.* TO 'rotated'@'%'")
        url = bench.sql_server.url(bench.database)
        self.options = (f"--mysql={url.replace('//app@', '//rotated@')}", f"--mysql_password=file:{file}")

    def rotate(self) -> None:
        """Another password, and no connection is left that was made with the one before."""
        self._password = "behind"
        self._bench.sql(f"ALTER USER 'rotated'@'%' IDENTIFIED BY '{self._password}'")
        for (number,) in self._bench.sql("SELECT id FROM information_schema.processlist WHERE user = 'rotated'"):
            with suppress(pymysql.err.OperationalError):  # gone meanwhile
                self._bench.sql(f"KILL {number}")

    def tell(self) -> None:
        """The file says so too."""
        self._file.write_text(self._password)


def test_a_fatal_cause_is_one_line_and_the_job_not_well_before_it_has_written(
    kafka, mariadb, elasticsearch, prism, tmp_path
) -> None:
    bench = Bench(kafka, mariadb, elasticsearch, prism, tmp_path)
    account = Rotated(bench, tmp_path / "password")
    job = bench.job(*TIMING, "--health_port=0", "--max_restarts=1000", *account.options)
    job.start()
    try:
        health = Health(job)
        with fed(bench, seed=41):
            health.wait(200, "ok", 90)
            assert_prism_has_no_secrets(job)
            job.wait_until(lambda: min(map(len, bench.sums())) > 0, 60, "the first window")

            print(away(mariadb, health, "The database has not answered a write for", frozen=True))
            assert "The database: no answer for 1" in job.err

            def block(on: bool) -> None:
                bench.ask(f"{bench.index}/_settings", {"index.blocks.write": on}, "PUT")

            ended_by(job, health, ("403 cluster_block_exception",), lambda: block(on=True), lambda: block(on=False))
            refused = ("user name or password is wrong: correct them",)
            ended_by(job, health, refused, account.rotate, account.tell)
            drop = "ALTER TABLE page_metrics RENAME COLUMN bounces TO bounced"
            add = "ALTER TABLE page_metrics RENAME COLUMN bounced TO bounces"
            missing = ("a column is missing: run setup-sinks", "column bounces: found none")
            ended_by(job, health, missing, lambda: bench.sql(drop), lambda: bench.sql(add))
        assert_exact_in_the_end(bench, job)
        job.stop(signal.SIGINT)
        assert list(job.tmpdir.iterdir()) == []
    finally:
        job.kill()
    assert "Traceback" not in job.err


def assert_prism_has_no_secrets(job: LiveJob) -> None:
    pid = next(pid for pid in job.processes() if Path(f"/proc/{pid}/comm").read_text() == "prism\n")
    names = {each.partition(b"=")[0].decode() for each in Path(f"/proc/{pid}/environ").read_bytes().split(b"\0")}
    assert [name for name in names if SECRETS.search(name)] == []
