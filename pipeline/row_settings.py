"""What shapes a row is noted beside the rows, and checked before a job reads or writes them: rows of two settings in one table mean nothing."""

from collections.abc import Iterator, Mapping
from contextlib import closing
from pathlib import Path
from typing import NamedTuple

from apache_beam.options.pipeline_options import PipelineOptions

from clickstream.io import elasticsearch, sql
from clickstream.io.errors import UserError
from clickstream.io.raw.files import FileRawStore, FileRawStoreConnection
from clickstream.pipeline.options import ClickOptions, MetricOptions, OutputOptions, RawStoreOptions
from clickstream.pipeline.output_dir import OutputDir, derived_name, embedded_results
from clickstream.pipeline.raw_store import opened, raw_store_of
from clickstream.pipeline.settings import Settings
from clickstream.pipeline.sinks import Sinks, elasticsearch_of, names_servers, server_of
from clickstream.transforms.breakdowns import holds_breakdown
from clickstream.transforms.parse import Pseudonyms

_CHECKED = "a check value of the key, which tells nothing of any user"
_KEPT = "kept_clicks"  # where the clicks of runs over logs are
_BLANK = ("session_gap", "hash_user_ids", "tracking_parameters", "country_names", "unknown_country", "event_format")


class _Place(NamedTuple):
    """A table or an index: what it is called, and what it holds, as `derived_of` says."""

    name: str
    derived: str
    found: dict[str, str]


def shaping(options: PipelineOptions, settings: Settings, derived: str = "") -> dict[str, str]:
    """The settings that shape rows of windows, or of what is derived of them, by the options' names. Of the pseudonyms' key a check value."""
    metrics, clicks = options.view_as(MetricOptions), options.view_as(ClickOptions)
    measure, key, dwells = settings.measure, settings.parse.user_key, settings.dwells
    once = dwells if measure.deduplicate is None else measure.deduplicate
    found = {
        "window_seconds": str(metrics.window_seconds),
        "time_spent": str(metrics.time_spent),
        "session_gap": f"{measure.session_gap_seconds}s" if dwells else "",
        "deduplicate": "row_key" if once else "off",
        "sketch_size": str(metrics.sketch_size or "off"),
        "event_format": str(clicks.event_format or ""),
        "url_normalisation": str(clicks.url_normalisation),
        "tracking_parameters": str(clicks.tracking_parameters or ""),
        "country_names": _unless("as_given", clicks.country_names),
        "unknown_country": _unless("count", clicks.unknown_country),
        "hash_user_ids": Pseudonyms(key()).of(_CHECKED) if key else "",
    }
    found |= {"time_zone": str(metrics.time_zone)} if derived.endswith(("1h", "1d")) else {}
    found |= {"breakdown_values": str(metrics.breakdown_values)} if holds_breakdown(derived) else {}
    return {name: value for name, value in found.items() if value}


def check_settings(options: PipelineOptions, settings: Settings, sinks: Sinks, *, note: bool) -> None:
    """Compares the settings with those of the rows that are there; notes those that nobody has noted, if asked.

    Raises:
        UserError: One differs: both values, and what to do; or a store can't be reached.
    """
    for place in list(_places(sinks)):
        wanted = shaping(options, settings, place.derived)
        if differing := [name for name in (*wanted, *place.found) if _differs(name, wanted, place.found)]:
            raise _refusal(place, differing[0], wanted)
        if note:
            _note(sinks, place.derived, wanted)


def check_url_setting(options: PipelineOptions) -> None:
    """The same for a question, of which only the URL depends on a setting. Asks the store that the question goes to.

    Raises:
        UserError: The pages there are stored in another form.
    """
    asked = options.view_as(ClickOptions).url_normalisation
    for place in _asked(options):
        if place.found.get("url_normalisation", asked) != asked:
            raise _refusal(place, "url_normalisation", {"url_normalisation": asked})


def has_iso_names(options: PipelineOptions) -> bool:
    """Whether the rows that a question goes to have countries by their names of ISO 3166. Asks the store."""
    return any(place.found.get("country_names") == "iso" for place in _asked(options))


def _asked(options: PipelineOptions) -> Iterator[_Place]:
    chosen = options.view_as(OutputOptions)
    if chosen.elasticsearch:
        return _places(Sinks(None, elasticsearch_of(options), chosen.elasticsearch_index, ""))
    database = server_of(options) or embedded_results(chosen.output_dir)
    return _places(Sinks(database, None, "", database))


