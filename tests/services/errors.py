"""What goes wrong while a server is installed, started or stopped."""


class ServiceError(RuntimeError):
    """One line with the cause and the cure, and below it the end of the log where there is one."""
