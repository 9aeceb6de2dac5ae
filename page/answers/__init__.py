"""What the live page asks of a store, and the view that is made of it.

May import: `clickstream.page`'s ground, and what that may.
"""

from clickstream.page.answers.page_answers import WAIT_SECONDS, PageAnswers

__all__ = ["WAIT_SECONDS", "PageAnswers"]
