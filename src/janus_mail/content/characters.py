"""Characters that a mail cannot carry, or that would let a value write header lines of its own."""

import re

# C0 and C1 controls, Unicode's line and paragraph separators, halves of surrogate pairs.
UNFIT_IN_NAME = re.compile("[\x00-\x1f\x7f-\x9f\u2028\u2029\ud800-\udfff]")
UNFIT_IN_HEADER = re.compile("[\x00-\x08\x0a-\x1f\x7f-\x9f\u2028\u2029\ud800-\udfff]")  # a tab is white space there

# Embeddings, overrides and isolates (Unicode TR 9): with them «a\u202etxt.exe» reads as «aexe.txt».
TURNS_TEXT = re.compile("[\u202a-\u202e\u2066-\u2069]")


class InvalidText(ValueError):
    """A text or HTML body, or a value for it, has a character that no mail can carry."""


def check_text(text: str) -> None:
    """Refuse NUL (RFC 5322 allows no more of it in a body) and half surrogate pairs. Raises InvalidText."""
    if "\0" in text:
        raise InvalidText("It has a NUL character.")
    if not text.isascii():
        try:
            text.encode()
        except UnicodeEncodeError:
            raise InvalidText("It has half of a surrogate pair, which stands for no character.") from None
