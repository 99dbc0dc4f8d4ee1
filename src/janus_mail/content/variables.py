"""`{{name}}` placeholders: finding them and filling them, fast. No logic; what is filled in is not looked at again."""

import re
from collections import Counter
from collections.abc import Iterable, Mapping
from html import escape

from janus_mail.content.addresses import Mailbox
from janus_mail.content.characters import UNFIT_IN_HEADER

_PLACEHOLDER = re.compile(r"\{\{[ \t]*+([A-Za-z_][A-Za-z0-9_]*+)[ \t]*+\}\}")


class InvalidVariable(ValueError):
    """A placeholder's variable is missing or its value cannot stand where it is used."""

    def __init__(self, name: str, reason: str) -> None:
        super().__init__(f"Variable {name}: {reason}")
        self.name = name
        self.reason = reason


class Template:
    """Text split once into literals and placeholders. `only` names those that count; others stay text."""

    __slots__ = ("_pieces", "names", "text")

    def __init__(self, text: str, only: frozenset[str] | None = None) -> None:
        self.text = text
        pieces = [""]  # literal, name, literal, name, … literal
        end = 0
        for match in _PLACEHOLDER.finditer(text) if _may_have_any(text) else ():
            if only is None or match[1] in only:
                pieces[-1] += text[end : match.start()]
                pieces += match[1], ""
                end = match.end()
        pieces[-1] += text[end:]
        self._pieces = pieces
        self.names = frozenset(pieces[1::2])

    def fill(self, values: Mapping[str, str]) -> str:
        """The text with each placeholder replaced. Raises InvalidVariable for a missing one."""
        filled = self._pieces.copy()
        try:
            filled[1::2] = [values[name] for name in filled[1::2]]
        except KeyError as error:
            raise InvalidVariable(error.args[0], "It is missing.") from None
        return "".join(filled)


class FilledLength:
    """How long a text becomes when it is filled, reckoned without filling it: in characters, of HTML after escaping."""

    def __init__(self, text: str | None, *, html: bool = False) -> None:
        found = _PLACEHOLDER.findall(text) if text and _may_have_any(text) else []
        self._times = Counter(found)
        self._literal = len(_PLACEHOLDER.sub("", text)) if found and text else len(text or "")
        self._html = html

    def of(self, values: Mapping[str, str]) -> int:
        if not self._times:
            return self._literal
        lengths = ((times, values.get(name, "")) for name, times in self._times.items())
        return self._literal + sum(times * len(escape(value) if self._html else value) for times, value in lengths)


def placeholders(*texts: str | None) -> frozenset[str]:
    """The names of all placeholders in the texts."""
    names: set[str] = set()
    for text in texts:
        if text and _may_have_any(text):
            names.update(_PLACEHOLDER.findall(text))
    return frozenset(names)


def _may_have_any(text: str) -> bool:
    # One character is looked for 40 times faster than two.
    return "{" in text and "{{" in text


def values_for(mailbox: Mailbox, variables: Mapping[str, str]) -> Mapping[str, str]:
    """The variables together with `email` and `name` of the mailbox, where the caller gave none of that name."""
    own = {"email": mailbox.address}
    if mailbox.name:
        own["name"] = mailbox.name
    return {**own, **variables}


def check_header_values(names: Iterable[str], values: Mapping[str, str]) -> None:
    """Refuse values that cannot stand in a header, such as a subject. Raises InvalidVariable."""
    for name in names:
        if name in values and UNFIT_IN_HEADER.search(values[name]):
            raise InvalidVariable(name, "It has a line break or a control character, and stands in the subject.")
