"""Reading forms: in UTF-8, as every page of ours asks for, and as nothing else."""

from typing import Final

from fastapi import Request
from python_multipart.multipart import parse_options_header
from starlette.datastructures import FormData

from janus_mail.errors import InvalidInput

_UTF_8: Final = frozenset({b"", b"utf-8", b"utf8"})


async def read_utf8_form(request: Request, *, max_files: int, max_fields: int, max_part_size: int) -> FormData:
    """Raises `InvalidInput` for a form that says it is in something else. Browsers never do; among Python's codecs are
    some that fail on any text, and some that make halves of surrogate pairs, which go into no answer and no database.
    """
    _, options = parse_options_header(request.headers.get("content-type"))
    if options.get(b"charset", b"").lower() not in _UTF_8:
        raise InvalidInput("Send the form in UTF-8.")
    return await request.form(max_files=max_files, max_fields=max_fields, max_part_size=max_part_size)
