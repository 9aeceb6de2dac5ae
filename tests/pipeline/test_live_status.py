"""The live job's figures as it goes on."""

from clickstream.pipeline.live.status import LiveStatus
from clickstream.pipeline.watch.health import Limits


def test_the_rate_is_that_of_the_last_seconds_though_counts_come_by_fits_and_starts() -> None:
    status = LiveStatus("clicks", Limits(60))
    counts = {0: 0, 1: 0, 2: 1000, 3: 1000, 4: 2000, 5: 2000, 6: 2000, 7: 4000, 12: 4000, 13: 4000}
    rates = {second: status._rate_at(second, read) for second, read in counts.items()}
    assert rates == {0: 0, 1: 0, 2: 500, 3: 1000 / 3, 4: 500, 5: 400, 6: 400, 7: 600, 12: 0, 13: 0}
