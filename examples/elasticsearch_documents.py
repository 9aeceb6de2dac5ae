"""Our Elasticsearch writer behind any PCollection of dicts: sent in bulk, retried one by one, never a newer document replaced by an older.

python examples/elasticsearch_documents.py http://localhost:9200 parcels
"""

import sys

import apache_beam as beam

from clickstream.io.elasticsearch import ElasticsearchConnection, WriteDocumentsToElasticsearch

PARCELS = [
    {"parcel": "A1", "seen": 1, "where": "Pune"},
    {"parcel": "A1", "seen": 3, "where": "Delhi"},
    {"parcel": "A1", "seen": 2, "where": "Nagpur"},  # late: A1 stays in Delhi
    {"parcel": "B2", "seen": 1, "where": "Goa"},
    {"parcel": "C3", "where": "nobody knows when"},
]


def run(pipeline, hosts, index, documents=PARCELS):
    """Gives what wasn't stored, and why."""
    write = WriteDocumentsToElasticsearch(ElasticsearchConnection(hosts), index, key=["parcel"], version="seen")
    stored = pipeline | beam.Create(documents) | write
    return stored.rejected | beam.FlatMap(
        lambda table: zip(table["detail"].to_pylist(), table["raw"].to_pylist(), strict=True)
    )


if __name__ == "__main__":
    with beam.Pipeline("FnApiRunner") as pipeline:
        _ = run(pipeline, *sys.argv[1:]) | beam.Map(print)
