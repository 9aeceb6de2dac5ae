"""What is said of an outage: the first failure, one a minute, the end."""

import logging
import threading

from clickstream.io import outage
from clickstream.io.outage import OutageLog
from clickstream.io.watchdog import Watchdog


def test_an_outage_is_told_once_a_minute_and_at_its_end(caplog) -> None:
    now = [100.0]
    log = OutageLog(logging.getLogger("outage"), "Elasticsearch", "clickstream.elasticsearch", clock=lambda: now[0])
    log.worked()
    for _ in range(1000):  # 125 s of attempts
        log.failed("connection refused")
        now[0] += 0.125
    log.worked()
    log.worked()
    log.failed("too many requests")
    assert [record.message for record in caplog.records] == [
        "Elasticsearch: trying again. connection refused",
        "Elasticsearch: trying again, for 60 s so far. connection refused",
        "Elasticsearch: trying again, for 120 s so far. connection refused",
        "Elasticsearch: back after 125 s.",
        "Elasticsearch: trying again. too many requests",
    ]


def test_a_write_that_hangs_is_told_after_ten_seconds_and_when_it_is_over(caplog, monkeypatch) -> None:
    now = [100.0]
    watchdog = Watchdog(clock=lambda: now[0])
    monkeypatch.setattr(watchdog, "_watch", lambda: None)
    monkeypatch.setattr(outage, "WATCHDOG", watchdog)
    log = OutageLog(logging.getLogger("outage"), "The database", "clickstream.sql", "it hangs", clock=lambda: now[0])
    with log.attempt():
        for _ in range(80):
            now[0] += 1
            watchdog.look()
    log.worked()
    with log.attempt():
        now[0] += 9
        watchdog.look()
    log.worked()
    assert [record.message for record in caplog.records] == [
        "The database: no answer for 10 s, still waiting: it hangs.",
        "The database: no answer for 70 s, still waiting: it hangs.",
        "The database: back after 80 s.",
    ]


def test_the_watchdog_looks_by_itself() -> None:
    told: list[float] = []
    watchdog = Watchdog(patience=0.5)
    with watchdog.over(told.append):
        for _ in range(200):
            if told:
                break
            threading.Event().wait(0.1)
    assert told[0] >= 0.5
