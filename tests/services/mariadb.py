"""MariaDB: the one on PATH, else the machine's Debian package, unpacked into the cache."""

from functools import partial
from pathlib import Path

from tests.services import debian
from tests.services.installing import installed, run
from tests.services.sql import Programs, SqlServer, server_on_path, version_of

# In this order; what is left out (help, sys schema) tests don't need.
BOOTSTRAP = (
    "*_system_tables.sql",
    "*_performance_tables.sql",
    "*_system_tables_data.sql",
    "maria_add_gis_sp_bootstrap.sql",
)
MODE = "ONLY_FULL_GROUP_BY,STRICT_TRANS_TABLES,NO_ZERO_IN_DATE,NO_ZERO_DATE,ERROR_FOR_DIVISION_BY_ZERO"


class MariaDb(SqlServer):
    """MariaDB, as strict as MySQL is by default."""

    name = "mariadb"
    section = "mariadbd"

    @classmethod
    def programs(cls) -> Programs:
        server = server_on_path("mariadbd")
        if server:
            return _with_data([server], server.resolve().parents[1], "path")
        root = installed("mariadb-1", partial(debian.unpack, "mariadb-server-core"))
        return _with_data(debian.command(root, "usr/sbin/mariadbd"), root / "usr", "1")


def _with_data(command: list[str | Path], base: Path, label: str) -> Programs:
    # Named after MySQL up to 10.11.
    share = next(folder for folder in (base / "share/mariadb", base / "share/mysql") if any(folder.glob(BOOTSTRAP[0])))
    places = [f"basedir={base}", f"lc_messages_dir={share}", f"character-sets-dir={share}/charsets"]
    build = partial(_bootstrap, command, places, share)
    data = installed(f"mariadb-data-{version_of(command)}-{label}", build)
    return Programs(command, data / "data", "\n".join([*places, f"sql_mode={MODE}"]))


def _bootstrap(command: list[str | Path], places: list[str], share: Path, folder: Path) -> None:
    data = folder / "data"
    data.mkdir()
    scripts = [next(share.glob(pattern)).read_text() for pattern in BOOTSTRAP]
    sql = "\n".join(["CREATE DATABASE IF NOT EXISTS mysql;", "USE mysql;", "SET @auth_root_socket=NULL;", *scripts])
    settings = [*places, f"datadir={data}", "user=root", "innodb-log-file-size=32M", "max-allowed-packet=8M"]
    options = ["--no-defaults", "--bootstrap", "--silent-startup", *(f"--{setting}" for setting in settings)]
    run([*command, *options], "making MariaDB's data folder", given=sql)
