"""The files that an event carries: what the event says of them, and their bytes when a mail is made of them."""

import asyncio
import uuid
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, NamedTuple, Self

from janus_mail.content.files import File, encoded_size
from janus_mail.delivery.queries import files
from janus_mail.storage.database import Database

_MANY_OCTETS = 2**18  # from here on a thread encodes them


class LostFile(Exception):
    """The database has not what an event refers to. No mail leaves without it."""


class FileNote(NamedTuple):
    """A file as its event names it."""

    filename: str
    content_type: str
    size: int
    digest: bytes
    content_id: str | None

    @classmethod
    def of(cls, entry: Mapping[str, Any]) -> Self:
        """From an entry of the column `attachments`."""
        return cls(**{**entry, "digest": bytes.fromhex(entry["digest"])})

    @property
    def encoded(self) -> int:
        return encoded_size(self.size)


async def read_files(database: Database, workspace_id: uuid.UUID, notes: Sequence[FileNote]) -> tuple[File, ...]:
    """The files, ready to be composed. Raises LostFile."""
    rows = await database.pool.fetch(files.CONTENTS, workspace_id, list({note.digest for note in notes}))
    contents = {row["digest"]: row["content"] for row in rows}
    lost = [note.filename for note in notes if len(contents.get(note.digest, b"")) != note.size]
    if lost:
        raise LostFile(f"the content of {lost[0]!r} is not in the database")
    read = tuple(File(note.filename, note.content_type, contents[note.digest], note.content_id) for note in notes)
    if sum(note.size for note in notes) < _MANY_OCTETS:
        _encode(read)
    else:
        await asyncio.to_thread(_encode, read)
    return read


def _encode(those: Iterable[File]) -> None:
    for file in those:
        file.encoded()
