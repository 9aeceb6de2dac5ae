"""What the docs show runs as it stands there."""

import re
import subprocess
import sys
from pathlib import Path

from clickstream.io.sample.log import SampleOptions, sample_records

PAGE = Path(__file__).parents[2] / "docs/how-to/own-pipeline.md"


def test_the_transforms_in_ones_own_pipeline(tmp_path) -> None:
    [example] = re.findall(r"```python\n(.*?)```", PAGE.read_text(), re.DOTALL)
    (tmp_path / "logs").mkdir()
    records = [r for batch in sample_records(SampleOptions(seed=5, events=2000, broken_share=0.05)) for r in batch]
    (tmp_path / "logs/clicks.ndjson").write_bytes(b"\n".join(records) + b"\n")
    done = subprocess.run(
        [sys.executable, "-c", example], cwd=tmp_path, capture_output=True, text=True, timeout=120, check=False
    )
    assert done.returncode == 0, done.stderr[-2000:]
    rows = [line for line in done.stdout.splitlines() if line.startswith("{'window_start'")]
    assert sum(int(re.search(r"'clicks': (\d+)", row)[1]) for row in rows) > 1800
    assert "invalid_json" in done.stdout.splitlines()