def change_settings(options: PipelineOptions, settings: Settings, sinks: Sinks) -> None:
    """Notes the settings, whatever was noted before: the rows are restated."""
    for derived in ("", *sinks.derived):
        _note(sinks, derived, dict.fromkeys(_BLANK, "") | shaping(options, settings, derived), anew=True)
    if not names_servers(options):
        OutputDir(Path(options.view_as(OutputOptions).output_dir)).remember_changed(options.get_all_options())


def note_kept_clicks(options: PipelineOptions, sinks: Sinks, *, live: bool = False) -> None:
    """Notes where the clicks behind the rows are kept. A run over logs must have them where earlier ones had: else windows come short.

    Raises:
        UserError: The clicks of earlier runs are elsewhere.
    """
    ours = _kept(options)
    for place in _places(sinks):
        kept = place.found.get(_KEPT, "")
        if place.derived or (live and (kept or not ours)) or kept == ours:
            continue
        if kept:
            where = "--raw_store=files" if kept.startswith("files") else f"--raw_store={kept}"
            message = (
                f"{place.name} holds rows of logs whose clicks are kept by {where}, not where this run looks for them: "
                f"give {where}, and the same --output_dir, --mysql and --elasticsearch as then."
            )
            raise UserError(message)
        _note(sinks, "", {_KEPT: ours})


def _kept(options: PipelineOptions) -> str:
    connection = raw_store_of(options)
    if not isinstance(connection, FileRawStoreConnection):
        return str(options.view_as(RawStoreOptions).raw_store) if connection else ""
    with opened(connection) as store:
        return f"files {store.name()}" if isinstance(store, FileRawStore) else ""


def _differs(name: str, wanted: Mapping[str, str], found: Mapping[str, str]) -> bool:
    """A setting that isn't there is another one than any that is, once any is noted."""
    return name != _KEPT and bool(found.keys() - {_KEPT}) and wanted.get(name, "") != found.get(name, "")


def _refusal(place: _Place, name: str, wanted: Mapping[str, str]) -> UserError:
    here, asked = place.found.get(name), wanted.get(name)
    if name == "hash_user_ids":
        others = "other user ids" if here and asked else "pseudonyms" if here else "user ids as they are"
        return UserError(
            f"{place.name} holds rows of {others}: give --hash_user_ids as of the job that wrote them, or write to other tables."
        )
    there = f"--{name}={here}" if here else f"no --{name}"
    cure = f"give --{name}={here}" if here else f"leave out --{name}"
    return UserError(
        f"{place.name} holds rows of {there}, not {asked or 'without it'}: {cure}, write to other tables, "
        "or restate the rows from the raw store: reprocess --change_settings."
    )


def _places(sinks: Sinks) -> Iterator[_Place]:
    for derived in ("", *sinks.derived):
        if sinks.sql is not None:
            table = sinks.table(derived)
            yield _Place(f"{table.place}, table {table.metrics_table},", derived, sql.read_settings(table))
        if sinks.elasticsearch is not None:
            index = derived_name(sinks.index, derived)
            with closing(sinks.elasticsearch.connect()) as client:
                found = elasticsearch.read_settings(client, index)
            yield _Place(f"Elasticsearch's index {index}", derived, found)


def _note(sinks: Sinks, derived: str, settings: Mapping[str, str], *, anew: bool = False) -> None:
    """Writes what isn't noted yet; or all of it, anew."""
    if sinks.sql is not None:
        table = sinks.table(derived)
        missing = _missing(settings, {} if anew else sql.read_settings(table))
        sql.write_settings(table, missing)
    if sinks.elasticsearch is not None:
        index = derived_name(sinks.index, derived)
        with closing(sinks.elasticsearch.connect()) as client:
            missing = _missing(settings, {} if anew else elasticsearch.read_settings(client, index))
            elasticsearch.write_settings(client, index, missing)


def _missing(settings: Mapping[str, str], found: Mapping[str, str]) -> dict[str, str]:
    return {name: value for name, value in settings.items() if name not in found}


def _unless(default: str, value: str) -> str:
    """A setting that rows from before it don't name."""
    return "" if value == default else value
