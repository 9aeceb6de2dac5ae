"""An empty database of SQLite."""

import pytest

from clickstream.io import sql


@pytest.fixture
def connection(tmp_path):
    made = sql.SqlConnection("sqlite", str(tmp_path / "clicks.db"))
    sql.setup_sql(made)
    return made
