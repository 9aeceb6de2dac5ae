"""The error a user can do something about."""

import re

# A traceback's last line, `clickstream.io.secrets.SecretError: …`: every error of ours outside of transforms is a UserError.
_MARKED = re.compile(r"clickstream\.(?:io|page|pipeline)\.(?:\w+\.)*\w+Error: (.*?)(?: \[while running|\n|$)")

_STEP = re.compile(r" \[while running '[^']*'\]")  # what Beam adds to an error's text


class UserError(Exception):
    """What went wrong and what to do, in one line that holds no secret and no payload. Shown without a traceback, exit status 2.

    A class derived from it lives in io, page or pipeline, and its name ends with `Error`: by that it is known in a worker's traceback.
    """


def user_error_in(error: BaseException) -> UserError | None:
    """The `UserError` behind an error: runners hand over a worker's error as text, with its traceback."""
    if isinstance(error, UserError):
        error.args = tuple(_STEP.sub("", arg) if isinstance(arg, str) else arg for arg in error.args)
        return error
    found = _MARKED.findall(str(error))
    return UserError(found[-1]) if found else None
