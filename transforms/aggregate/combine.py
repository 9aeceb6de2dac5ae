"""`PageSums` in Beam: how partial sums are combined, and their coder."""

from collections.abc import Iterable

import apache_beam as beam
import pyarrow as pa
from apache_beam.coders import BytesCoder, Coder, IterableCoder, TupleCoder, VarIntCoder

from clickstream.transforms.aggregate.page_sums import PageSums


def sums_of(partials: pa.Table) -> PageSums:
    """The sums of a table of PARTIAL_SCHEMA."""
    sums = PageSums()
    sums.add(partials)
    return sums


def merge_sums(parts: Iterable[PageSums]) -> PageSums:
    """All of them as one."""
    merged = PageSums()
    for sums in parts:
        merged.merge(sums)
    return merged


class CombinePageSums(beam.CombineFn):
    """Tables of partial sums to one `PageSums`: associative, the same for any split and merge tree."""

    def create_accumulator(self) -> PageSums:
        return PageSums()

    def add_input(self, accumulator: PageSums, partials: pa.Table) -> PageSums:
        accumulator.add(partials)
        return accumulator

    def merge_accumulators(self, accumulators: Iterable[PageSums]) -> PageSums:
        return merge_sums(accumulators)

    def extract_output(self, accumulator: PageSums) -> PageSums:
        return accumulator

    def get_accumulator_coder(self) -> Coder:
        return PageSumsCoder()


class PageSumsCoder(Coder):
    """Encodes a `PageSums` as its Arrow streams; decoding opens none of them."""

    _coder = TupleCoder([VarIntCoder(), VarIntCoder(), IterableCoder(BytesCoder())])

    def encode(self, value: PageSums) -> bytes:
        return bytes(self._coder.encode((value.unmerged_rows, value.merged_rows, value.packed())))

    def decode(self, encoded: bytes) -> PageSums:
        unmerged_rows, merged_rows, packed = self._coder.decode(encoded)
        return PageSums(packed, unmerged_rows, merged_rows)

    def is_deterministic(self) -> bool:
        return False

    def to_type_hint(self) -> type:
        return PageSums


beam.coders.registry.register_coder(PageSums, PageSumsCoder)
