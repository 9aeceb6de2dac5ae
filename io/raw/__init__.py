"""The raw store: every accepted click once, by time bucket and shard of users; a room for each system that can hold it.

May import: `clickstream.transforms`' ground, the modules directly in `clickstream.io`, and `clickstream.io.sql`.
"""

from clickstream.io.raw.clicks import BUCKET_MS
from clickstream.io.raw.lease import LeaseTakenError
from clickstream.io.raw.read import ReadRawClicks
from clickstream.io.raw.store import Bucket, RawStore, RawStoreConnection
from clickstream.io.raw.write import WriteRawClicks

__all__ = [
    "BUCKET_MS",
    "Bucket",
    "LeaseTakenError",
    "RawStore",
    "RawStoreConnection",
    "ReadRawClicks",
    "WriteRawClicks",
]
