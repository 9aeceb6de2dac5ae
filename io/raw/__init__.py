"""The raw store: every accepted click once, by time bucket and shard of users; a room for each system that can hold it.

May import: `clickstream.transforms`' ground, the modules directly in `clickstream.io`, and `clickstream.io.sql`.
"""
