import pytest

from clickstream.io.secrets import SecretError, check_secret_reference, is_remote_reference, resolve_secret


def test_resolves_a_variable_and_a_file(tmp_path, monkeypatch) -> None:
    monkeypatch.setenv("CLICKSTREAM_SECRET", "s3cret\n")
    path = tmp_path / "secret"
    path.write_text("other\n")
    assert resolve_secret("env:CLICKSTREAM_SECRET") == "s3cret\n"
    assert resolve_secret(f"file:{path}") == "other"


@pytest.mark.parametrize(
    "text", ["hunter2", "env:", "file:", "vault:x", "", "secret:s", "secret:projects/p/secrets/s/versions/0"]
)
def test_a_secret_given_itself_is_refused_and_not_repeated(text) -> None:
    with pytest.raises(SecretError) as caught:
        check_secret_reference(text)
    assert text == "" or text not in str(caught.value).replace("env:NAME", "").replace("file:PATH", "")


@pytest.mark.parametrize(
    ("text", "remote"),
    [
        ("secret:projects/shop-analytics/secrets/mysql/versions/latest", True),
        ("secret:projects/123/secrets/My_Secret-2/versions/7", True),
        ("env:NAME", False),
        ("file:secret:projects/p/secrets/s/versions/1", False),
    ],
)
def test_only_secret_manager_is_the_same_from_any_machine(text, remote) -> None:
    assert check_secret_reference(text) == text
    assert is_remote_reference(text) == remote


def test_what_is_not_there_is_named(tmp_path, monkeypatch) -> None:
    monkeypatch.delenv("CLICKSTREAM_SECRET", raising=False)
    with pytest.raises(SecretError, match="CLICKSTREAM_SECRET is not set"):
        resolve_secret("env:CLICKSTREAM_SECRET")
    with pytest.raises(SecretError, match="can't be read"):
        resolve_secret(f"file:{tmp_path}/none")
