"""The tables of a raw store in HBase: created where they are missing, and compared with what is written.

A new table is one region, on one server, until it grows. To begin with several, create it in the HBase shell: keys begin with a byte from 0 to 15.
"""

import time
from collections.abc import Mapping, Sequence

from clickstream.io.errors import UserError
from clickstream.io.raw.hbase.client import HBaseClient
from clickstream.io.raw.store import RawStoreUnavailableError

_ENABLED_SECONDS = 20.0


def setup_tables(client: HBaseClient, tables: Mapping[bytes, Sequence[bytes]]) -> None:
    """Creates the tables (families by name) that are missing; leaves the others. Several workers may do it at once."""
    present = client.call("getTableNames")
    for table, families in tables.items():
        if table not in present:
            _create(client, table, families)
        _wait_until_enabled(client, table)


def _create(client: HBaseClient, table: bytes, families: Sequence[bytes]) -> None:
    columns = [
        client.struct(
            "ColumnDescriptor", name=family + b":", maxVersions=1, compression=b"NONE", blockCacheEnabled=True
        )
        for family in families
    ]
    try:
        client.call("createTable", table, columns)
    except UserError:
        if table not in client.call("getTableNames"):  # else another worker was quicker
            raise


def _wait_until_enabled(client: HBaseClient, table: bytes) -> None:
    """Another worker may be about to create it."""
    end = time.monotonic() + _ENABLED_SECONDS
    while not client.call("isTableEnabled", table):
        if time.monotonic() > end:
            name = table.decode()
            message = f"{client.server}, table {name}: it is disabled. Cure: enable '{name}' in the HBase shell."
            raise RawStoreUnavailableError(message)
        time.sleep(0.2)


def check_tables(client: HBaseClient, tables: Mapping[bytes, Sequence[bytes]]) -> None:
    """Compares families.

    Raises:
        UserError: The first difference: table, what was found, what is needed, how to mend it.
    """
    present = client.call("getTableNames")
    for table, families in tables.items():
        name = table.decode()
        if table not in present:
            message = f"{client.server}, table {name} is missing: run setup-sinks."
            raise UserError(message)
        found = [key.rstrip(b":") for key in client.call("getColumnDescriptors", table)]
        absent = [family.decode() for family in families if family not in found]
        if absent:
            message = f"{client.server}, table {name}: {_difference(found, families)}. Cure: {_cure(name, absent)}."
            raise UserError(message)


def _difference(found: Sequence[bytes], needed: Sequence[bytes]) -> str:
    texts = [", ".join(sorted(family.decode(errors="replace") for family in families)) for families in (found, needed)]
    return f"found column families {texts[0]}, needed {texts[1]}"


def _cure(table: str, absent: Sequence[str]) -> str:
    families = ", ".join(f"{{NAME => '{family}', VERSIONS => 1}}" for family in absent)
    return f"alter '{table}', {families} in the HBase shell, or name another table"
