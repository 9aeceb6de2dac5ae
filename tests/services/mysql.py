"""MySQL: the one on PATH, else that of Debian's newest suite, unpacked into the cache (other suites have none)."""

from functools import partial
from pathlib import Path

from tests.services import debian
from tests.services.installing import installed, run
from tests.services.sql import Programs, SqlServer, server_on_path, version_of

SETTINGS = ["mysqlx=OFF", "secure_file_priv=", "performance_schema=OFF", "innodb_redo_log_capacity=64M"]


class MySql(SqlServer):
    """MySQL 8 or 9."""

    name = "mysql"
    section = "mysqld"

    @classmethod
    def programs(cls) -> Programs:
        server = server_on_path("mysqld")
        if server and "MariaDB" not in version_of([server]):
            return _with_data([server], [], "path")
        root = installed("mysql-1", partial(debian.unpack, "mysql-server-core", suite="sid"))
        share = root / "usr/share/mysql"
        places = [f"basedir={root}/usr", f"lc_messages_dir={share}", f"character-sets-dir={share}/charsets"]
        places.append(f"plugin_dir={root}/usr/lib/mysql/plugin")
        return _with_data(debian.command(root, "usr/sbin/mysqld", ["usr/lib/mysql/private"]), places, "1")


def _with_data(command: list[str | Path], places: list[str], label: str) -> Programs:
    settings = "\n".join([*places, *SETTINGS])
    data = installed(f"mysql-data-{version_of(command)}-{label}", partial(_initialize, command, settings))
    return Programs(command, data / "data", settings)


def _initialize(command: list[str | Path], settings: str, folder: Path) -> None:
    file = folder / "my.cnf"
    file.write_text(f"[mysqld]\n{settings}\n")
    options = [f"--defaults-file={file}", f"--datadir={folder}/data", "--user=root", "--initialize-insecure"]
    run([*command, *options], "making MySQL's data folder")
