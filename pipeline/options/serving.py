"""Which option serves which command: the one table. An option that a command has no use for is refused there, with the cure.

Options of Beam aren't in it: they are taken by all.
"""

from collections.abc import Iterable, Sequence

from clickstream.io.errors import UserError
from clickstream.pipeline.argv import given

BATCH, LIVE, UNTIL, FLINK, DATAFLOW = "batch", "live", "until", "flink", "submit-dataflow"
REPROCESS, VERIFY, FORGET = "reprocess", "verify", "forget"
PAGE, QUERY, SETUP, REPLAY = "page", "query", "setup-sinks", "replay-dead-letters"

_GO_ON = {LIVE, FLINK}
_KAFKA = {*_GO_ON, UNTIL, DATAFLOW}
_SHOWN = {BATCH, LIVE, UNTIL}
_RESTATE = {REPROCESS, VERIFY, FORGET}
_COMPUTE = {*_KAFKA, BATCH, REPLAY, *_RESTATE}
ALL_COMMANDS = (BATCH, LIVE, UNTIL, FLINK, DATAFLOW, REPROCESS, VERIFY, FORGET, PAGE, QUERY, SETUP, REPLAY)
_ALL = set(ALL_COMMANDS)

_TABLE: tuple[tuple[str, Iterable[str]], ...] = (
    ("input input_container", {BATCH}),
    # Dead letters may go to a topic: whatever writes some needs the brokers.
    ("bootstrap_servers kafka_config", {*_KAFKA, REPROCESS, FORGET, REPLAY}),
    ("topic group_id", {*_KAFKA, REPLAY}),
    ("start disorder idle kafka_splits kafka_reader kafka_expansion_service", _KAFKA),
    ("schema_registry schema_registry_user schema_registry_password schema_registry_ca", _KAFKA),
    ("until", {UNTIL}),
    ("max_rejected_share", _SHOWN | _GO_ON),
    ("max_event_age max_clock_skew", {*_KAFKA, BATCH, REPLAY}),
    # A raw store's clicks are as these have made them: whoever computes again says so.
    ("url_normalisation tracking_parameters", {*_COMPUTE, QUERY}),
    ("event_format country_names unknown_country", _COMPUTE),
    ("hash_user_ids", _COMPUTE),
    ("time_spent session_gap deduplicate sketch_size shards", _COMPUTE),
    ("window_seconds rollups", {*_COMPUTE, SETUP}),
    ("breakdowns breakdown_values", {BATCH, REPLAY, *_RESTATE, SETUP}),
    ("time_zone", {*_COMPUTE, SETUP, PAGE}),
    ("allowed_lateness", {*_KAFKA, REPLAY}),
    ("early_results late_results", {*_GO_ON, DATAFLOW}),
    ("output_dir", _ALL - {DATAFLOW}),
    ("mysql mysql_password mysql_tls_ca", _ALL),
    ("elasticsearch_index", _ALL),
    ("elasticsearch elasticsearch_api_key elasticsearch_user elasticsearch_password elasticsearch_ca", _ALL),
    ("dead_letters", {*_KAFKA, BATCH, REPROCESS, FORGET, PAGE, SETUP, REPLAY}),
    (
        "raw_store raw_table cassandra cassandra_keyspace cassandra_user cassandra_password cassandra_ca hbase",
        {*_COMPUTE, SETUP},
    ),
    ("retention", {*_GO_ON, UNTIL, BATCH, REPROCESS}),
    ("max_restarts health_port health_host max_watermark_age", _GO_ON),
    ("check_servers", _KAFKA),
    ("page", _SHOWN),
    ("page_port page_host page_token", {*_SHOWN, PAGE}),
    ("health", {PAGE}),
    ("from to", {REPROCESS, VERIFY, QUERY}),
    ("every change_settings", {REPROCESS}),
    ("dry_run", {REPROCESS, DATAFLOW}),
    ("user", {FORGET}),
    ("url country format", {QUERY}),
    ("kibana elasticsearch_shards elasticsearch_replicas", {SETUP}),
    ("flink_job_server checkpoint_interval checkpoint_dir savepoint_path flink_conf detach", {FLINK}),
)
SERVED = {name: frozenset(commands) for names, commands in _TABLE for name in names.split()}

_NAMES = {BATCH: "the job over logs", LIVE: "the live job", UNTIL: "--until=now", FLINK: "Flink", DATAFLOW: "Dataflow"}
_LOGS_ELSEWHERE = (
    "it gets the live job: give --bootstrap_servers and --topic, and read logs by the job without a command."
)
_PAGE_ELSEWHERE = "the page is a command of its own: clickstream page --mysql=… or --elasticsearch=…; leave it out."
_CURES: dict[str, tuple[tuple[str, str], ...]] = {
    BATCH: (
        (
            "bootstrap_servers topic group_id start until disorder idle",
            "it reads a topic: give --bootstrap_servers and --topic too, or leave it out.",
        ),
    ),
    LIVE: (("input", "clicks come from the topic: leave it out, or --bootstrap_servers and --topic."),),
    UNTIL: (
        ("input", "clicks come from the topic: leave it out, or --bootstrap_servers and --topic."),
        ("early_results late_results", "results come once, at the end: leave it out."),
    ),
    FLINK: (
        ("until", "the job goes on until it is stopped: leave it out, or run clickstream --until=now without Flink."),
        ("page page_port page_host page_token health", _PAGE_ELSEWHERE),
    ),
    DATAFLOW: (
        ("input", _LOGS_ELSEWHERE),
        ("output_dir", "a worker's folder is gone with it: name --mysql or --elasticsearch."),
        ("until", "a Dataflow job goes on until it is cancelled: leave it out."),
        ("max_restarts", "Dataflow restarts what fails by itself: leave it out."),
        (
            "health_port health_host max_watermark_age",
            "Dataflow's own page shows health and watermark, and nothing of the job stays on this machine: leave it out.",
        ),
        ("page page_port page_host page_token health", _PAGE_ELSEWHERE),
        (
            "retention",
            "nothing of the job stays on this machine to do it: give it to reprocess --every=…, beside the job.",
        ),
    ),
}
_CURE = {(command, name): cure for command, cures in _CURES.items() for names, cure in cures for name in names.split()}


def serves(option: str, command: str) -> bool:
    """Whether a command has a use for an option; of Beam's nothing is known here, so it's said of them all."""
    return command in SERVED.get(option, {command})


def check_served(argv: Sequence[str], command: str) -> None:
    """Refuses what a command has no use for.

    Raises:
        UserError: The first such option, by name.
    """
    for name in sorted(given(argv)):
        if not serves(name, command):
            message = f"--{name} isn't for {_NAMES.get(command, command)}: {_cure(name, command)}"
            raise UserError(message)


def _cure(name: str, command: str) -> str:
    if (command, name) in _CURE:
        return _CURE[command, name]
    named = [_NAMES.get(other, other) for other in _in_order(SERVED[name])]
    return (
        f"leave it out; it is for {', '.join(named[:-1])} and {named[-1]}."
        if named[1:]
        else f"leave it out; it is for {named[0]}."
    )


def _in_order(commands: Iterable[str]) -> list[str]:
    return [command for command in ALL_COMMANDS if command in set(commands)]


def commands_of(option: str) -> list[str]:
    """The commands that an option serves, the jobs first."""
    return _in_order(SERVED[option])
