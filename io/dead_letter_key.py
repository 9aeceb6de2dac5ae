"""The name of a rejected record, the same in every store of dead letters."""

import hashlib


def dead_letter_key(source: str, position: int, raw: bytes) -> bytes:
    """16 bytes that name a rejected record: the same wherever and whenever it is rejected again.

    The first 16 of SHA-256 over the source's length and the position (8 bytes each, big-endian), the source in UTF-8,
    and the raw bytes.
    """
    encoded = source.encode()
    framed = b"".join((len(encoded).to_bytes(8, "big"), position.to_bytes(8, "big", signed=True), encoded, raw))
    return hashlib.sha256(framed).digest()[:16]
