"""What people look at: the report of a run, and the live page with its server.

May import: `clickstream.io.results`, the modules directly in `clickstream.io`, `clickstream.transforms`' ground and `clickstream.transforms.answer`.
"""
