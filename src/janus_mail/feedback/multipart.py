"""The fields of a form as browsers post files (RFC 7578), read in one go: parts are not looked into."""

from python_multipart.exceptions import FormParserError
from python_multipart.multipart import MultipartParser, parse_options_header

from janus_mail.feedback.reader import Unreadable


class _Fields:
    """Hears of the form's pieces in their order."""

    def __init__(self, most: int) -> None:
        self.fields: list[tuple[str, str]] = []
        self._most = most
        self._begin()

    def _begin(self) -> None:
        self._header, self._value, self._disposition, self._content = bytearray(), bytearray(), b"", bytearray()

    def on_part_begin(self) -> None:
        if len(self.fields) >= self._most:
            raise Unreadable(f"It is not a form: it has more than {self._most} fields.")
        self._begin()

    def on_header_field(self, data: bytes, start: int, end: int) -> None:
        self._header += data[start:end]

    def on_header_value(self, data: bytes, start: int, end: int) -> None:
        self._value += data[start:end]

    def on_header_end(self) -> None:
        if self._header.lower() == b"content-disposition":
            self._disposition = bytes(self._value)
        self._header, self._value = bytearray(), bytearray()

    def on_part_data(self, data: bytes, start: int, end: int) -> None:
        self._content += data[start:end]

    def on_part_end(self) -> None:
        name = parse_options_header(self._disposition)[1].get(b"name", b"").decode("utf-8", "replace")
        if name:
            self.fields.append((name, self._content.decode("utf-8", "replace")))


def multipart_fields(body: bytes, boundary: bytes, *, most: int) -> list[tuple[str, str]]:
    """Names and values, files too. Raises `Unreadable`."""
    if not boundary:
        raise Unreadable("It is not a form: it names no boundary.")
    heard = _Fields(most)
    callbacks = {name: getattr(heard, name) for name in dir(heard) if name.startswith("on_")}
    try:
        parser = MultipartParser(boundary, callbacks)  # type: ignore[arg-type]
        parser.write(body)
        parser.finalize()
    except (FormParserError, ValueError) as error:
        raise Unreadable(f"It is not a form: {error}") from None
    return heard.fields
