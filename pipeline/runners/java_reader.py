"""`--kafka_reader=java`: Beam's cross-language reader in the live job, where it can be used."""

from apache_beam.options.pipeline_options import PipelineOptions

from clickstream.io.errors import UserError
from clickstream.io.kafka import KafkaConnection, ReadFromKafkaByJava, load_kafka_config, open_consumer
from clickstream.pipeline.options import KafkaOptions
from clickstream.pipeline.runners.engine import on_prism


def read_by_java(options: PipelineOptions) -> ReadFromKafkaByJava:
    """The source, from the options."""
    kafka = options.view_as(KafkaOptions)
    return ReadFromKafkaByJava(
        bootstrap_servers=kafka.bootstrap_servers,
        topic=kafka.topic,
        group_id=kafka.group_id,
        start=kafka.start,
        expansion_service=kafka.kafka_expansion_service,
        kafka_config=load_kafka_config(kafka.kafka_config) if kafka.kafka_config else {},
    )


def check_reader(options: PipelineOptions) -> None:
    """Refuses the Java reader where it would lose events.

    Raises:
        UserError: It's to end by itself, which it can't; or the runner has one watermark for many partitions.
    """
    kafka = options.view_as(KafkaOptions)
    if kafka.kafka_reader != "java":
        return
    if kafka.until:
        message = f"--until={kafka.until} needs --kafka_reader=native: Beam's Java reader has no end."
        raise UserError(message)
    if not on_prism(options):  # which keeps one watermark for all partitions
        return
    config = load_kafka_config(kafka.kafka_config) if kafka.kafka_config else {}
    with open_consumer(KafkaConnection(kafka.bootstrap_servers, kafka.group_id, config)) as consumer:
        partitions = len(consumer.partitions(kafka.topic))
    if partitions > 1:
        message = (
            f"--kafka_reader=java loses events of {kafka.topic} on Prism, which keeps one watermark for its {partitions} "
            "partitions: use --kafka_reader=native, or a runner such as Flink or Dataflow."
        )
        raise UserError(message)
