"""What a service can carry, as data, and what of a mail goes beyond it: known when the mail is accepted, and asked once
more before a request is built."""

import mimetypes
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

import orjson

from janus_mail.providers.contract import MESSAGE_ID, Address, Fields, Mail
from janus_mail.providers.http_parts import address_line
from janus_mail.providers.outcomes import PolicyRejected

_MIB = 2**20
_TYPES = mimetypes.MimeTypes()  # Python's own table, without what the machine adds


class AskedFile(NamedTuple):
    """An attachment as far as limits are about it. `size` in octets, before any encoding; with a `content_id` the
    HTML shows it."""

    filename: str
    content_type: str
    size: int
    content_id: str | None = None


@dataclass(frozen=True, slots=True)
class Asked:
    """What a mail asks of a service. `octets` of its subject, text and HTML in UTF-8, `reply_to_octets` of the
    addresses for answers as a header has them, `longest_name` in characters."""

    recipients: int = 1
    octets: int = 0
    files: Sequence[AskedFile] = ()
    reply_to: int = 0
    reply_to_octets: int = 0
    longest_name: int = 0
    headers: Mapping[str, str] = field(default_factory=dict)
    tags: Sequence[str] = ()
    metadata: Mapping[str, str] = field(default_factory=dict)
    utf8_mailboxes: bool = False  # some local part is beyond ASCII (RFC 6531)

    @property
    def encoded_octets(self) -> int:
        """About so many on the wire: files in base64."""
        return self.octets + sum(-(-file.size // 3) * 4 for file in self.files)


class Unfit(NamedTuple):
    """What a service cannot carry: a code for programs, a sentence, and the field of the API that it is about."""

    code: str
    sentence: str
    field: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """None means that no limit is known. Of tags, metadata and names a service carries what it can: Janus has all."""

    recipients: int | None = None  # of one mail, to, cc and bcc together
    octets: int | None = None  # of one mail with its files in base64
    reply_to: int | None = None
    name_length: int | None = None  # characters beside an address; what is longer is cut
    utf8_mailboxes: bool = False
    inline_files: bool = True
    inline_images_only: bool = False
    content_id: re.Pattern[str] | None = None  # what that of a file within the HTML may be
    utf8_filenames: bool = True
    file_endings: frozenset[str] | None = None  # in lower case, without the dot; no others are taken
    bad_file_endings: frozenset[str] = frozenset()
    types_by_ending: bool = False  # what a file is, its ending says and nothing else
    reserved_headers: frozenset[str] = frozenset()  # in lower case, beside those that Janus writes itself
    reserved_prefixes: tuple[str, ...] = ()  # likewise: no header begins so
    utf8_headers: bool = True
    header_octets: int | None = None  # of all extra headers and Reply-To, names and values in UTF-8
    headers: int | None = None
    tags: int | None = None
    tag: re.Pattern[str] = re.compile(r"(?s).+")  # that a tag fits whole
    metadata: int | None = None  # pairs
    metadata_caseless: bool = False  # keys that differ in case alone are one
    metadata_key: re.Pattern[str] = re.compile(r"(?s).+")
    metadata_value: re.Pattern[str] = re.compile(r"(?s).*")
    metadata_octets: int | None = None  # of all of it as JSON

    def against(self, asked: Asked) -> Unfit | None:
        """The first thing that the service cannot express."""
        if self.recipients is not None and asked.recipients > self.recipients:
            return Unfit("too_many_recipients", f"it takes {self.recipients} recipients in one mail", "recipients")
        if self.reply_to is not None and asked.reply_to > self.reply_to:
            return Unfit("too_many_reply_to", f"it takes {self.reply_to} address for answers", "reply_to")
        if asked.utf8_mailboxes and not self.utf8_mailboxes:
            return Unfit(
                "smtputf8_not_offered", "it takes no address with letters beyond ASCII before the @", "recipients"
            )
        return self._against_headers(asked) or self._against_files(asked)

    def tags_of(self, tags: Sequence[str]) -> list[str]:
        """Those that it carries, each once."""
        return [tag for tag in dict.fromkeys(tags) if self.tag.fullmatch(tag)][: self.tags]

    def metadata_of(self, metadata: Mapping[str, str], own: Mapping[str, str] = {}) -> dict[str, str]:
        """Those pairs that it carries beside `own`, which always go first."""
        kept = dict(own)
        for key, value in metadata.items():
            fits = self.metadata_key.fullmatch(key) and self.metadata_value.fullmatch(value) and key not in own
            if self.metadata_caseless and key.lower() in map(str.lower, kept):
                continue
            if not fits or (self.metadata is not None and len(kept) >= self.metadata):
                continue
            if self.metadata_octets is None or len(orjson.dumps({**kept, key: value})) <= self.metadata_octets:
                kept[key] = value
        return kept

    def left_behind(self, asked: Asked) -> list[str]:
        """What of tags, metadata and names stays in Janus, as the words of a warning: «the tag x», «the metadata y»."""
        carried, kept = self.tags_of(asked.tags), self.metadata_of(asked.metadata, {MESSAGE_ID: "0" * 36})
        cut = self.name_length is not None and asked.longest_name > self.name_length
        return [
            *(f"the tag {tag}" for tag in dict.fromkeys(asked.tags) if tag not in carried),
            *(f"the metadata {key}" for key in asked.metadata if key not in kept or key == MESSAGE_ID),
            *([f"the end of names longer than {self.name_length} characters"] if cut else []),
        ]

    def _against_headers(self, asked: Asked) -> Unfit | None:
        if self.headers is not None and len(asked.headers) > self.headers:
            return Unfit("too_many_headers", f"it takes {self.headers} extra headers", "headers")
        octets = sum(len(name) + len(value.encode()) for name, value in asked.headers.items())
        if self.header_octets is not None and octets + asked.reply_to_octets > self.header_octets:
            where = "headers" if asked.headers else "reply_to"
            return Unfit("headers_too_large", f"it takes {self.header_octets} bytes of extra headers", where)
        for name, value in asked.headers.items():
            if name.lower() in self.reserved_headers or name.lower().startswith(self.reserved_prefixes):
                return Unfit("reserved_header", f"it keeps the header {name} for itself", f"headers.{name}")
            if not (self.utf8_headers or value.isascii()):
                return Unfit("header_not_ascii", f"it takes ASCII in headers, which {name} is not", f"headers.{name}")
        return None

    def _against_files(self, asked: Asked) -> Unfit | None:
        for place, file in enumerate(asked.files):
            where, ending = f"attachments[{place}]", file.filename.rpartition(".")[2].lower()
            inline = file.content_id is not None
            if inline and not self.inline_files:
                return Unfit("no_inline_files", "it shows no images of the mail's own within the HTML", where)
            if inline and self.inline_images_only and not file.content_type.startswith("image/"):
                return Unfit("inline_not_image", f"it shows only images within the HTML, not {file.filename}", where)
            if self.content_id and file.content_id and self.content_id.fullmatch(file.content_id) is None:
                return Unfit("content_id_unfit", f"it takes no content_id such as {file.content_id}", where)
            if not (self.utf8_filenames or file.filename.isascii()):
                return Unfit("filename_not_ascii", f"it garbles the file name {file.filename}", where)
            if ending in self.bad_file_endings or (self.file_endings is not None and ending not in self.file_endings):
                return Unfit("file_type_refused", f"it takes no files such as {file.filename}", where)
            if self.types_by_ending and not fits_ending(file.filename, file.content_type):
                return Unfit("file_type_refused", f"it would not take {file.filename} for {file.content_type}", where)
        if self.octets is not None and asked.encoded_octets > self.octets:
            most = f"{self.octets / 1e6:.0f} MB" if self.octets % _MIB else f"{self.octets // _MIB} MiB"
            return Unfit("too_large", f"it takes up to {most} with the files in base64", "attachments")
        return None


def type_of_ending(filename: str) -> str | None:
    """The type that a file's ending says; None where it says none, or one inside a compression (`tar.gz`)."""
    said, compression = _TYPES.guess_type(filename)
    return said if compression is None else None


def fits_ending(filename: str, content_type: str) -> bool:
    """Whether the type is what the ending says, by another name at most (`text/xml`, `application/xml`)."""
    said = type_of_ending(filename)
    return said is None or content_type == "application/octet-stream" or _bare(said) == _bare(content_type)


def _bare(content_type: str) -> str:
    return content_type.partition("/")[2].removeprefix("x-").removesuffix("-compressed")


def asked_by(mail: Mail, fields: Fields) -> Asked:
    """The same of a mail that is about to leave."""
    boxes = (fields.sender, *fields.to, *fields.cc, *fields.bcc, *fields.reply_to)
    return Asked(
        recipients=len(mail.recipients),
        octets=sum(len(part.encode()) for part in (fields.subject, fields.text or "", fields.html or "")),
        files=[AskedFile(f.filename, f.content_type, len(f.content), f.content_id) for f in fields.attachments],
        reply_to=len(fields.reply_to), reply_to_octets=octets_of(fields.reply_to),
        longest_name=max(len(box.name or "") for box in boxes), headers=fields.headers, tags=fields.tags,
        metadata=fields.metadata, utf8_mailboxes=not all(box.email.isascii() for box in boxes),
    )  # fmt: skip


def octets_of(addresses: Iterable[Address]) -> int:
    """Of these as a header has them, in UTF-8."""
    return sum(len(address_line(address).encode()) + len(", ") for address in addresses)


def keep_within(limits: Limits, mail: Mail, fields: Fields) -> None:
    """Raises `PolicyRejected` for what the service cannot express, so that the next provider is tried."""
    unfit = limits.against(asked_by(mail, fields))
    if unfit is not None:
        raise PolicyRejected(unfit.code, f"{unfit.sentence[0].upper()}{unfit.sentence[1:]}.")
