"""Which of Kafka's errors are waited out."""

import pytest
from confluent_kafka import KafkaError

from clickstream.io.kafka.errors import may_pass


@pytest.mark.parametrize(
    "name",
    [
        "_TRANSPORT",
        "_ALL_BROKERS_DOWN",
        "COORDINATOR_LOAD_IN_PROGRESS",  # a broker that has just come back
        "COORDINATOR_NOT_AVAILABLE",
        "NOT_COORDINATOR",
        "LEADER_NOT_AVAILABLE",
        "NOT_ENOUGH_REPLICAS",
        "REQUEST_TIMED_OUT",
    ],
)
def test_what_passes_by_itself_is_waited_for(name):
    assert may_pass(KafkaError(getattr(KafkaError, name)))


@pytest.mark.parametrize("name", ["_AUTHENTICATION", "GROUP_AUTHORIZATION_FAILED", "INVALID_GROUP_ID"])
def test_what_a_person_must_mend_is_told(name):
    assert not may_pass(KafkaError(getattr(KafkaError, name)))
