"""MySQL: the one on PATH, else that of Debian's newest suite, unpacked into the cache (stable Debian has only MariaDB)."""

import shutil
from pathlib import Path

from tests.services import debian
from tests.services.installing import installed, run
from tests.services.sql import Programs, SqlServer

SETTINGS = "mysqlx=OFF\nsecure_file_priv=\nperformance_schema=OFF\ninnodb_redo_log_capacity=64M"


class MySql(SqlServer):
    """MySQL 8 or 9."""

    name = "mysql"
    section = "mysqld"

    @classmethod
    def programs(cls) -> Programs:
        server = shutil.which("mysqld") or shutil.which("mysqld", path="/usr/sbin:/usr/local/sbin")
        if server and "MariaDB" not in run([server, "--no-defaults", "--version"], "asking MySQL's version"):
            return _with_data([server], "", "path")
        root = installed("mysql-1", lambda folder: debian.unpack("mysql-server-core", folder, suite="sid"))
        share = root / "usr/share/mysql"
        places = [f"basedir={root}/usr", f"lc_messages_dir={share}", f"character-sets-dir={share}/charsets", f"plugin_dir={root}/usr/lib/mysql/plugin"]
        return _with_data(debian.command(root, "usr/sbin/mysqld", ["usr/lib/mysql/private"]), "\n".join(places), "1")


def _with_data(command: list[str | Path], places: str, label: str) -> Programs:
    settings = f"{places}\n{SETTINGS}"
    version = run([*command, "--no-defaults", "--version"], "asking MySQL's version").split("Ver ")[-1].split()[0]
    data = installed(f"mysql-data-{version}-{label}", lambda folder: _initialize(command, settings, folder))
    return Programs(command, data / "data", settings)


def _initialize(command: list[str | Path], settings: str, folder: Path) -> None:
    file = folder / "my.cnf"
    file.write_text(f"[mysqld]\n{settings}\n")
    options = [f"--defaults-file={file}", f"--datadir={folder}/data", "--user=root", "--initialize-insecure"]
    run([*command, *options], "making MySQL's data folder")
