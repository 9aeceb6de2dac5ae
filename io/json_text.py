"""Whether bytes are one JSON value: asked of a log's head, and of a value before anything is put around it."""

import msgspec


def is_json(text: bytes) -> bool:
    """Whether it is a whole JSON value, and nothing else but white space; too deep a one isn't."""
    try:
        msgspec.json.decode(text, type=msgspec.Raw)
    except (msgspec.MsgspecError, ValueError, RecursionError):
        return False
    return True
