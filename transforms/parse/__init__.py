"""Raw records to click columns: every record ends as exactly one click or one rejected record with its reason.

May import: the modules directly in `clickstream.transforms`.
"""

from clickstream.transforms.parse.clicks import ALL_COLUMNS, METRIC_COLUMNS, ParseOptions, parse_clicks
from clickstream.transforms.parse.country_names import iso_name, with_iso_names
from clickstream.transforms.parse.event_time import LatestEventTime
from clickstream.transforms.parse.formats import (
    EventFormat,
    FormatError,
    builtin_formats,
    builtin_text,
    event_format,
    parse_format,
    suggest_format,
    trees_of,
    unused_paths,
)
from clickstream.transforms.parse.pseudonyms import Pseudonyms
from clickstream.transforms.parse.reader import KnownShapes
from clickstream.transforms.parse.step import BatchClicks, ParseClicks
from clickstream.transforms.parse.tracking import DEFAULT_TRACKING, TrackingParameters
from clickstream.transforms.parse.urls import UrlError, normalise_url

__all__ = [
    "ALL_COLUMNS",
    "DEFAULT_TRACKING",
    "METRIC_COLUMNS",
    "BatchClicks",
    "EventFormat",
    "FormatError",
    "KnownShapes",
    "LatestEventTime",
    "ParseClicks",
    "ParseOptions",
    "Pseudonyms",
    "TrackingParameters",
    "UrlError",
    "builtin_formats",
    "builtin_text",
    "event_format",
    "iso_name",
    "normalise_url",
    "parse_clicks",
    "parse_format",
    "suggest_format",
    "trees_of",
    "unused_paths",
    "with_iso_names",
]
