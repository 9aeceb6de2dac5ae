"""MariaDB: the one on PATH, else the machine's Debian package, unpacked into the cache."""

import shutil
from pathlib import Path

from tests.services import debian
from tests.services.installing import installed, run
from tests.services.sql import Programs, SqlServer

# In this order; what is left out (help, sys schema) tests don't need.
BOOTSTRAP = ("*_system_tables.sql", "*_performance_tables.sql", "*_system_tables_data.sql", "maria_add_gis_sp_bootstrap.sql")
STRICT = "STRICT_TRANS_TABLES,NO_ZERO_IN_DATE,NO_ZERO_DATE,ERROR_FOR_DIVISION_BY_ZERO,NO_ENGINE_SUBSTITUTION,ONLY_FULL_GROUP_BY"


class MariaDb(SqlServer):
    """MariaDB with the SQL mode that MySQL has by default."""

    name = "mariadb"
    section = "mariadbd"

    @classmethod
    def programs(cls) -> Programs:
        server = shutil.which("mariadbd") or shutil.which("mariadbd", path="/usr/sbin:/usr/local/sbin")
        if server:
            return _with_data([server], Path(server).resolve().parents[1], "path")
        root = installed("mariadb-1", lambda folder: debian.unpack("mariadb-server-core", folder))
        return _with_data(debian.command(root, "usr/sbin/mariadbd"), root / "usr", "1")


def _with_data(command: list[str | Path], base: Path, label: str) -> Programs:
    settings = [f"basedir={base}", f"lc_messages_dir={base}/share/mysql", f"character-sets-dir={base}/share/mysql/charsets"]
    version = run([*command, "--no-defaults", "--version"], "asking MariaDB's version").split("Ver ")[-1].split()[0]
    build = lambda folder: _bootstrap(command, settings, base / "share" / "mysql", folder)  # noqa: E731
    data = installed(f"mariadb-data-{version}-{label}", build)
    return Programs(command, data / "data", "\n".join([*settings, f"sql_mode={STRICT}"]))


def _bootstrap(command: list[str | Path], settings: list[str], share: Path, folder: Path) -> None:
    data = folder / "data"
    data.mkdir()
    scripts = [next(share.glob(pattern)).read_text() for pattern in BOOTSTRAP]
    sql = "CREATE DATABASE IF NOT EXISTS mysql;\nUSE mysql;\nSET @auth_root_socket=NULL;\n" + "\n".join(scripts)
    options = ["--no-defaults", *(f"--{setting}" for setting in settings), f"--datadir={data}", "--user=root", "--innodb-log-file-size=32M"]
    run([*command, *options, "--bootstrap", "--silent-startup", "--max-allowed-packet=8M"], "making MariaDB's data folder", given=sql)
