"""How often somebody may try: from one address, and for one account, whether there is such an account or not.

`JANUS_RATE_LIMIT_SIGN_IN` tries in 15 minutes from one address, a third of them for one account; 0: any number.
"""

from hashlib import sha256
from typing import Final, Literal

from janus_mail.content.addresses import MAX_ADDRESS_OCTETS
from janus_mail.web.client_address import counted_as
from janus_mail.web.context import Context
from janus_mail.web.rate_limits import charge

PER_S: Final = 900
Purpose = Literal["sign-in", "register", "forgot", "mail", "confirm"]


async def charge_address(context: Context, purpose: Purpose, address: str) -> None:
    """Raises `TooManyRequests`."""
    await charge(context, f"{purpose}:from:{counted_as(address)}", context.settings.rate_limit_sign_in, PER_S)


async def charge_account(context: Context, purpose: Purpose, email: str, *, address: str | None = None) -> None:
    """For the account of this email; with `address`, those of it that come from there. Raises `TooManyRequests`."""
    from_there = "" if address is None else f":{counted_as(address)}"
    await charge(context, f"{purpose}:to:{_named(email)}{from_there}", _a_third(context), PER_S)


def _a_third(context: Context) -> int:
    limit = context.settings.rate_limit_sign_in
    return max(1, limit // 3) if limit else 0


def _named(email: str) -> str:
    """No address stands in Redis. Lowered one character for one, as PostgreSQL does, which compares them: Python makes
    two of «İ», and each way to spell an account would have tries of its own."""
    lowered = "".join(character.lower()[0] for character in email.strip()[:MAX_ADDRESS_OCTETS])
    return sha256(lowered.encode("utf-8", "surrogatepass")).hexdigest()[:32]
