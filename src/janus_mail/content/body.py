"""Bodies of text and HTML: line ends, transfer encoding (RFC 2045), and their headers.

A body is 7bit where it is ASCII and no hop can damage it; else quoted-printable or base64, whichever is smaller.
"""

import re
from binascii import b2a_base64, b2a_qp
from collections.abc import Mapping
from itertools import groupby

from janus_mail.content.characters import check_text
from janus_mail.content.variables import Template, placeholders

# No line over 998 octets (RFC 5322 2.1.1), and nothing that old mail stores and gateways change in a body: «From » at
# the start of a line (which gets a «>»), blanks at its end.
_STURDY_LINE = r"(?!From )[^\n]{0,998}+(?<![ \t])"
_STURDY = re.compile(rf"(?:{_STURDY_LINE}\n)*+{_STURDY_LINE}")
_LINE = re.compile(r"[^\n]*+\n|[^\n]++")
_BASE64_LINE = 76


def normal_line_ends(text: str) -> str:
    """The text with each of CRLF, CR and LF as LF."""
    return text.replace("\r\n", "\n").replace("\r", "\n") if "\r" in text else text


def encode_text(text: str, subtype: str) -> bytes:
    """A MIME part: Content-Type and Content-Transfer-Encoding, an empty line, the encoded text. Raises InvalidText."""
    check_text(text)
    return _part(normal_line_ends(text), subtype)


class TextPart:
    """A part with placeholders: lines without any are encoded once, `encode` does the others for one mail.

    The text with its placeholders decides between the encodings; a mail whose values do not fit 7bit is encoded anew.
    Raises InvalidText.
    """

    def __init__(self, template: Template, subtype: str) -> None:
        check_text(template.text)
        text = normal_line_ends(template.text)
        self._whole = Template(text, template.names)
        self._subtype = subtype
        if _fits_7bit(text):
            self._split("7bit", _LINE.findall(text))
        else:
            self._split("quoted-printable", _LINE.findall(text))
            if sum(map(len, self._pieces[1:])) > _base64_size(text):
                self._split("base64", [text])  # its lines depend on each other

    def _split(self, encoding: str, lines: list[str]) -> None:
        self._encoding = encoding
        self._pieces = [_head(self._subtype, encoding)]
        self._fills: list[tuple[int, Template]] = []  # lines with placeholders, and their places in `_pieces`
        names = self._whole.names
        for is_filled, run in groupby(lines, lambda line: "{{" in line and not names.isdisjoint(placeholders(line))):
            together = "".join(run)
            if is_filled:
                self._fills.append((len(self._pieces), Template(together, names)))
            self._pieces.append(_ENCODERS[encoding](together))

    def encode(self, values: Mapping[str, str]) -> bytes:
        """The part for one mail. `values` have passed `check_text` and `normal_line_ends`. Raises InvalidVariable."""
        pieces = self._pieces.copy()
        encoder = _ENCODERS[self._encoding]
        for place, lines in self._fills:
            filled = lines.fill(values)
            if self._encoding == "7bit" and not _fits_7bit(filled):
                return _part(self._whole.fill(values), self._subtype)
            pieces[place] = encoder(filled)
        return b"".join(pieces)


def _part(text: str, subtype: str) -> bytes:
    encoding, encoded = _encode(text)
    return _head(subtype, encoding) + encoded


def _head(subtype: str, encoding: str) -> bytes:
    head = f'Content-Type: text/{subtype}; charset="utf-8"\r\nContent-Transfer-Encoding: {encoding}\r\n\r\n'
    return head.encode("ascii")


def _encode(text: str) -> tuple[str, bytes]:
    """The encoding that suits the text (with LF), and the text in it."""
    if _fits_7bit(text):
        return "7bit", _octets(text)
    quoted = _quoted_printable(text)
    if len(quoted) <= _base64_size(text):
        return "quoted-printable", quoted
    return "base64", _base64(text)


def _fits_7bit(text: str) -> bool:
    return text.isascii() and _STURDY.fullmatch(text) is not None


def _octets(text: str) -> bytes:
    return text.encode().replace(b"\n", b"\r\n")


def _quoted_printable(text: str) -> bytes:
    octets = _octets(text)
    # binascii gives its soft breaks the line ends that it sees first, so there must be one.
    quoted = b2a_qp(octets) if b"\n" in octets else b2a_qp(octets + b"\r\n")[:-2]
    # A soft break inside «From », because an escape could make the line longer than 76.
    if quoted.startswith(b"From "):
        quoted = b"F=\r\n" + quoted[1:]
    return quoted.replace(b"\nFrom ", b"\nF=\r\nrom ")


def _base64(text: str) -> bytes:
    encoded = b2a_base64(_octets(text), newline=False)
    lines = [encoded[start : start + _BASE64_LINE] for start in range(0, len(encoded), _BASE64_LINE)]
    lines.append(b"")
    return b"\r\n".join(lines)


def _base64_size(text: str) -> int:
    size = (len(text.encode()) + text.count("\n") + 2) // 3 * 4
    return size + -(-size // _BASE64_LINE) * 2


_ENCODERS = {"7bit": _octets, "quoted-printable": _quoted_printable, "base64": _base64}
