"""Through how many modules one raw batch goes on its way to a table of clicks, and how often it comes back to one that it had left.

usage: python benchmarks/stays.py [--events=10000] [--broken_share=0.01]

Follows the calls of one `parse_clicks` as they happen (`sys.setprofile`). A stay begins whenever another module of `transforms/` runs; a return is a
stay in a module that was left before; a loop's rounds count once. Twice over the same batch, as on a worker that has seen such records: the second
time counts.
"""

import argparse
import sys
from pathlib import Path
from types import FrameType
from typing import Any

from clickstream.io.sample import SampleOptions, sample_records
from clickstream.transforms import METRIC_COLUMNS, ParseOptions, RawBatch
from clickstream.transforms.parse import KnownShapes, parse_clicks

ROOT = Path(__file__).parents[1] / "transforms"


class Stays:
    """The modules in which a program stays, in turn."""

    def __init__(self) -> None:
        self.modules: list[str] = []

    def __call__(self, frame: FrameType, event: str, _: Any) -> None:
        """What `sys.setprofile` takes: after a call and before a return, somebody else runs."""
        found: FrameType | None = frame if event == "call" else frame.f_back if event == "return" else None
        path = Path(found.f_code.co_filename) if found else None
        if path and path.is_relative_to(ROOT):
            module = str(path.relative_to(ROOT).with_suffix(""))
            if not self.modules or self.modules[-1] != module:
                self.modules.append(module)
                self._forget_rounds()

    def _forget_rounds(self) -> None:
        """A loop's rounds count once."""
        for length in range(2, 9):
            if self.modules[-length:] == self.modules[-2 * length : -length]:
                del self.modules[-length:]


def main() -> None:
    """Prints the figures, and the way as a line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--events", type=int, default=10_000)
    parser.add_argument("--broken_share", type=float, default=0.01)
    options = parser.parse_args()
    sample = SampleOptions(events=options.events, broken_share=options.broken_share)
    values = [value for values in sample_records(sample) for value in values]
    batch = RawBatch(values, "log", range(len(values)))
    shapes = KnownShapes()
    for _ in range(2):
        stays = Stays()
        sys.setprofile(stays)
        parse_clicks(batch, ParseOptions(columns=METRIC_COLUMNS), now_ms=2**42, shapes=shapes)
        sys.setprofile(None)
    modules = dict.fromkeys(stays.modules)
    print(f"{len(stays.modules)} stays in {len(modules)} modules, {len(stays.modules) - len(modules)} returns")
    steps = list(zip(stays.modules, stays.modules[1:], strict=False))
    print(f"{len(dict.fromkeys(steps))} ways from one module to another")
    print(" → ".join(stays.modules[:200]))


if __name__ == "__main__":
    main()
