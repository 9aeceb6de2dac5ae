import pytest

from clickstream.io.secrets import SecretError, check_secret_reference, resolve_secret


def test_resolves_a_variable_and_a_file(tmp_path, monkeypatch) -> None:
    monkeypatch.setenv("CLICKSTREAM_SECRET", "s3cret\n")
    path = tmp_path / "secret"
    path.write_text("other\n")
    assert resolve_secret("env:CLICKSTREAM_SECRET") == "s3cret\n"
    assert resolve_secret(f"file:{path}") == "other"


@pytest.mark.parametrize("text", ["hunter2", "env:", "file:", "vault:x", ""])
def test_a_secret_given_itself_is_refused_and_not_repeated(text) -> None:
    with pytest.raises(SecretError) as caught:
        check_secret_reference(text)
    assert text == "" or text not in str(caught.value).replace("env:NAME", "").replace("file:PATH", "")


def test_what_is_not_there_is_named(tmp_path, monkeypatch) -> None:
    monkeypatch.delenv("CLICKSTREAM_SECRET", raising=False)
    with pytest.raises(SecretError, match="CLICKSTREAM_SECRET is not set"):
        resolve_secret("env:CLICKSTREAM_SECRET")
    with pytest.raises(SecretError, match="can't be read"):
        resolve_secret(f"file:{tmp_path}/none")
