"""Real servers for trying things by hand.

`python -m tests.services up [NAME ...]` keeps them until Ctrl-C; `install [NAME ...]` only fills the cache.
"""

import argparse
import signal
import sys
import time

from tests.services.cassandra import Cassandra
from tests.services.elasticsearch import Elasticsearch
from tests.services.errors import ServiceError
from tests.services.flink import Flink, install_job_server
from tests.services.hbase import HBase
from tests.services.kafka import Kafka
from tests.services.services import KINDS, Services, install
from tests.services.sql import SqlServer

USUAL = ["kafka", "mysql", "elasticsearch"]
TOPIC = DATABASE = "clickstream"


def up(names: list[str]) -> None:
    """Starts the servers, says where they are, and stops them when interrupted."""
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    signal.signal(signal.SIGINT, signal.default_int_handler)  # also where a shell started this in the background
    services = Services()
    try:
        services.begin(names)
        print("\n".join(described(services, names)), flush=True)
        while True:
            time.sleep(3600)
    except KeyboardInterrupt:
        print("Stopping ...", file=sys.stderr)
    finally:
        services.close()


def described(services: Services, names: list[str]) -> list[str]:
    """The addresses, as variables for tests and in the live job's command; makes its topic and database."""
    servers = [services.get(name) for name in names]
    variables = [f"export {name}={value}" for server in servers for name, value in server.variables().items()]
    options: dict[str, str] = {}
    environment, script = "", "./run_local.sh"
    for server in servers:
        if isinstance(server, Kafka):
            options |= {"bootstrap_servers": server.address, "topic": server.create_topic(TOPIC, 4)}
        elif isinstance(server, SqlServer):
            make_database(server)
            options |= {"mysql": server.url(DATABASE), "mysql_password": "env:MYSQL_PASSWORD"}
            environment = f"MYSQL_PASSWORD={server.password} "
        elif isinstance(server, Elasticsearch):
            options["elasticsearch"] = server.address
        elif isinstance(server, Flink):
            script = "./run_flink.sh"
            options |= {"flink_master": server.address, "flink_job_server": str(install_job_server())}
            options |= {"environment_type": "LOOPBACK"}
        elif isinstance(server, (Cassandra, HBase)):
            options |= {"raw_store": server.name, server.name: server.address}
    command = [f"{environment}{script}", *(f"--{name}={value}" for name, value in options.items())]
    ending = "# Ctrl-C stops them and removes their data."
    return ["# Tests use these servers with:", *variables, "# The live job:", " \\\n    ".join(command), ending]


def make_database(server: SqlServer) -> None:
    with server.connect() as connection, connection.cursor() as cursor:
        cursor.execute(f"CREATE DATABASE IF NOT EXISTS {DATABASE}")


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.services", description=__doc__)
    parser.add_argument("action", choices=["up", "install"])
    parser.add_argument(
        "names",
        nargs="*",
        metavar="NAME",
        help=f"{', '.join(KINDS)} (up: {' '.join(USUAL)} unless named; install: all)",
    )
    given = parser.parse_args()
    unknown = set(given.names) - set(KINDS)
    if unknown:
        parser.error(f"no such server: {', '.join(sorted(unknown))} (there are {', '.join(KINDS)})")
    try:
        if given.action == "up":
            up(given.names or USUAL)
        else:
            install(given.names or list(KINDS))
    except ServiceError as error:
        print(error, file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
