"""What is said of an outage: the first failure, one a minute, the end."""

import logging

from clickstream.io.outage import OutageLog


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
