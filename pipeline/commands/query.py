"""`query`: clicks, distinct users and time spent of a page, a country and a range, from any of the stores."""

import argparse
import sys
from collections.abc import Iterator, Sequence

import pyarrow as pa
from apache_beam.options.pipeline_options import PipelineOptions

from clickstream.io.errors import UserError
from clickstream.io.results import RowFilter, read_elasticsearch_rows, read_sql_rows
from clickstream.pipeline.options import ClickOptions, OutputOptions, RangeOptions, read_options, times_of, tracking_of
from clickstream.pipeline.output_dir import embedded_results
from clickstream.pipeline.query_answer import answer_json, answer_table
from clickstream.pipeline.row_settings import check_url_setting, has_iso_names
from clickstream.pipeline.sinks import elasticsearch_of, server_of
from clickstream.transforms.answer import COLUMNS, Totals
from clickstream.transforms.countries import stored_country
from clickstream.transforms.parse import UrlError, iso_name, normalise_url


class QueryOptions(PipelineOptions):
    """What is asked; all of it may be left out."""

    @classmethod
    def _add_argparse_args(cls, parser: argparse.ArgumentParser) -> None:
        add = parser.add_argument
        add("--url", metavar="URL", help="one page, in any form that the job counts under it (default: all)")
        add(
            "--country",
            metavar="NAME",
            help="one country, exactly as stored (of rows by --country_names=iso any of its names); unknown: clicks without one (default: all)",
        )
        add("--format", choices=("table", "json"), default="table", help="how the answer is printed")


OPTIONS = (QueryOptions, RangeOptions, OutputOptions, ClickOptions)


def main(argv: Sequence[str]) -> int:
    """Prints the answer. Returns the exit status.

    Raises:
        UserError: An option is wrong, or the store can't be read.
    """
    options = read_options(argv, "query")
    output = options.view_as(OutputOptions)
    if output.mysql and output.elasticsearch:
        message = "--mysql and --elasticsearch hold the same rows: name the one to ask."
        raise UserError(message)
    wanted, totals = row_filter(options), Totals()
    if wanted.url is not None:  # under which it is stored depends on a setting
        check_url_setting(options)
    if wanted.country and has_iso_names(options):
        wanted = wanted._replace(country=iso_name(wanted.country))
    for page in _rows(options, wanted):
        totals.add(page)
    form = answer_json if options.view_as(QueryOptions).format == "json" else answer_table
    encoding = sys.stdout.encoding or "utf-8"
    sys.stdout.write(form(wanted, totals.answer()).encode(encoding, "backslashreplace").decode(encoding) + "\n")
    return 0


def row_filter(options: PipelineOptions) -> RowFilter:
    """Reads from the options what is asked.

    Raises:
        UserError: The URL is none, or the range is empty.
    """
    asked, clicks = options.view_as(QueryOptions), options.view_as(ClickOptions)
    (start, end), url = times_of(options), asked.url
    try:
        url = (
            None
            if url is None
            else normalise_url(
                url, rewrite=clicks.url_normalisation == "on", tracking=tracking_of(clicks.tracking_parameters)
            )
        )
    except UrlError as error:
        message = f"--url {error}: write it whole, such as https://shop.example/cart."
        raise UserError(message) from None
    if asked.country is not None and not asked.country.isprintable():
        message = "--country holds what doesn't print, or isn't UTF-8: write it as it was stored."
        raise UserError(message)
    country = None if asked.country is None else stored_country(asked.country)
    return RowFilter(url, country, start, end)


def _rows(options: PipelineOptions, wanted: RowFilter) -> Iterator[pa.Table]:
    output = options.view_as(OutputOptions)
    if output.elasticsearch:
        connection = elasticsearch_of(options)
        return read_elasticsearch_rows(connection, output.elasticsearch_index, wanted, COLUMNS)
    return read_sql_rows(server_of(options) or embedded_results(output.output_dir), wanted, COLUMNS)
