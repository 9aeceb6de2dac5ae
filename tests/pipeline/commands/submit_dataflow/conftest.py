"""A stand-in for Google Cloud, and a job that was submitted to it."""

from collections.abc import Iterator

import pytest
from google_cloud import GoogleCloud
from submission import CANARY, SECRET, VERSION, Sent, in_cloud, submit


@pytest.fixture(autouse=True)
def _no_jobs(cloud) -> None:
    cloud.running.clear()


@pytest.fixture(scope="module")
def cloud(tmp_path_factory: pytest.TempPathFactory) -> Iterator[GoogleCloud]:
    folder = tmp_path_factory.mktemp("account")
    (folder / "secret").write_text(CANARY)
    with in_cloud(folder) as found, pytest.MonkeyPatch.context() as patch:
        patch.setenv("MYSQL_PASSWORD", CANARY)
        patch.setenv("CLICKSTREAM_SECRET_FILE", str(folder / "secret"))
        found.secrets = dict.fromkeys(map(VERSION.format, ("mysql", "elasticsearch", "users")), CANARY.encode())
        yield found


@pytest.fixture(scope="module")
def sent(cloud, tmp_path_factory) -> Sent:
    settings = tmp_path_factory.mktemp("kafka") / "settings"
    settings.write_text(f"security.protocol=SASL_SSL\nsasl.password={SECRET.format('kafka')}\n")
    cloud.running.clear()
    assert submit(cloud, f"--kafka_config={settings}") == 0
    return Sent(cloud)
