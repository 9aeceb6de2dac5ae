"""The live page: a view as HTML and CSV, a tab a module, and the server with its guard. Needs the extra `page`.

May import: `clickstream.page`'s ground, and what that may.
"""

from clickstream.page.live.server import address_of, bind, is_loopback, page_app, serve

__all__ = ["address_of", "bind", "is_loopback", "page_app", "serve"]
