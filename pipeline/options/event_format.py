"""`--event_format`: a built-in name, or a file that is read where the job is started; workers get what it says."""

import re

from apache_beam.io.filesystems import FileSystems

from clickstream.io.errors import UserError
from clickstream.transforms.parse import EventFormat, FormatError, builtin_formats, builtin_text, event_format

_BASE = re.compile(r"(?P<name>.*),base=(?P<base>https?://[^\s/?#,]+(?:/[^\s?#,]*)?)")


def event_format_of(text: str | None) -> EventFormat | None:
    """The format that the option names; None for the built-in shape of clicks.

    Args:
        text: `NAME`, `FILE`, either in an envelope (`debezium+NAME`), and `,base=https://shop.example` behind it for URLs without a host.

    Raises:
        UserError: There is no such format or file, or it isn't sound: file, line and key.
    """
    if text is None:
        return None
    found = _BASE.fullmatch(text)
    name, base = (found["name"], found["base"]) if found else (text, "")
    try:
        return event_format(name, _text, base=base)
    except FormatError as error:
        message = f"--event_format={text}: {str(error).rstrip('.')}."
        raise UserError(message) from None


def _text(name: str) -> str:
    if name in builtin_formats():
        return builtin_text(name)
    try:
        with FileSystems.open(name) as handle:
            return bytes(handle.read()).decode("utf-8-sig")
    except UnicodeDecodeError:
        message = f"{name} is no text in UTF-8"
    except (OSError, ValueError):
        names = ", ".join(builtin_formats())
        message = f"{name} is no file that can be read, nor a built-in format ({names})"
    raise FormatError(message)
