"""A place where a deployment's command lines run here: real servers, free ports, a folder with its secrets, an account of its own in MySQL."""

import re
import secrets
import subprocess
import urllib.request
from collections.abc import Iterator, Mapping
from contextlib import closing, contextmanager
from dataclasses import dataclass

import httpx
from confluent_kafka.admin import AdminClient
from deploy.manifests import DEPLOY, command_of, compose_services, placed
from e2e.live_harness import LiveJob
from e2e.live_stores import Bench

from tests.services.run import Run

INDEX = "processed_clickstream_data"  # the default


@dataclass
class Place:
    """What `deploy/` calls by its own names, under those of this machine."""

    bench: Bench
    account: str
    health: int
    page: int
    token: str

    def start(self, command: str, places: Mapping[str, str]) -> LiveJob:
        """Starts that command, with these other addresses."""
        folder = self.bench.folder / re.sub(r"\W+", "-", command)
        folder.mkdir()
        job = LiveJob(placed(command_of(command), places), folder)
        job.start()
        return job

    def kafka(self, address: str) -> dict[str, str]:
        return {address: self.bench.kafka.address, "--topic=clickstream": f"--topic={self.bench.topic.name}"}

    def mysql(self, url: str, secrets_in: str) -> dict[str, str]:
        server = self.bench.sql_server
        own = f"mysql://{self.account}@{server.host}:{server.port}/{self.bench.database}"
        return {url: own, f"file:{secrets_in}": f"file:{self.bench.folder}"}

    def has_topic(self) -> bool:
        """Whether somebody has made it."""
        admin = AdminClient({"bootstrap.servers": self.bench.kafka.address, "log_level": 0})
        return self.bench.topic.name in admin.list_topics(timeout=30).topics

    def ask_health(self, path: str) -> str:
        with urllib.request.urlopen(f"http://127.0.0.1:{self.health}/{path}", timeout=10) as answer:
            return answer.read().decode()

    def is_healthy(self) -> bool:
        """As compose.yaml's health check asks it."""
        _, *command = compose_services()["job"]["healthcheck"]["test"]
        command = placed(command, {":8080": f":{self.health}"})
        return subprocess.run(command, capture_output=True, timeout=30, check=False).returncode == 0

    def has_the_metrics_of_alerts(self) -> bool:
        """Whether all that Prometheus' rules look at is there by now."""
        named = set(re.findall(r"\bclickstream_\w+", (DEPLOY / "prometheus/alerts.yaml").read_text()))
        return len(named) >= 5 and named <= set(re.findall(r"^(\w+)", self.ask_health("metrics"), re.MULTILINE))

    def page_shows(self, path: str, text: str) -> bool:
        """With the token it does; without, nobody gets anything."""
        with httpx.Client(base_url=f"http://127.0.0.1:{self.page}", trust_env=False, timeout=60) as page:
            assert page.get(path).status_code in (401, 403)
            found = page.get(path, params={"token": self.token}, follow_redirects=True)
            return found.status_code == 200 and text in found.text


@contextmanager
def new_place(bench: Bench) -> Iterator[Place]:
    """The account may do in its own database what it likes, and nothing else, as the one that MySQL's image makes."""
    bench.index = INDEX
    account = f"u{secrets.token_hex(8)}"
    given = {"mysql_password": secrets.token_hex(16), "page_token": secrets.token_hex(16), "elasticsearch_api_key": "x"}
    for name, text in given.items():
        (bench.folder / name).write_text(f"{text}\n")
    (bench.folder / "kafka.properties").write_text("client.id=clickstream\n")
    with bench.sql_server.connect(bench.database) as connection, connection.cursor() as cursor:
        cursor.execute(f"CREATE USER '{account}'@'%' IDENTIFIED BY '{given['mysql_password']}'")
        cursor.execute(f"GRANT ALL ON `{bench.database}`.* TO '{account}'@'%'")
    with closing(Run()) as run:
        health, page = run.free_ports(2)
        yield Place(bench, account, health, page, given["page_token"])
    bench.ask(f"{INDEX}?ignore_unavailable=true", method="DELETE")
