"""The files that callers send with an event: their shape, their limits, and their bytes out of base64."""

import asyncio
from binascii import Error as InvalidBase64
from binascii import a2b_base64
from collections.abc import Sequence
from hashlib import sha256
from typing import Annotated, Final

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field
from pydantic_core import PydanticCustomError

from janus_mail.content.files import check_content_id, check_content_type, check_filename, guessed_type
from janus_mail.errors import Detail, InvalidInput
from janus_mail.events.rows import NewFile

MAX_FILES: Final = 100
MAX_OCTETS: Final = 25 * 2**20  # of all files of an event, decoded

_MANY_OCTETS = 2**18  # from here on a thread decodes
_AT_ONCE = 2**18  # characters; a multiple of 4. Between two steps other threads have their turn


def _type_or_none(value: str | None) -> str | None:
    return None if value is None else check_content_type(value)


def _id_or_none(value: str | None) -> str | None:
    return None if value is None else check_content_id(value)


class AttachmentIn(BaseModel):
    """A file to send along."""

    model_config = ConfigDict(extra="forbid", hide_input_in_errors=True, title="Attachment")

    filename: Annotated[
        str,
        AfterValidator(check_filename),
        Field(title="File name", description="1 to 255 characters, without a path.", examples=["hello.txt"]),
    ]
    content_type: Annotated[
        str | None,
        AfterValidator(_type_or_none),
        BeforeValidator(lambda value: None if value == "" else value),
        Field(
            title="Content type",
            description="`type/subtype`. Default: what the file name's ending stands for, else "
            "`application/octet-stream`.",
            examples=["text/plain"],
        ),
    ] = None
    content: Annotated[
        str,
        Field(
            title="Content",
            description="Base64 (RFC 4648 section 4) with its padding, without line breaks and without a `data:` "
            "prefix.",
            repr=False,
            min_length=4,
            json_schema_extra={"format": "byte"},
            examples=["SGVsbG8sIFdvcmxkIQo="],
        ),
    ]
    content_id: Annotated[
        str | None,
        AfterValidator(_id_or_none),
        BeforeValidator(lambda value: None if value == "" else value),
        Field(
            title="Content-ID",
            description="For an image within the HTML, which shows it as `cid:` and this id; without angle brackets.",
            examples=["logo"],
        ),
    ] = None


def _within_limits(files: list[AttachmentIn]) -> list[AttachmentIn]:
    ids = [file.content_id for file in files if file.content_id is not None]
    if len(set(ids)) < len(ids):
        raise ValueError("A content_id is given twice.")
    octets = sum(_decoded_size(file.content) for file in files)
    if octets > MAX_OCTETS:
        raise PydanticCustomError(
            "attachments_too_large",
            "The attachments of an event may have up to 25 MiB in all; these have {mib} MiB.",
            {"mib": f"{octets / 2**20:.1f}"},
        )
    return files


Attachments = Annotated[
    list[AttachmentIn],
    AfterValidator(_within_limits),
    Field(
        title="Attachments",
        description="Files to send along: up to 100, and 25 MiB in all when decoded.",
        max_length=MAX_FILES,
        examples=[[{"filename": "hello.txt", "content_type": "text/plain", "content": "SGVsbG8sIFdvcmxkIQo="}]],
    ),
]


async def read_files(given: Sequence[AttachmentIn]) -> list[NewFile]:
    """The files decoded; large ones in a thread. Raises InvalidInput (`invalid_attachment`)."""
    if not given:
        return []
    if sum(len(file.content) for file in given) < _MANY_OCTETS:
        return _read(given)
    return await asyncio.to_thread(_read, given)


async def uploaded(filename: str, content_type: str, content: bytes) -> NewFile:
    """A file as a form sends it. Raises InvalidFile."""
    kind = content_type.partition(";")[0].strip()
    name = check_filename(filename)
    return NewFile(
        filename=name, content_type=check_content_type(kind) if kind else guessed_type(name), content_id=None,
        content=content, digest=(await asyncio.to_thread(sha256, content)).digest(),
    )  # fmt: skip


def _read(given: Sequence[AttachmentIn]) -> list[NewFile]:
    return [_read_one(place, file) for place, file in enumerate(given)]


def _read_one(place: int, file: AttachmentIn) -> NewFile:
    try:
        content = _decode(file.content)
    except (InvalidBase64, ValueError):  # the second is for what is not ASCII
        where, why = f"attachments[{place}].content", _what_is_wrong(file.content)
        message = f"{where}: {why}"
        raise InvalidInput(message, code="invalid_attachment", details=[Detail(where, why)]) from None
    return NewFile(
        filename=file.filename, content_type=file.content_type or guessed_type(file.filename),
        content_id=file.content_id, content=content, digest=sha256(content).digest(),
    )  # fmt: skip


def _decode(text: str) -> bytes:
    """Raises binascii's Error or ValueError for anything but base64 with its padding, in one line."""
    if len(text) % 4 or "=" in text[:-4]:
        raise InvalidBase64
    return b"".join(
        a2b_base64(text[start : start + _AT_ONCE], strict_mode=True) for start in range(0, len(text), _AT_ONCE)
    )


def _what_is_wrong(text: str) -> str:
    if text[:5].lower() == "data:":
        return "Give the base64 alone, without the data: prefix."
    if any(blank in text for blank in "\r\n \t"):
        return "The base64 must be in one line, without line breaks and blanks."
    if "-" in text or "_" in text:
        return "Use the standard alphabet of base64, with + and /."
    if len(text) % 4:
        return "The base64 is cut off, or lacks its padding with =."
    return "This is not base64."


def _decoded_size(text: str) -> int:
    return len(text) // 4 * 3 - (len(text[-2:]) - len(text[-2:].rstrip("=")))
