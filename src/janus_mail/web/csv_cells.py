"""Our CSV files: cells that no spreadsheet takes for a formula, and back without loss."""

import csv
import io
import re
from collections.abc import Sequence

# What begins a formula, in full width too; and our own guard, so that a text's own apostrophe comes back.
_BEGINS = r"[=+\-@\t\r\n＝＋－＠']"
# Where the world writes 1,5 spreadsheets part cells at other signs than ours, within a text too.
_STARTS = r"(?:^|(?<=[;\t\r\n]))"
_TO_GUARD = re.compile(rf"{_STARTS}(?={_BEGINS})")
_GUARDED = re.compile(rf"{_STARTS}'(?={_BEGINS})")
_GUARD = "'"


def guarded(text: str) -> str:
    """Spreadsheets show what begins with an apostrophe as it stands (OWASP, «CSV injection»)."""
    return _TO_GUARD.sub(_GUARD, text)


def unguarded(cell: str) -> str:
    """What `guarded` was given. An apostrophe before anything else is the text's own."""
    return _GUARDED.sub("", cell)


def written(rows: Sequence[Sequence[str]]) -> bytes:
    """RFC 4180: CRLF, quotes where they are needed."""
    text = io.StringIO(newline="")
    csv.writer(text).writerows(rows)
    return text.getvalue().encode()
