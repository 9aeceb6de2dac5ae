"""Countries from the command line: by one name, without one, and what is stored already."""

import json
from pathlib import Path

from e2e.test_batch import stored_rows

from clickstream.pipeline.__main__ import main

LOG = Path(__file__).parents[1] / "io/logs/cases/country.ndjson"
GIVEN = {"India": 1, "INDIA": 1, "IN": 1, "-": 1, "XX": 1, "": 3}
NAMED = {"India": 3, "-": 1, "XX": 1, "": 3}


def by_country(folder: Path) -> dict[str, int]:
    return {key[2]: row.clicks for key, row in stored_rows(folder / "clickstream.db").items() if row.clicks}


def test_countries_get_one_name_and_rows_that_are_there_are_restated(tmp_path, capsys) -> None:
    out = f"--output_dir={tmp_path}"
    job = [f"--input={LOG}", out]
    assert main(job) == 0
    assert by_country(tmp_path) == GIVEN
    capsys.readouterr()
    assert main(["query", out, "--country=IN", "--format=json"]) == 0
    assert json.loads(capsys.readouterr().out)["clicks"] == 1
    assert main([*job, "--country_names=iso"]) == 2
    assert "--country_names=as_given, not iso" in capsys.readouterr().err
    named = [out, "--raw_store=files", "--country_names=iso"]
    assert main(["reprocess", *named, "--change_settings"]) == 0
    assert by_country(tmp_path) == NAMED
    assert main([*job, "--country_names=iso"]) == 0
    assert main(job) == 2
    capsys.readouterr()
    assert main(["query", out, "--country=in", "--format=json"]) == 0
    assert json.loads(capsys.readouterr().out)["clicks"] == 3
    fresh = tmp_path / "fresh"
    assert main([f"--input={LOG}", f"--output_dir={fresh}", "--country_names=iso"]) == 0
    assert by_country(fresh) == NAMED


def test_clicks_without_a_country_may_be_rejected(tmp_path, capsys) -> None:
    assert main([f"--input={LOG}", f"--output_dir={tmp_path}", "--unknown_country=reject"]) == 0
    assert by_country(tmp_path) == {name: clicks for name, clicks in GIVEN.items() if name}
    assert "empty_country" in capsys.readouterr().out
    assert main([f"--input={LOG}", f"--output_dir={tmp_path}"]) == 2
    assert "holds results of --unknown_country=reject, not count: " in capsys.readouterr().err
