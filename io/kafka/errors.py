# ruff: noqa: SLF001 - the names of librdkafka's own errors begin with an underscore
"""What Kafka's errors mean to the person who runs the job."""

from confluent_kafka import KafkaError

from clickstream.io.errors import UserError

_CERTAIN = (
    *(KafkaError._AUTHENTICATION, KafkaError._SSL, KafkaError.SASL_AUTHENTICATION_FAILED),
    KafkaError.GROUP_AUTHORIZATION_FAILED,
)
_WAITING = (  # what the protocol calls retriable: the client says so of few errors that it gives out
    *(KafkaError._TRANSPORT, KafkaError._TIMED_OUT, KafkaError._ALL_BROKERS_DOWN, KafkaError._RESOLVE),
    *(KafkaError._WAIT_COORD, KafkaError._TIMED_OUT_QUEUE),
    *(KafkaError.COORDINATOR_LOAD_IN_PROGRESS, KafkaError.COORDINATOR_NOT_AVAILABLE, KafkaError.NOT_COORDINATOR),
    *(KafkaError.LEADER_NOT_AVAILABLE, KafkaError.NOT_LEADER_FOR_PARTITION, KafkaError.REPLICA_NOT_AVAILABLE),
    *(KafkaError.REQUEST_TIMED_OUT, KafkaError.NETWORK_EXCEPTION, KafkaError.BROKER_NOT_AVAILABLE),
    *(KafkaError.NOT_ENOUGH_REPLICAS, KafkaError.NOT_ENOUGH_REPLICAS_AFTER_APPEND, KafkaError.KAFKA_STORAGE_ERROR),
    *(KafkaError.OFFSET_NOT_AVAILABLE, KafkaError.UNSTABLE_OFFSET_COMMIT, KafkaError.REBALANCE_IN_PROGRESS),
)
_TLS_SIGNS = ("incorrect security.protocol", "connecting to a PLAINTEXT broker")
_LOGIN = "Kafka at {servers} refuses the login: check sasl.mechanism, sasl.username and sasl.password in --kafka_config"
_TLS = (
    "Kafka at {servers} and this client don't agree on TLS: "
    "check the port, and security.protocol and ssl.ca.location in --kafka_config"
)
_GONE = "An offset of topic {topic} has expired or was never there: choose --start=earliest or --start=latest"
_CURES = {
    KafkaError._AUTHENTICATION: _LOGIN,
    KafkaError.SASL_AUTHENTICATION_FAILED: _LOGIN,
    KafkaError._SSL: _TLS,
    KafkaError._RESOLVE: "The host of Kafka at {servers} is not known: check --bootstrap_servers",
    KafkaError.UNKNOWN_TOPIC_OR_PART: "Topic {topic} doesn't exist at {servers}: check --topic, or create it",
    KafkaError._UNKNOWN_TOPIC: "Topic {topic} doesn't exist at {servers}: check --topic, or create it",
    KafkaError.TOPIC_AUTHORIZATION_FAILED: (
        "This user may not use topic {topic} at {servers}: grant it READ and DESCRIBE, or WRITE for dead letters"
    ),
    KafkaError.GROUP_AUTHORIZATION_FAILED: (
        "This user may not use the consumer group {group} at {servers}: grant it READ, or choose another --group_id"
    ),
    KafkaError.CLUSTER_AUTHORIZATION_FAILED: "This user may not write to {topic} at {servers}: grant it WRITE",
    KafkaError._AUTO_OFFSET_RESET: _GONE,
    KafkaError.OFFSET_OUT_OF_RANGE: _GONE,
    KafkaError.UNKNOWN_MEMBER_ID: (
        "Consumer group {group} is in use by another kind of consumer: stop that, or choose another --group_id"
    ),
    KafkaError.INVALID_GROUP_ID: "{group!r} is no valid consumer group: set --group_id",
}
_AWAY = "No Kafka broker answers at {servers}: is it running, and are host, port and security.protocol right?"


def may_pass(error: KafkaError) -> bool:
    """Whether waiting may cure it: a broker is away, a leader changes."""
    return error.retriable() or error.code() in _WAITING


def is_certain(error: KafkaError) -> bool:
    """Whether a background thread's complaint tells the cause: waiting for an answer won't tell more."""
    return error.code() in _CERTAIN or _is_tls(error)


def _is_tls(error: KafkaError) -> bool:
    return any(sign in error.str() for sign in _TLS_SIGNS)


def explain_error(error: KafkaError, servers: str, group: str, topic: str = "") -> UserError:
    """Turns a client's error into one line: what is wrong and what to do."""
    names = {"servers": servers, "group": group, "topic": topic}
    said = " ".join(error.str().split())
    cure = _TLS if _is_tls(error) else _CURES.get(error.code())
    if cure:
        return UserError(cure.format(**names) + ".")
    if error.code() in _WAITING:
        return UserError(_AWAY.format(**names))
    return UserError(f"Kafka at {servers} refuses ({error.name()}: {said}).")
