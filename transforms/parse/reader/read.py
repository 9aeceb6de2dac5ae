"""The one way in: bytes, lines, those of the same shape or singly, columns."""

from collections.abc import Sequence

from clickstream.transforms.lines import as_lines
from clickstream.transforms.parse.reader.columns import Decoded, as_columns, merged
from clickstream.transforms.parse.reader.cut import cut_fields
from clickstream.transforms.parse.reader.same_shape import KnownShapes, find_same_shape
from clickstream.transforms.parse.reader.singly import decode_singly


def read_records(
    values: Sequence[bytes], fields: Sequence[str], known: KnownShapes, *, max_record_bytes: int = 1 << 20
) -> Decoded:
    """Decodes every record of a batch and takes the fields out; never raises for a record's content.

    Args:
        values: JSON records, nested or flat, in any mixture.
        fields: Names of FlatRecord's fields; a field that a record lacks is null.
        known: Shapes that were met before, to which this batch's are added. It changes the cost, and nothing else.
        max_record_bytes: A longer record is refused undecoded.

    Returns:
        Each record exactly once: decoded, or refused with its reason.
    """
    lines = as_lines(values)
    if lines is None or not (found := find_same_shape(lines, known, max_record_bytes)):
        return as_columns(decode_singly(values, lines, fields, max_record_bytes))
    cut = cut_fields(lines, found, fields)
    others = decode_singly(cut.others, cut.others, fields, max_record_bytes)
    return merged(cut.fields, cut.kept, others, cut.others_at)
