"""`python -m clickstream.pipeline`: the main job, or one of the commands beside it."""

import sys
from collections.abc import Sequence
from importlib import import_module

from clickstream.io.errors import UserError
from clickstream.io.secrets import SecretError

COMMANDS = {
    "generate": "write a sample click log, or feed a topic",
    "replay-dead-letters": "parse rejected records again, and count what is now accepted",
}


def main(argv: Sequence[str]) -> int:
    """Runs the command that the first argument names, or the main job. Returns the exit status: 2 for a user's mistake."""
    try:
        return _run(argv)
    except (UserError, SecretError) as error:
        sys.stderr.write(f"{error}\n")
        return 2
    except KeyboardInterrupt:
        sys.stderr.write("Stopped.\n")
        return 130


def _run(argv: Sequence[str]) -> int:
    name = argv[0] if argv and not argv[0].startswith("-") else None
    if name is not None and name not in COMMANDS:
        message = f"Unknown command {name!r}: there are {', '.join(COMMANDS)}, and the job itself, which takes only --options."
        raise UserError(message)
    if {"-h", "--help"} & set(argv) and name is None:
        return _help()
    module = import_module(f"clickstream.pipeline.{name.replace('-', '_') if name else 'batch'}")
    return int(module.main(argv[1:] if name else argv))


def _help() -> int:
    from clickstream.pipeline.options import job_parser  # noqa: PLC0415 (Beam takes seconds to import: not for a typing mistake)

    job_parser().print_help()
    commands = "\n".join(f"  {name:22}{what}" for name, what in COMMANDS.items())
    sys.stdout.write(f"\ncommands (python -m clickstream.pipeline COMMAND --help):\n{commands}\n\nBeam's own options are taken as well.\n")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
