"""Our steps for Beam YAML: what `providers.yaml` names, with schema'd rows at the edges and errors in YAML's own form.

May import what `pipeline` may: it wires `transforms` and `io`, and nothing imports it but Beam.
"""

from pathlib import Path

from clickstream.pipeline.beam_yaml.compute import AggregateByPage, MeasureTimeSpent, ParseClicks
from clickstream.pipeline.beam_yaml.read import ReadClickLogs, ReadClicksFromKafka
from clickstream.pipeline.beam_yaml.write import WriteToElasticsearch, WriteToSql

PROVIDERS = Path(__file__).with_name("providers.yaml")

__all__ = [
    "PROVIDERS",
    "AggregateByPage",
    "MeasureTimeSpent",
    "ParseClicks",
    "ReadClickLogs",
    "ReadClicksFromKafka",
    "WriteToElasticsearch",
    "WriteToSql",
]
