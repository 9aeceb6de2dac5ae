"""The error a user can do something about."""

import re

_NAMES = "UserError|SecretError|ElasticsearchError|ElasticsearchUnavailableError|RawStoreUnavailableError"  # all are UserErrors
_MARKED = re.compile(rf"(?:^|[\s.])(?:{_NAMES}): (.*?)(?: \[while running|\n|$)")


class UserError(Exception):
    """What went wrong and what to do, in one line that holds no secret and no payload. Shown without a traceback, exit status 2."""


def user_error_in(error: BaseException) -> UserError | None:
    """The `UserError` behind an error: runners hand over a worker's error as text, with its traceback."""
    if isinstance(error, UserError):
        return error
    found = _MARKED.findall(str(error))
    return UserError(found[-1]) if found else None
