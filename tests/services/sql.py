"""What MariaDB and MySQL have in common: one account `app` over TCP, databases made at will."""

import os
import secrets
import shutil
from abc import abstractmethod
from pathlib import Path
from typing import Any, ClassVar, NamedTuple
from urllib.parse import unquote, urlsplit

import pymysql

from tests.services.daemon import Daemon
from tests.services.errors import ServiceError
from tests.services.installing import run as run_command
from tests.services.places import hand_over
from tests.services.run import Run
from tests.services.service import Service

SETTINGS = """[{section}]
{settings}
datadir={folder}/data
socket={folder}/socket
pid-file={folder}/pid
init-file={folder}/account.sql
port={port}
bind-address=127.0.0.1
skip-name-resolve
skip-log-bin
character-set-server=utf8mb4
innodb_buffer_pool_size=128M
innodb_flush_log_at_trx_commit=2
max_allowed_packet=64M
local_infile=1
event_scheduler=OFF
default_time_zone=+00:00
"""
ACCOUNT = """CREATE USER IF NOT EXISTS 'app'@'%' IDENTIFIED BY '{password}';
GRANT ALL ON *.* TO 'app'@'%' WITH GRANT OPTION;
"""


def server_on_path(program: str) -> Path | None:
    """An installed server; ordinary accounts often don't have its folder on PATH."""
    found = shutil.which(program) or shutil.which(program, path="/usr/sbin:/usr/local/sbin")
    return Path(found) if found else None


def version_of(command: list[str | Path]) -> str:
    """The version of a server's program, such as `9.7.4` or `10.11.19-MariaDB`."""
    return (
        run_command([*command, "--no-defaults", "--version"], "asking a server's version").split("Ver ")[-1].split()[0]
    )


class Programs(NamedTuple):
    """An installed server.

    Attributes:
        command: Runs it.
        data: An empty data folder, to copy.
        settings: Lines that say where its files are, and what only this kind of server needs.
    """

    command: list[str | Path]
    data: Path
    settings: str


class SqlServer(Service):
    """A server of MySQL's protocol; its account `user` may do everything, also make databases and further accounts."""

    section: ClassVar[str]
    host: str
    port: int
    user: str
    password: str

    @classmethod
    @abstractmethod
    def programs(cls) -> Programs:
        """What the cache holds, put there first if need be."""

    @classmethod
    def install(cls) -> None:
        cls.programs()

    def url(self, database: str) -> str:
        """`mysql://user@host:port/database`, without the password."""
        return f"mysql://{self.user}@{self.host}:{self.port}/{database}"

    @property
    def address(self) -> str:
        """`mysql://user@host:port`."""
        return self.url("").rstrip("/")

    def variables(self) -> dict[str, str]:
        return {self.variable(): self.address, f"{self.variable()}_PASSWORD": self.password}

    def connect(self, database: str | None = None, **options: Any) -> "pymysql.Connection[Any]":
        """A new connection of `user`."""
        options = {"autocommit": True, "connect_timeout": 10, **options}
        return pymysql.connect(
            host=self.host, port=self.port, user=self.user, password=self.password, database=database, **options
        )

    def create_database(self) -> str:
        """Makes an empty database of a name that was never used."""
        name = f"test_{secrets.token_hex(6)}"
        with self.connect() as connection, connection.cursor() as cursor:
            cursor.execute(f"CREATE DATABASE {name}")
        return name

    def use(self, address: str) -> None:
        parts = urlsplit(address)
        if parts.scheme != "mysql" or not parts.hostname:
            name = self.variable()
            message = (
                f"{name}={address} is no address: write mysql://USER@HOST:PORT, and the password in {name}_PASSWORD."
            )
            raise ServiceError(message)
        self.host, self.port, self.user = parts.hostname, parts.port or 3306, unquote(parts.username or "app")
        self.password = os.environ.get(f"{self.variable()}_PASSWORD", "")

    def prepare(self, run: Run) -> Daemon:
        programs = self.programs()
        folder = run.new_folder(self.name)
        self.host, self.port, self.user, self.password = "127.0.0.1", run.free_ports(1)[0], "app", secrets.token_hex(12)
        shutil.copytree(programs.data, folder / "data")
        (folder / "account.sql").write_text(ACCOUNT.format(password=self.password))
        settings = SETTINGS.format(section=self.section, settings=programs.settings, folder=folder, port=self.port)
        (folder / "my.cnf").write_text(settings)
        hand_over(folder)
        command = [*programs.command, f"--defaults-file={folder}/my.cnf"]
        return Daemon(self.name, command, folder, self._ready, run)

    def _ready(self, said: str) -> bool:
        return "ready for connections" in said and f"port: {self.port}" in said
