"""The files of the form of `/add`. A browser sends them along, and keeps none for a page that comes back."""

import re
from collections.abc import Sequence
from dataclasses import dataclass, field, replace

from starlette.datastructures import FormData, UploadFile

from janus_mail.content.files import InvalidFile, check_content_id, check_filename, guessed_type
from janus_mail.content.inline_images import shown_in
from janus_mail.events.attachments import MAX_FILES, MAX_OCTETS, uploaded
from janus_mail.events.rows import NewFile
from janus_mail.pages.add_form import Problem
from janus_mail.pages.times import size
from janus_mail.pages.words import count, shortened

FIELD = "attachments"
MOST_SENT = 1000  # more are no mistake that anyone makes

# As janus.js describes a file that is still in the browser.
_DESCRIBED = re.compile(r"(\d{1,12}) (.+)", re.DOTALL)


@dataclass(frozen=True, slots=True)
class Uploads:
    """The files that came along, and what is wrong with others."""

    files: Sequence[NewFile] = ()
    names: Sequence[str] = ()  # of all, good and bad
    problems: Sequence[Problem] = field(default=())


NO_FILES = Uploads()


async def read_uploads(form: FormData) -> Uploads:
    """What the form sent. Too much is not read."""
    sent = [one for one in form.getlist(FIELD) if isinstance(one, UploadFile) and (one.filename or one.size)]
    names = [one.filename or "" for one in sent]
    if problem := _too_much(len(sent), sum(one.size or 0 for one in sent)):
        return Uploads((), names, [problem])
    files: list[NewFile] = []
    problems: list[Problem] = []
    for one in sent:
        name = one.filename or ""
        try:
            if not one.size:
                raise InvalidFile("It is empty.")
            files.append(await uploaded(name, _type_of(one), await one.read()))
        except InvalidFile as error:
            problems.append(Problem(FIELD, f"“{shortened(name, 80)}”: {error}"))
    return Uploads(files, names, problems)


def described_uploads(form: FormData) -> Uploads:
    """Files that are not sent yet, by their sizes and names: their bytes are zeros."""
    described = [match for one in form.getlist(FIELD) if isinstance(one, str) and (match := _DESCRIBED.fullmatch(one))]
    octets = [int(match[1]) for match in described]
    if problem := _too_much(len(octets), sum(octets)):
        return Uploads((), (), [problem])
    files: list[NewFile] = []
    for match, many in zip(described, octets, strict=True):
        try:
            name = check_filename(match[2])
        except InvalidFile as error:
            return Uploads((), (), [Problem(FIELD, str(error))])
        files.append(NewFile(name, guessed_type(name), None, bytes(many), b""))
    return Uploads(files)


def shown_by(uploads: Uploads, html: str) -> Uploads:
    """With a Content-ID for each image whose file name the HTML shows, as in `cid:dot.gif`."""
    wanted = set(shown_in(html))
    files: list[NewFile] = []
    for file in uploads.files:
        if file.content_type.startswith("image/") and file.filename in wanted and _may_be_an_id(file.filename):
            wanted.remove(file.filename)  # of two with one name the first is shown
            file = replace(file, content_id=file.filename)
        files.append(file)
    return replace(uploads, files=files)


def choose_again(names: Sequence[str]) -> str:
    """What is said of files that came with a form that comes back."""
    if not names:
        return ""
    which = f"“{shortened(names[0], 80)}”" if len(names) == 1 else f"the {count(len(names), 'file')}"
    return f"Choose {which} again: a browser does not keep files for a page that comes back."


def _may_be_an_id(filename: str) -> bool:
    try:
        return check_content_id(filename) == filename
    except InvalidFile:
        return False


def _too_much(many: int, octets: int) -> Problem | None:
    if many > MAX_FILES:
        return Problem(FIELD, f"These are {count(many, 'file')}; an email may have {MAX_FILES}.")
    if octets > MAX_OCTETS:
        return Problem(FIELD, f"These files have {size(octets)}; an email may have 25 MiB of them.")
    return None


def _type_of(one: UploadFile) -> str:
    """What the browser said, where a mail can carry it."""
    kind = (one.content_type or "").partition(";")[0].strip().lower()
    return "" if kind.startswith(("message/", "multipart/")) or "/" not in kind else kind
