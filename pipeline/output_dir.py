"""The folder that an embedded run leaves its results in, and what it remembers of the run."""

import json
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from hashlib import blake2b
from pathlib import Path
from typing import Any

from clickstream.io.errors import UserError
from clickstream.io.sql import SqlConnection
from clickstream.transforms.breakdowns import DEFAULT_VALUES

# Rows made with other values of these can't stand in one table: the same key would mean something else.
SHAPING = (
    "sample",
    *(
        "window_seconds",
        "time_spent",
        "session_gap",
        "deduplicate",
        "sketch_size",
        "event_format",
        "url_normalisation",
        "tracking_parameters",
        "country_names",
        "unknown_country",
        "hash_user_ids",
        "rollups",
        "time_zone",
        "breakdowns",
        "breakdown_values",
        "raw_store",
    ),
)

_BEFORE: dict[str, Any] = {
    "raw_store": "none",
    "country_names": "as_given",
    "unknown_country": "count",
    "breakdown_values": DEFAULT_VALUES,
}  # of versions without these


def derived_name(name: str, derived: str) -> str:
    """The name of the table, index or file of a roll-up or breakdown beside that of the windows; of the latter, for an empty one."""
    return f"{name}_{derived}" if derived else name


def derived_of(rollup: str, breakdown: str) -> str:
    """What stands behind the windows' names: `1h`, `by_browser`, `by_browser_1h`; nothing for windows of pages."""
    return "_".join(filter(None, (breakdown and f"by_{breakdown}", rollup)))


@dataclass(frozen=True)
class OutputDir:
    """Paths of an embedded run's results."""

    path: Path

    @property
    def database(self) -> Path:
        """SQLite: `page_metrics` and `dead_letters`."""
        return self.path / "clickstream.db"

    def bulk_file(self, derived: str = "") -> Path:
        """The body that Elasticsearch's `_bulk` would get: windows, or what is derived of them (`derived_of`)."""
        return self.path / f"{derived_name('elasticsearch', derived)}.ndjson"

    @property
    def raw_clicks(self) -> Path:
        """SQLite: the raw store, if it is here."""
        return self.path / "raw_clicks.db"

    def clicks(self, stores: Sequence[str] = ()) -> Path:
        """Folder: the clicks, in files, of all runs into these stores on servers; without any, into this folder."""
        name = blake2b("\n".join(stores).encode(), digest_size=4).hexdigest() if stores else ""
        return self.path / derived_name("clicks", name)

    @property
    def replayed(self) -> Path:
        """The dead letters that are just being counted, as a log."""
        return self.path / "replayed.ndjson"

    @property
    def report(self) -> Path:
        """The report page."""
        return self.path / "report.html"

    @property
    def sample(self) -> Path:
        """The sample log, if the run made one."""
        return self.path / "sample.ndjson"

    @property
    def _memory(self) -> Path:
        return self.path / "run.json"

    def prepare(self) -> None:
        """Makes the folder.

        Raises:
            UserError: It can't be made or written.
        """
        try:
            self.path.mkdir(parents=True, exist_ok=True)
            probe = self.path / f".{os.getpid()}.probe"
            probe.touch()
            probe.unlink()
        except OSError as error:
            message = (
                f"--output_dir={self.path} can't be written ({error.strerror}): name a folder that you may write to."
            )
            raise UserError(message) from None

    def remembered(self) -> dict[str, Any]:
        """What the last run noted; empty before the first.

        Raises:
            UserError: The note is damaged.
        """
        try:
            return dict(json.loads(self._memory.read_text(encoding="utf-8")))
        except FileNotFoundError:
            return {}
        except (OSError, ValueError):
            message = f"{self._memory} can't be read: use another --output_dir, or remove this one."
            raise UserError(message) from None

    def remember(self, run: Mapping[str, Any]) -> None:
        """Notes the run's input and settings."""
        unfinished = self._memory.with_suffix(".part")
        unfinished.write_text(json.dumps(run, indent=2) + "\n", encoding="utf-8")
        unfinished.replace(self._memory)

    def remember_changed(self, settings: Mapping[str, Any]) -> None:
        """Notes other settings of a run that is noted: its rows have been restated."""
        if earlier := self.remembered():
            shaping = {name: settings[name] for name in SHAPING if name in settings}
            self.remember(earlier | shaping)

    def check(self, run: Mapping[str, Any]) -> None:
        """Refuses settings under which the rows here would mean something else.

        Raises:
            UserError: The folder holds results of the sample, or of other settings.
        """
        earlier = self.remembered()
        if earlier:
            earlier = _BEFORE | earlier
        differing = [name for name in SHAPING if earlier and earlier.get(name) != run.get(name)]
        if "sample" in differing:
            message = f"{self.path} holds results of {'the sample' if earlier['sample'] else 'your own log'}: name another --output_dir."
            raise UserError(message)
        if differing:
            name, found = differing[0], earlier.get(differing[0])
            cure = "name another --output_dir" + (f", or give --{name}={found}" if found is not None else "")
            message = f"{self.path} holds results of --{name}={found}, not {run.get(name)}: {cure}."
            raise UserError(message)


def embedded_results(folder: str) -> SqlConnection:
    """The SQLite file that a run has left in this folder: asking must not make one.

    Raises:
        UserError: There is none.
    """
    database = OutputDir(Path(folder)).database
    if not database.is_file():
        message = f"{folder} holds no results: name a run's folder with --output_dir, or a server with --mysql or --elasticsearch."
        raise UserError(message)
    return SqlConnection("sqlite", str(database.absolute()))
