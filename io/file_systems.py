"""What another file system needs before Beam is asked for its files: a package, and for Google Cloud credentials."""

import importlib.util

from apache_beam.io.filesystems import FileSystems

from clickstream.io.errors import UserError

# By scheme: what must be there, and what of Beam's extras brings it.
_NEEDS = {
    "s3": ("boto3", "aws"),
    "azfs": ("azure.storage.blob", "azure"),
    "hdfs": ("hdfs", "hadoop"),
    "gs": ("google.cloud.storage", "gcp"),
}


def check_file_system(pattern: str) -> None:
    """Checks that files of a pattern can be asked for at all. Local ones always can.

    Raises:
        UserError: A package or credentials are missing, or there is no such file system: the cure.
    """
    scheme = FileSystems.get_scheme(pattern)
    if scheme is None:
        return
    if scheme not in _NEEDS:
        message = f"--input={pattern} can't be read: file systems are a path of this machine, {', '.join(f'{name}://' for name in _NEEDS)}."
        raise UserError(message)
    module, extra = _NEEDS[scheme]
    if not _is_there(module):
        message = f"--input={pattern} needs a package: pip install 'apache-beam[{extra}]'."
        raise UserError(message)
    if scheme == "gs":
        _check_google(pattern)


def _is_there(module: str) -> bool:
    try:
        return importlib.util.find_spec(module) is not None
    except ModuleNotFoundError:
        return False


def _check_google(pattern: str) -> None:
    """Beam would ask for two minutes, and say so at length each time."""
    import google.auth
    from google.auth.exceptions import DefaultCredentialsError

    try:
        google.auth.default()
    except DefaultCredentialsError:
        message = (
            f"--input={pattern} needs Google's credentials: gcloud auth application-default login, or "
            "GOOGLE_APPLICATION_CREDENTIALS=FILE of a service account."
        )
        raise UserError(message) from None
