"""The country that isn't known: stored as an empty text, shown and asked for as a word."""

UNKNOWN = "unknown"


def shown_country(stored: str) -> str:
    """A country as people read it."""
    return stored or UNKNOWN


def stored_country(shown: str) -> str:
    """A country as it is stored, of what somebody asks for."""
    return "" if shown == UNKNOWN else shown
