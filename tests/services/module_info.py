"""Takes `requires` entries out of a Java module's descriptor: `module-info.class`, JVM specification 4.4 and 4.7.25."""

import struct
import zipfile
from collections.abc import Collection
from pathlib import Path

# Bytes behind the tag of each kind of constant that has a fixed size.
CONSTANT_SIZES = {
    3: 4,
    4: 4,
    5: 8,
    6: 8,
    7: 2,
    8: 2,
    9: 4,
    10: 4,
    11: 4,
    12: 4,
    15: 3,
    16: 2,
    17: 4,
    18: 4,
    19: 2,
    20: 2,
}
UTF8, MODULE, TWO_SLOTS = 1, 19, (5, 6)


def drop_requires(jar: Path, modules: Collection[str]) -> None:
    """Rewrites the jar so that its module no longer requires those modules."""
    changed = jar.with_name(f"{jar.name}.new")
    with zipfile.ZipFile(jar) as old, zipfile.ZipFile(changed, "w", zipfile.ZIP_DEFLATED) as new:
        for entry in old.infolist():
            content = old.read(entry)
            new.writestr(
                entry, without_requires(content, modules) if entry.filename == "module-info.class" else content
            )
    changed.replace(jar)


def without_requires(descriptor: bytes, modules: Collection[str]) -> bytes:
    """The descriptor with those entries of its Module attribute left out; all else as it is."""
    texts, names, position = _constants(descriptor)
    position += 12  # access flags, this class, super class, and no interfaces, fields and methods
    (attributes,) = struct.unpack_from(">H", descriptor, position)
    position += 2
    parts = [descriptor[:position]]
    for _ in range(attributes):
        name, length = struct.unpack_from(">HI", descriptor, position)
        body = descriptor[position + 6 : position + 6 + length]
        position += 6 + length
        if texts.get(name) == "Module":
            body = _filtered(body, {index for index, text in names.items() if texts[text] in modules})
        parts.append(struct.pack(">HI", name, len(body)) + body)
    return b"".join(parts)


def _constants(descriptor: bytes) -> tuple[dict[int, str], dict[int, int], int]:
    """The constant pool's texts, its modules' names (both by index), and where the pool ends."""
    texts: dict[int, str] = {}
    names: dict[int, int] = {}
    (count,) = struct.unpack_from(">H", descriptor, 8)
    position, index = 10, 1
    while index < count:
        tag = descriptor[position]
        position += 1
        if tag == UTF8:
            (size,) = struct.unpack_from(">H", descriptor, position)
            texts[index] = descriptor[position + 2 : position + 2 + size].decode(errors="replace")
            size += 2
        else:
            size = CONSTANT_SIZES[tag]
            if tag == MODULE:
                (names[index],) = struct.unpack_from(">H", descriptor, position)
        position += size
        index += 2 if tag in TWO_SLOTS else 1
    return texts, names, position


def _filtered(module: bytes, dropped: Collection[int]) -> bytes:
    """A Module attribute's body (name, flags, version, then 6 bytes for each module required) without the dropped."""
    (count,) = struct.unpack_from(">H", module, 6)
    entries = [module[8 + 6 * number : 14 + 6 * number] for number in range(count)]
    kept = [entry for entry in entries if struct.unpack_from(">H", entry)[0] not in dropped]
    return module[:6] + struct.pack(">H", len(kept)) + b"".join(kept) + module[8 + 6 * count :]
