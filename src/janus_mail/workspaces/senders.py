"""Which sender addresses a workspace may use."""

from collections.abc import Sequence

from janus_mail.content.addresses import unicode_domain
from janus_mail.errors import Detail, InvalidInput


def check_sender(address: str, allowed: Sequence[str] | None) -> None:
    """`address` is in wire form; `allowed` has addresses and domains (not their subdomains), null: any.

    Raises `InvalidInput` (`sender_not_allowed`).
    """
    if allowed is None:
        return
    local, _, domain = address.lower().rpartition("@")
    readable = unicode_domain(domain)
    names = {domain, readable, f"{local}@{domain}", f"{local}@{readable}"}
    if not any(entry.lower().removeprefix("@") in names for entry in allowed):
        message = "This workspace may not send from this address."
        raise InvalidInput(message, code="sender_not_allowed", details=[Detail("from_email", message)])
