"""The pipeline in `docs/how-to/beam-yaml.md`, as it stands there: a real broker, MariaDB or MySQL, and Elasticsearch."""

import json
import re
import shutil
import subprocess
import sys
import time
import urllib.request
import uuid
from pathlib import Path

from oracle import expected_rows, read_click

from clickstream.io.sample import SampleOptions, sample_records
from clickstream.pipeline.beam_yaml import PROVIDERS
from tests.services.kafka_topic import PARTITIONS, send

PAGE = Path(__file__).parents[2] / "docs/how-to/beam-yaml.md"


def documents(address: str, index: str) -> dict:
    for path in (f"{index}/_refresh", f"{index}/_search?size=10000"):
        with urllib.request.urlopen(f"{address}/{path}", timeout=60) as answer:  # noqa: S310 - the tests' own server
            found = json.loads(answer.read())
    hits = [hit["_source"] for hit in found["hits"]["hits"]]
    return {
        (hit["window_start"], hit["url"], hit["country"]): (hit["clicks"], hit["unique_users"], hit["sessions"])
        for hit in hits
    }


def test_it_writes_what_the_oracle_computes(tmp_path, monkeypatch, kafka, topic, mariadb, elasticsearch) -> None:
    records = [
        r
        for batch in sample_records(SampleOptions(seed=5, events=2_000, users=300, pages=20, broken_share=0.05))
        for r in batch
    ]
    send(kafka, topic, [(number % PARTITIONS, record) for number, record in enumerate(records)])
    database, index = mariadb.create_database(), f"yaml-{uuid.uuid4().hex}"
    monkeypatch.setenv("MYSQL_PASSWORD", mariadb.password)
    [text] = re.findall(r"<!-- runs: .*? -->\n```yaml\n(.*?)```", PAGE.read_text(), re.DOTALL)
    (tmp_path / "clicks.yaml").write_text(text)
    shutil.copy(PROVIDERS, tmp_path / "clickstream-providers.yaml")
    variables = {
        "kafka": kafka.address,
        "topic": topic,
        "mysql": mariadb.url(database),
        "index": index,
        "out": str(tmp_path),
    }
    said = json.dumps(variables | {"elasticsearch": elasticsearch.address})
    command = [
        sys.executable,
        "-m",
        "apache_beam.yaml.main",
        f"--yaml_pipeline_file={tmp_path / 'clicks.yaml'}",
        f"--jinja_variables={said}",
    ]
    ran = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=280, check=False)
    assert ran.returncode == 0, ran.stderr[-3000:]
    assert mariadb.password not in ran.stderr

    clicks = [read_click(record, now_ms=round(time.time() * 1000)) for record in records]
    expected = expected_rows(filter(None, clicks), window_seconds=300, session_gap_seconds=1800)
    with mariadb.connect(database) as opened, opened.cursor() as cursor:
        cursor.execute("SELECT window_start, url, country, clicks, unique_users, sessions FROM page_metrics")
        rows = {
            (f"{start:%Y-%m-%dT%H:%M:%SZ}", url, country): tuple(counts)
            for start, url, country, *counts in cursor.fetchall()
        }
    counts = {
        (_iso(start), url, country): (row.clicks, row.unique_users, row.sessions)
        for (start, url, country), row in expected.items()
    }
    assert rows == counts
    assert documents(elasticsearch.address, index) == counts
    errors = [json.loads(line) for part in tmp_path.glob("refused.json*") for line in part.read_text().splitlines()]
    assert len(errors) == clicks.count(None) > 50


def _iso(millis: int) -> str:
    return time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(millis / 1000))
