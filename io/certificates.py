"""What is wrong with a server's certificate: three mistakes of which clients mostly say one and the same."""

import re
import socket
import ssl
from pathlib import Path

from clickstream.io.errors import UserError

_SECONDS = 3.0
_FAULTS = (  # as OpenSSL words them: what is told, and the cure
    ("certificate has expired", "the server's certificate has expired", "renew it there"),
    ("certificate is not yet valid", "the server's certificate isn't valid yet", "look at the clocks of both machines"),
    (
        "hostname mismatch|ip address mismatch|hostname .* doesn't match",
        "the server's certificate is for another host name",
        "connect by a name that it has, or have it made out for this one too",
    ),
    (
        "certificate verify failed|self.signed certificate|local issuer",
        "the server's certificate is of another authority",
        "give the CA file of the authority that signed it",
    ),
)


def certificate_fault(said: str) -> tuple[str, str] | None:
    """What is wrong with a certificate, and the cure, from what OpenSSL said; None if that isn't about one."""
    return next(((what, cure) for sign, what, cure in _FAULTS if re.search(sign, said, re.IGNORECASE)), None)


def check_ca_file(path: str, option: str) -> None:
    """Sees to it that the certificate authority's file can be used.

    Raises:
        UserError: It isn't there, or holds no certificates.
    """
    if not Path(path).is_file():
        message = f"There is no certificate file {path}: check {option}."
        raise UserError(message)
    try:
        ssl.create_default_context(cafile=path)
    except OSError as error:  # not to be read, or of another kind
        why = "it holds no certificates in PEM" if isinstance(error, ssl.SSLError) else error.strerror
        message = f"The certificate file {path} can't be used ({why}): check {option}."
        raise UserError(message) from None


def ask_for_fault(host: str, port: int, ca_file: str | None, *, by_name: bool = True) -> tuple[str, str] | None:
    """Looks at the certificate that a server shows at once, where a client doesn't say what it dislikes. None: nothing, or it can't be seen.

    Args:
        host: The server's name or address.
        port: Its port.
        ca_file: The authority's file; None: those that the machine knows.
        by_name: Whether the certificate must be of this host.
    """
    try:
        context = ssl.create_default_context(cafile=ca_file)
        context.check_hostname = by_name
        with (
            socket.create_connection((host, port), _SECONDS) as plain,
            context.wrap_socket(plain, server_hostname=host),
        ):
            return None
    except ssl.SSLCertVerificationError as error:
        return certificate_fault(str(error))
    except OSError:
        return None
