"""What a browser would make of a page."""

from dataclasses import dataclass, field
from html.parser import HTMLParser


@dataclass
class Table:
    caption: str = ""
    rows: list = field(default_factory=list)


class Page(HTMLParser):
    """What a browser would make of the page: its text, tables, facts (dt, dd), and every tag with its attributes."""

    def __init__(self, html):
        super().__init__(convert_charrefs=True)
        self.tags, self.text, self.tables, self.facts, self._open = [], [], [], [], []
        self.feed(html)
        self.close()

    def handle_starttag(self, name, attributes):
        self.tags.append((name, dict(attributes)))
        self._open.append(name)
        if name == "table":
            self.tables.append(Table())
        if name == "tr":
            self.tables[-1].rows.append([])
        if name in ("td", "th"):
            self.tables[-1].rows[-1].append("")
        if name in ("dt", "dd"):
            self.facts.append("")

    def handle_endtag(self, name):
        while self._open and self._open.pop() != name:
            pass

    def handle_data(self, data):
        if "style" in self._open or "title" in self._open:
            return
        self.text.append(data)
        if {"td", "th"} & set(self._open):
            self.tables[-1].rows[-1][-1] += data
        if "caption" in self._open:
            self.tables[-1].caption += data
        if {"dt", "dd"} & set(self._open):
            self.facts[-1] += data

    def table(self, caption):
        (found,) = (table.rows[1:] for table in self.tables if caption in table.caption)
        return found

    def fact(self, name):
        return self.facts[self.facts.index(name) + 1]
