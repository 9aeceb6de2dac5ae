"""Traffic of the present for the toy job, and what must hold of what the job has sunk and committed."""

import json
import time
from collections import defaultdict

from tests.services.kafka_job import WINDOW_MS
from tests.services.kafka_topic import PARTITIONS, committed, event, send


def lines(path):
    return [json.loads(line) for line in path.read_text().splitlines() if line.endswith("]")] if path.exists() else []


class Traffic:
    """Sends events of the present, a little out of order, unevenly over three of the four partitions."""

    def __init__(self, kafka, topic):
        self.windows = defaultdict(set)
        self._kafka, self._topic, self._ends = kafka, topic, [0] * PARTITIONS

    def send(self, seconds, rate=400):
        until, number = time.monotonic() + seconds, 0
        while time.monotonic() < until:
            now = int(time.time() * 1000)
            batch = []
            for _ in range(rate // 10):
                number += 1
                partition = (0, 0, 1, 0, 0, 2)[number % 6]
                moment = now - number * 7919 % 1500
                batch.append((partition, event(number, moment)))
                self.windows[moment // WINDOW_MS].add((partition, self._ends[partition]))
                self._ends[partition] += 1
            send(self._kafka, self._topic, batch)
            time.sleep(0.1)

    @property
    def ends(self):
        return list(self._ends)


def wait_for(condition, seconds, what):
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, what
        time.sleep(0.3)


def check_nothing_is_committed_ahead(kafka, topic, folder):
    """What is committed has been sunk, or was too late. Offsets are read first: the sink may only be further."""
    offsets = committed(kafka, topic, topic)
    done = {tuple(place) for name in ("sunk", "late") for _, found in lines(folder / name) for place in found}
    missing = [(p, o) for p, end in enumerate(offsets) for o in range(end) if (p, o) not in done]
    assert not missing
    return offsets


def fullest(folder):
    """The fullest pane of each window: what a sink that keeps the highest version holds."""
    best = defaultdict(set)
    for window, found in lines(folder / "sunk"):
        places = {tuple(place) for place in found}
        best[window] = max(best[window], places, key=len)
    return best


def wait_until_committed(kafka, topic, traffic, folder, seconds=90):
    def reached():
        return check_nothing_is_committed_ahead(kafka, topic, folder) == traffic.ends

    wait_for(reached, seconds, f"{committed(kafka, topic, topic)} instead of {traffic.ends}")


def sunk_by_parity(traffic):
    return {window: places for window, places in traffic.windows.items() if places}
