"""What the errors of HBase and its Thrift client mean, told to a person: without a row or a server's traceback."""

import re

from clickstream.io.errors import UserError
from clickstream.io.raw.store import RawStoreUnavailableError


class ContentRefusedError(UserError):
    """The server refuses what a row holds."""


_CERTAIN = {
    "TableNotFoundException": "there is no such table: run setup-sinks",
    "NoSuchColumnFamilyException": "a column family is missing: run setup-sinks, which tells which",
    "TableNotEnabledException": "the table is disabled: run enable 'TABLE' in the HBase shell",
    "AccessDeniedException": "the Thrift server's account lacks a right: grant it read, write and create in the HBase shell",
    "NamespaceNotFoundException": "there is no such namespace: create it in the HBase shell",
    "FatalConnectionException": "the Thrift server may not talk to the region servers: look into its log",
}
_PASSING = "its region servers refuse or are away: look into their logs"
_NO_ANSWER = "no answer within {seconds} s: look whether its region servers are up"
_NOTHING = "nothing answers there: start HBase's Thrift server, or correct host and port"
_LOST = "the connection was lost: look whether that is HBase's Thrift server (buffered transport), and still up"
_OTHER_PROTOCOL = (
    "what answers is not HBase's Thrift 1 server with binary protocol and buffered transport: correct host and port"
)
_INSIDE = "its Thrift server failed inside: look into its log"
# Of rows written to a table that isn't there it names the table, where the exception's name is otherwise.
_UNKNOWN_TABLE = re.compile(r"Failed \d+ actions?: ([\w.:-]+): \d+ time")
_NAMES = re.compile(r"\b[A-Z]\w*(?:Exception|Error)\b")
_NOT_OPEN = 1  # of TTransportException
_BROKEN = ("TTransportException", "TException")
_GARBLED = ("TProtocolException", "ProtocolError", "TDecodeException")


def classify(error: BaseException, place: str, seconds: float) -> UserError | None:
    """What to raise instead; None if it is no error of the client or the server."""
    name = type(error).__name__
    if name in ("IOError", "IllegalArgument", "AlreadyExists"):  # the server's, by their names in Hbase.thrift
        return _of_server(name, _text(getattr(error, "message", "")), place)
    if isinstance(error, TimeoutError):
        return RawStoreUnavailableError(f"{place}: {_NO_ANSWER.format(seconds=f'{seconds:.0f}')}.")
    if name == "TApplicationException":
        return RawStoreUnavailableError(f"{place}: {_INSIDE}.")
    if isinstance(error, OSError) or name in _BROKEN:
        never_open = getattr(error, "type", None) == _NOT_OPEN
        return RawStoreUnavailableError(f"{place}: {_NOTHING if never_open else _LOST}.")
    return UserError(f"{place}: {_OTHER_PROTOCOL}.") if name in _GARBLED else None


def _text(message: str | bytes) -> str:
    """What happybase hands over undecoded."""
    return message.decode(errors="replace") if isinstance(message, bytes) else message


def _of_server(kind: str, text: str, place: str) -> UserError:
    """The server's text holds tracebacks and rows; the names of exceptions in it tell enough."""
    names = _NAMES.findall(text)
    unknown = _UNKNOWN_TABLE.search(text)
    if unknown and not unknown[1].endswith(("Exception", "Error")):
        names.append("TableNotFoundException")
    for name in names:
        if name in _CERTAIN:
            return UserError(f"{place}: {name}: {_CERTAIN[name]}.")
    if kind == "IllegalArgument" or "KeyValue size too large" in text:
        return ContentRefusedError(f"{place}: refused: a value is larger than hbase.client.keyvalue.maxsize there.")
    cause = next((name for name in reversed(names) if name not in ("IOException", "IOError")), "an error")
    return RawStoreUnavailableError(f"{place}: {cause}: {_PASSING}.")
