"""Files elsewhere: what is missing is said at once, in one line with the cure."""

import importlib.util

import pytest

from clickstream.io.errors import UserError
from clickstream.io.file_systems import check_file_system
from clickstream.io.logs import match_logs


def test_local_paths_need_nothing() -> None:
    check_file_system("/var/log/clicks.ndjson")
    check_file_system("clicks.ndjson")


@pytest.mark.parametrize(
    ("pattern", "module", "extra"),
    [("s3://bucket/x", "boto3", "aws"), ("azfs://a/b/x", "azure", "azure"), ("hdfs://host/x", "hdfs", "hadoop")],
)
def test_a_package_that_is_missing_is_named(pattern, module, extra) -> None:
    assert importlib.util.find_spec(module) is None  # none of the project's dependencies
    with pytest.raises(UserError, match=rf"needs a package: pip install 'apache-beam\[{extra}\]'"):
        match_logs(pattern)


def test_an_unknown_file_system_is_refused() -> None:
    with pytest.raises(UserError, match="can't be read: file systems are a path of this machine, s3://"):
        match_logs("ftp://host/x")


def test_google_without_credentials_is_told_at_once(monkeypatch, tmp_path) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("CLOUDSDK_CONFIG", str(tmp_path))
    monkeypatch.setenv("NO_GCE_CHECK", "true")
    monkeypatch.delenv("GOOGLE_APPLICATION_CREDENTIALS", raising=False)
    with pytest.raises(UserError, match="needs Google's credentials: gcloud auth application-default login") as caught:
        match_logs("gs://bucket/clicks.ndjson")
    assert "\n" not in str(caught.value)
