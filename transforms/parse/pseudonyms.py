"""Pseudonyms: keyed hashes that stand for user ids in everything behind decoding. See docs/decisions/0005."""

import hashlib
import re
from base64 import urlsafe_b64decode
from binascii import b2a_base64
from typing import Any, NoReturn

import pyarrow as pa

from clickstream.transforms.limits import MAX_TEXT_LENGTH
from clickstream.transforms.memo import Memo

MIN_KEY_BYTES = 16

_PREFIX, _ROW_KEY_PREFIX = "p1_", "r1_"
_SHAPE = re.compile("[pr]1_[A-Za-z0-9_-]{28}")
_ID_BYTES, _PROOF_BYTES, _BLOCK_BYTES = 16, 5, 64
_FOR_PROOFS, _OF_ROW_KEY = b"\xff", b"\xfe"  # begin what is hashed: no user id in UTF-8 does
_URLSAFE = bytes.maketrans(b"+/", b"-_")
_LONGEST_KNOWN = 128


class Hmac:
    """HMAC-SHA256 (RFC 2104) of many messages under one key, at a third of the cost of `hmac.digest`."""

    def __init__(self, key: bytes) -> None:
        block = (key if len(key) <= _BLOCK_BYTES else hashlib.sha256(key).digest()).ljust(_BLOCK_BYTES, b"\0")
        self._inner = hashlib.sha256(bytes(byte ^ 0x36 for byte in block))
        self._outer = hashlib.sha256(bytes(byte ^ 0x5C for byte in block))

    def __call__(self, message: bytes) -> bytes:
        """The 32 bytes for one message."""
        inner, outer = self._inner.copy(), self._outer.copy()
        inner.update(message)
        outer.update(inner.digest())
        return outer.digest()


class Pseudonyms:
    """Names users by keyed hashes, the same in every process that has the key.

    A pseudonym is `p1_` and 28 characters of base64url: the first 16 bytes of HMAC-SHA256(key, user id without white space around it, in UTF-8),
    and 5 that only the key's holder can make (BLAKE2b, keyed). A pseudonym that comes in again, out of a dead letter, therefore stands for itself.

    Args:
        key: At least 16 bytes in UTF-8.

    Raises:
        ValueError: The key is shorter.
    """

    def __init__(self, key: str) -> None:
        secret = key.encode()
        if len(secret) < MIN_KEY_BYTES:
            message = (
                f"The key of the pseudonyms has {len(secret)} bytes; it takes at least {MIN_KEY_BYTES}, or ids could be guessed: "
                "make one with openssl rand -hex 32."
            )
            raise ValueError(message)
        self.hmac = Hmac(secret)
        self._proof = hashlib.blake2b(key=self.hmac(_FOR_PROOFS), digest_size=_PROOF_BYTES)
        of_row_keys = self.hmac(_OF_ROW_KEY)
        self._row_key = hashlib.blake2b(key=of_row_keys, digest_size=_ID_BYTES)
        self._row_key_proof = hashlib.blake2b(key=of_row_keys, digest_size=_PROOF_BYTES)
        self._known = Memo(self._stands_for, longest=_LONGEST_KNOWN)

    def __reduce__(self) -> NoReturn:
        message = "Pseudonyms hold a key: each worker makes its own, in setup(), and none are sent."
        raise TypeError(message)

    def of(self, user_id: str) -> str:
        """The pseudonym of a user; that of a pseudonym of this key is itself."""
        text = user_id.strip()
        if text.startswith(_PREFIX) and self._is_proven(text):
            return text
        return self._proven(_PREFIX, self.hmac(text.encode(errors="surrogatepass"))[:_ID_BYTES])

    def of_row_key(self, row_key: str) -> str:
        """What any row key becomes, as nobody knows in which spelling it may hold an id. Equal keys stay equal, and one made already stays."""
        if row_key.startswith(_ROW_KEY_PREFIX) and self._is_proven(row_key):
            return row_key
        named = self._row_key.copy()  # each is another: BLAKE2b, as it takes half of HMAC-SHA256's time
        named.update(row_key.encode(errors="surrogatepass"))
        return self._proven(_ROW_KEY_PREFIX, named.digest())

    def _is_proven(self, text: str) -> bool:
        if not _SHAPE.fullmatch(text):
            return False
        prefix, rest = text[: len(_PREFIX)], text[len(_PREFIX) :]
        return text == self._proven(prefix, urlsafe_b64decode(rest)[:_ID_BYTES])

    def hide(self, fields: dict[str, Any]) -> None:
        """Replaces, in the columns of decoded records, each `user_id` by its pseudonym, and each `row_key` by `of_row_key`.

        An id that no check will pass, blank or too long, stays, to be refused for what it is.
        """
        ids = fields["user_id"].to_pylist()
        if "row_key" in fields:
            row_keys = [self.of_row_key(key) if key else key for key in fields["row_key"].to_pylist()]
            fields["row_key"] = pa.array(row_keys, pa.string())
        fields["user_id"] = pa.array(map(self._known.__getitem__, ids), pa.string())

    def _stands_for(self, user_id: str) -> str:
        return self.of(user_id) if 0 < len(user_id.strip()) <= MAX_TEXT_LENGTH else user_id

    def _proven(self, prefix: str, digest: bytes) -> str:
        proof = (
            self._proof if prefix == _PREFIX else self._row_key_proof
        ).copy()  # so that neither kind passes for the other
        proof.update(digest)
        return prefix + b2a_base64(digest + proof.digest(), newline=False).translate(_URLSAFE).decode()
