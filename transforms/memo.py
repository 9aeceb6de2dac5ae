"""What was worked out for a text once and is asked for again and again: a page, a user."""

from collections.abc import Callable
from typing import TypeVar

Found = TypeVar("Found")

MOST = 1 << 16


class Memo(dict[str, Found]):
    """What `work_out` says of each text: `memo[text]`, of one that came by before at the price of a look into a dictionary.

    Holds at most `MOST` texts of at most `longest` characters, and is emptied when it's full.
    """

    def __init__(self, work_out: Callable[[str], Found], *, longest: int) -> None:
        super().__init__()
        self._work_out, self._longest = work_out, longest

    def __missing__(self, text: str) -> Found:
        found = self._work_out(text)
        if len(text) <= self._longest:
            if len(self) >= MOST:
                self.clear()
            self[text] = found
        return found
