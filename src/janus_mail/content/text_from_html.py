"""A readable text made from HTML, for the text part of a mail that was given as HTML alone.

Written here because the standard library's HTMLParser takes time quadratic in broken input (40 kB of `<a ` cost 12 s)
and raises on some, html2text is GPL, and inscriptis needs lxml and requests. This one is linear and never raises.
"""

import re
from html import unescape

# Every alternative that begins also ends, at the end of the input if need be: no input is read twice.
_TOKEN = re.compile(
    r"""
      <!--.*?(?:-->|\Z)
    | <[!?][^>]*+(?:>|\Z)
    | </(?P<end>[a-z][^\s/>]*+)[^>]*+(?:>|\Z)
    | <(?P<start>[a-z][^\s/>]*+)
      (?P<attributes>(?:[^>=]++|=\s*+(?:"[^"]*+(?:"|\Z)|'[^']*+(?:'|\Z))|=)*+)(?:>|\Z)
    | (?P<text>(?:[^<]++|<(?![a-z/!?]))++|<)
    """,
    re.VERBOSE | re.DOTALL | re.IGNORECASE,
)
_ATTRIBUTE = re.compile(r"""([^\s"'=<>/]++)(?:\s*+=\s*+(?:"([^"]*+)"?|'([^']*+)'?|([^\s>]++)))?+""")
_SPACE = re.compile(r"[ \t\n\r\f]+")
# A no-break space is a space here; soft hyphens and the zero-width marks that pad previews say nothing.
_CHARACTERS = str.maketrans({"\xa0": " ", "\xad": None, "\u034f": None, "\u200b": None, "\ufeff": None})

_UNREAD = {
    tag: re.compile(rf"</{tag}\b[^>]*+(?:>|\Z)", re.IGNORECASE)
    for tag in ("iframe", "noembed", "noframes", "script", "style", "template", "title")
}
# The line ends that a browser's default styles put before and after.
_PARAGRAPHS = ("blockquote", "dl", "h1", "h2", "h3", "h4", "h5", "h6", "p", "pre")
_BLOCKS = re.findall(
    r"\w+",
    "address article aside caption center dd details div dt fieldset figcaption figure footer form header hr legend li "
    "main nav section summary table tbody tfoot thead tr",
)
_BREAKS = dict.fromkeys(_PARAGRAPHS, 2) | dict.fromkeys(_BLOCKS, 1)
_SHOWN_LINK = re.compile(r"(?:https?|mailto|tel|sms|ftps?):|\{\{", re.IGNORECASE)
_MAX_DEPTH = 8  # of indents: deeper ones would cost more than they say


def text_from_html(html: str) -> str:
    """What a reader of the HTML sees, as plain text: links as `text (url)`, a table row as `a | b`."""
    rendering = _Rendering()
    position = 0
    while match := _TOKEN.match(html, position):
        position = match.end()
        if match.lastgroup == "text":
            rendering.add_text(match["text"])
        elif match.lastgroup == "end":
            rendering.end(match["end"].lower())
        elif match.lastgroup == "attributes":
            tag = match["start"].lower()
            if tag in _UNREAD:
                end = _UNREAD[tag].search(html, position)
                position = end.end() if end else len(html)
            else:
                rendering.start(tag, match["attributes"])
    return rendering.finish()


def _unescape(text: str) -> str:
    try:
        return unescape(text)
    except ValueError:  # a character reference with thousands of digits
        return text


def _attribute(attributes: str, name: str) -> str:
    for match in _ATTRIBUTE.finditer(attributes):
        if match[1].lower() == name:
            return _unescape(match[2] or match[3] or match[4] or "").strip()
    return ""


class _Rendering:
    """The text so far, and what is owed before the next word: line ends, a cell's bar or a space."""

    def __init__(self) -> None:
        self._written: list[str] = []
        self._breaks = 0
        self._space = False
        self._bar = False
        self._row_has_text = False
        self._quotes = 0
        self._lists: list[int | None] = []  # the number of the last item, None in a list without numbers
        self._marker = ""
        self._pre = 0
        self._link: tuple[str, int] | None = None  # its address, and where its words begin in `_written`

    def add_text(self, text: str) -> None:
        if "&" in text:
            text = _unescape(text)
        if not text.isascii():
            text = text.translate(_CHARACTERS)
        if self._pre:
            for number, line in enumerate(text.split("\n")):
                self._breaks += number > 0
                if line:
                    self._write(line)
            return
        words = _SPACE.sub(" ", text)
        self._space |= words.startswith(" ")
        if stripped := words.strip(" "):
            self._write(stripped)
            self._space = words.endswith(" ")

    def start(self, tag: str, attributes: str) -> None:
        self._break(tag)
        if tag == "a":
            self._end_link()
            self._link = (_attribute(attributes, "href"), len(self._written))
        elif tag == "img":
            self.add_text(_attribute(attributes, "alt"))
        elif tag == "hr":
            self._write("-" * 20)
            self._break(tag)
        elif tag == "ol":
            self._lists.append(0)
        elif tag == "ul":
            self._lists.append(None)
        elif tag == "li":
            self._start_item()
        elif tag == "td" or tag == "th":
            self._bar = self._row_has_text
        elif tag == "tr":
            self._row_has_text = False
        elif tag == "blockquote":
            self._quotes += 1
        elif tag == "pre":
            self._pre += 1

    def end(self, tag: str) -> None:
        if tag == "a":
            self._end_link()
        elif tag in ("ol", "ul") and self._lists:
            self._lists.pop()
        elif tag == "li":
            self._marker = ""
        elif tag == "blockquote":
            self._quotes = max(self._quotes - 1, 0)
        elif tag == "pre":
            self._pre = max(self._pre - 1, 0)
        self._break(tag)

    def finish(self) -> str:
        self._end_link()
        text = "\n".join(line.rstrip() for line in "".join(self._written).split("\n"))
        return text + "\n" if text else ""

    def _break(self, tag: str) -> None:
        if tag in _BREAKS:
            self._breaks = max(self._breaks, _BREAKS[tag])
        elif tag == "br":
            self._breaks = min(self._breaks + 1, 2)
        elif tag in ("ol", "ul"):
            self._breaks = max(self._breaks, 1 if self._lists else 2)

    def _start_item(self) -> None:
        number = self._lists[-1] if self._lists else None
        if number is None:
            self._marker = "- "
        else:
            self._lists[-1] = number + 1
            self._marker = f"{number + 1}. "

    def _end_link(self) -> None:
        if self._link is None:
            return
        (address, start), self._link = self._link, None
        words = "".join(self._written[start:]).strip()
        says_it = words and words in (address, address.partition(":")[2], address.partition("://")[2])
        if says_it or not _SHOWN_LINK.match(address):
            return
        self._space = True
        self._write(f"({address})" if words else address)

    def _write(self, text: str) -> None:
        if self._breaks or not self._written:
            self._written += ("\n" * self._breaks if self._written else "", self._indent())
        elif self._bar:
            self._written.append(" | ")
        elif self._space:
            self._written.append(" ")
        self._breaks, self._space, self._bar, self._row_has_text = 0, False, False, True
        self._written.append(text)

    def _indent(self) -> str:
        quote = "> " * min(self._quotes, _MAX_DEPTH)
        depth = min(len(self._lists), _MAX_DEPTH)
        if self._marker:
            marker, self._marker = self._marker, ""
            return f"{quote}{'  ' * (depth - 1)}{marker}"
        return quote + "  " * depth
