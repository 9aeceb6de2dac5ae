"""What people look at: the report of a run (`report/`), and the live page (`answers/` to a view, `live/` to its HTML and server).

On the ground, for both: addresses, views, pieces of HTML, charts. Each room imports the ground and no other room.
May import: `clickstream.io.results`, the modules directly in `clickstream.io`, `clickstream.transforms`' ground and `clickstream.transforms.answer`.
"""
