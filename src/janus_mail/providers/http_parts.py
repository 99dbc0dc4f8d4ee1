"""What services that build the bytes themselves have in common: what they cannot say is refused before they are asked,
so that the next provider can."""

from collections.abc import Iterable

from janus_mail.providers.contract import Address, Fields, Mail
from janus_mail.providers.outcomes import PolicyRejected


def whole_group(mail: Mail, fields: Fields) -> None:
    """Refuse a group some of whom have the mail already: these services write to everyone whom a mail names, and one
    that named only the rest would not be the same mail. Raises `PolicyRejected`."""
    unresolved = set(mail.recipients)
    if any(address.email not in unresolved for address in (*fields.to, *fields.cc, *fields.bcc)):
        raise PolicyRejected("group_partly_sent", "It cannot write to a part of a group.")


def ascii_mailboxes(*groups: Iterable[Address]) -> None:
    """Refuse local parts beyond ASCII, for services without SMTPUTF8 (RFC 6531). Raises `PolicyRejected`."""
    if not all(address.email.isascii() for group in groups for address in group):
        raise PolicyRejected("smtputf8_not_offered")


def without_doubles(*groups: Iterable[Address]) -> list[list[Address]]:
    """The groups, each address only where it comes first; case does not make two of one."""
    seen: set[str] = set()
    kept: list[list[Address]] = []
    for group in groups:
        kept.append([])
        for address in group:
            known_as = address.email.lower()
            if known_as not in seen:
                seen.add(known_as)
                kept[-1].append(address)
    return kept
