"""Kafka: `ReadFromKafka` (batches, watermark on event time), `CommitOffsets` (only what every sink has), and dead letters in a topic.

May import: `clickstream.transforms`' ground and the modules directly in `clickstream.io`.
"""

from clickstream.io.kafka.around import unwrapped
from clickstream.io.kafka.client import KafkaConnection, check_kafka, open_consumer
from clickstream.io.kafka.commit import CommitOffsets
from clickstream.io.kafka.config import KafkaConfig, load_kafka_config, resolve_kafka_config
from clickstream.io.kafka.dead_letter_reader import DeadLetterReader, KafkaLetter
from clickstream.io.kafka.dead_letters import WriteDeadLettersToKafka
from clickstream.io.kafka.java import ReadFromKafkaByJava
from clickstream.io.kafka.produce import ANY_PARTITION, ConfirmedWriter, Record
from clickstream.io.kafka.read import ReadFromKafka

__all__ = [
    "ANY_PARTITION",
    "CommitOffsets",
    "ConfirmedWriter",
    "DeadLetterReader",
    "KafkaConfig",
    "KafkaConnection",
    "KafkaLetter",
    "ReadFromKafka",
    "ReadFromKafkaByJava",
    "Record",
    "WriteDeadLettersToKafka",
    "check_kafka",
    "load_kafka_config",
    "open_consumer",
    "resolve_kafka_config",
    "unwrapped",
]
