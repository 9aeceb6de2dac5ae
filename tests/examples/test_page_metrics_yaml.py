"""`examples/page_metrics.yaml`, run by Beam's own YAML runner as its first lines say, beside the oracle."""

import json
import sqlite3
import subprocess
import sys
import time
from pathlib import Path

from e2e.test_batch import stored_rows
from oracle import expected_rows, read_click

from clickstream.io.sample import SampleOptions, sample_records

EXAMPLE = Path(__file__).parents[2] / "examples/page_metrics.yaml"
NOWHERE = b'{"user_id": "u", "timestamp": "2026-11-01T00:00:01Z", "url": "https://a.example/", "country": "Nowhere"}'


def test_it_computes_what_the_oracle_does_and_keeps_what_it_refuses(tmp_path) -> None:
    options = SampleOptions(seed=3, events=3_000, users=300, pages=20, broken_share=0.05)
    records = [record for batch in sample_records(options) for record in batch]
    (tmp_path / "log.ndjson").write_bytes(b"\n".join([*records, NOWHERE]) + b"\n")
    variables = json.dumps({"logs": str(tmp_path / "*.ndjson"), "out": str(tmp_path)})
    command = [
        sys.executable,
        "-m",
        "apache_beam.yaml.main",
        f"--yaml_pipeline_file={EXAMPLE}",
        f"--jinja_variables={variables}",
    ]
    ran = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=240, check=False)
    assert ran.returncode == 0, ran.stderr[-3000:]
    clicks = [read_click(record, now_ms=round(time.time() * 1000)) for record in records]
    with sqlite3.connect(tmp_path / "page_metrics.db") as database:
        assert database.execute("SELECT count(*) FROM page_metrics").fetchone() != (0,)
    assert stored_rows(tmp_path / "page_metrics.db") == expected_rows(
        filter(None, clicks), window_seconds=300, fixed_seconds=300
    )
    errors = [json.loads(line) for part in tmp_path.glob("refused.json*") for line in part.read_text().splitlines()]
    assert len(errors) == clicks.count(None) > 100
