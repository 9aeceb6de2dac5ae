"""What reprocessing changed, or would, for people to read: a line a window and store."""

import sys
from collections.abc import Sequence
from datetime import datetime, timezone

from clickstream.transforms.restate import WindowChange

_FIGURES = {
    "clicks": "clicks",
    "unique_users": "users",
    "time_spent_seconds": "seconds",
    "timed_clicks": "timed clicks",
}


def show_changes(changes: Sequence[WindowChange], *, written: bool) -> None:
    """Prints the changes, and what was done about them."""
    lines = [change_line(change) for change in changes]
    kept = sum(change.kept for change in changes)
    lines.append(f"{len(changes) - kept} windows {'restated' if written else 'to restate'}, by store.")
    if kept:
        lines.append(f"{kept} left as they are: the raw store holds fewer clicks of them than are published.")
    sys.stdout.write("".join(f"{line}\n" for line in lines))
    sys.stdout.flush()


def change_line(change: WindowChange) -> str:
    """One window in one store."""
    start = datetime.fromtimestamp(change.window_start_ms / 1000, timezone.utc)
    figures = [
        f"{name} {change.published[key]:,.10g} -> {change.computed[key]:,.10g}"
        for key, name in _FIGURES.items()
        if change.published[key] != change.computed[key]
    ]
    rows = [
        f"{count} {what}"
        for count, what in ((change.missing, "missing"), (change.differing, "differing"), (change.needless, "needless"))
        if count
    ]
    kept = ["left as it is"] if change.kept else []
    return f"{start:%Y-%m-%dT%H:%M:%SZ}  {change.store}: " + "; ".join([*figures, f"rows: {', '.join(rows)}", *kept])
