"""An HTML page taken apart: its text, its tables, its links; every tag is closed."""

import html.parser

_VOID = {"meta", "img", "br", "link", "input", "hr", "wbr"}


class Page(html.parser.HTMLParser):
    """Fails on a tag that is not closed in order; keeps text, tables and links."""

    def __init__(self, source: str):
        super().__init__()
        self.open, self.text, self.rows, self.links, self.ids = [], [], [], [], []
        self.feed(source)
        self.close()
        assert self.open == [], f"never closed: {self.open}"

    def handle_starttag(self, tag, attrs):
        self._attributes(attrs)
        if tag not in _VOID:
            self.open.append(tag)
        if tag == "tr":
            self.rows.append("")

    def handle_startendtag(self, tag, attrs):
        self._attributes(attrs)

    def _attributes(self, attrs):
        found = dict(attrs)
        keys = ("src", "href", "xlink:href")
        self.links += [found[k] for k in keys if k in found]
        self.ids += [found["id"]] if "id" in found else []

    def handle_endtag(self, tag):
        assert self.open and self.open.pop() == tag, f"</{tag}> closes nothing"

    def handle_data(self, data):
        if self.open and self.open[-1] != "style":
            self.text.append(data)
            if "tr" in self.open:
                self.rows[-1] += data + " "
