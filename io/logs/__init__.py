"""Click logs: files of any file system that Beam knows, told by their first bytes, read as batches of records, and how far they were read.

May import: the modules directly in `clickstream.io` and `clickstream.transforms`.
"""

from clickstream.io.logs.form import LogForm, form_of, open_text
from clickstream.io.logs.json_values import Value, ValueCutter
from clickstream.io.logs.read import (
    LogFile,
    LogSplit,
    ReadClickLogs,
    match_logs,
    open_behind,
    read_logs,
    read_split,
    read_values,
    split_log,
)
from clickstream.io.logs.read_so_far import KnownLog, LastLine, NoteLastLines, Unread, unread_of

__all__ = [
    "KnownLog",
    "LastLine",
    "LogFile",
    "LogForm",
    "LogSplit",
    "NoteLastLines",
    "ReadClickLogs",
    "Unread",
    "Value",
    "ValueCutter",
    "form_of",
    "match_logs",
    "open_behind",
    "open_text",
    "read_logs",
    "read_split",
    "read_values",
    "split_log",
    "unread_of",
]
