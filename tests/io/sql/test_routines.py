"""The script of the procedures is what its source says, and its procedures are known by the same versions as when it was written by hand."""

import re
import runpy
from pathlib import Path

from clickstream.io.sql.routines import procedures

SQL = Path(__file__).parents[3] / "sql"


def test_the_script_is_made_of_its_source() -> None:
    rendered = runpy.run_path(str(SQL / "source/render.py"))["render"]()
    assert (SQL / "procedures.sql").read_text() == rendered, "run: .venv/bin/python sql/source/render.py"
    assert "@" not in rendered


def test_all_procedures_have_one_head() -> None:
    heads = {
        re.sub(r"get_\w+|,\s+IN p_quantile.*|COMMENT '.*'", "", found.statement[: found.statement.index("v_to ")])
        for found in procedures()
    }
    assert (len(procedures()), len(heads)) == (6, 1)
