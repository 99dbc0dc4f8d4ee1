"""Making an account: who registers an address proves that they read its mail, and only then does the account open.

Whether an address has an account is never told to who asks: who registers one that has, is answered as everybody is,
and its owner gets a mail that says so.
"""

import unicodedata
import uuid
from dataclasses import dataclass
from typing import Final

from uuid_utils.compat import uuid7

from janus_mail.audit.actors import Other
from janus_mail.audit.record import record
from janus_mail.content.addresses import InvalidAddress, parse_mailbox
from janus_mail.content.characters import TURNS_TEXT, UNFIT_IN_NAME
from janus_mail.errors import Conflict, Detail, Forbidden, InvalidInput, NotFound
from janus_mail.gate import queries
from janus_mail.gate.links import Link, find_link, make_link, public_address, take_link
from janus_mail.gate.passwords import check_new_password, check_password, digest_password
from janus_mail.gate.throttle import charge_account, charge_address
from janus_mail.models.states import ActorKind, LinkPurpose
from janus_mail.notices.system_mail import queue_mail, worded
from janus_mail.storage.database import Connection
from janus_mail.web.context import Context

CONFIRM_LASTS_S: Final = 2 * 86_400
MOST_NAME: Final = 100  # characters
_SEEN: Final = "LNPS"  # letters, numbers, punctuation and symbols: what is more than space, in Unicode's categories
_WORDS_LAST_S: Final = 86_400  # of a mail without a link


@dataclass(frozen=True, slots=True)
class Registered:
    """What is known of who has just registered. For an address that has an account, `user_id` is nobody's."""

    user_id: uuid.UUID
    password_digest: str


@dataclass(frozen=True, slots=True)
class Unconfirmed:
    """The account that a link would confirm."""

    user_id: uuid.UUID
    email: str
    password_digest: str | None


def read_email(text: str) -> str:
    """An address by the same rules as a recipient's, alone. Raises `InvalidInput`."""
    try:
        mailbox = parse_mailbox(text.strip())
    except InvalidAddress as error:
        raise _wrong("email", error.reason) from None
    if mailbox.name is not None:
        raise _wrong("email", "Enter the address alone, without a name.")
    return mailbox.address


def read_name(text: str) -> str:
    """What others read of a person. Raises `InvalidInput`."""
    name = text.strip()
    if len(name) > MOST_NAME:
        raise _wrong("name", f"Use at most {MOST_NAME} characters.")
    if not any(unicodedata.category(character)[0] in _SEEN for character in name):
        raise _wrong("name", "Enter the name that others are to see.")
    if UNFIT_IN_NAME.search(name) or TURNS_TEXT.search(name):
        raise _wrong("name", "It has characters that cannot be shown.")
    return name


async def make_account(
    connection: Connection,
    *,
    email: str,
    name: str,
    password_digest: str | None,
    confirmed: bool,
    administrator: bool = False,
) -> uuid.UUID:
    """`email` and `name` were read by `read_email` and `read_name`. A half-done registration of the address gives way.

    Raises `Conflict` (`email_taken`): only for callers who may know.
    """
    await connection.execute(queries.DELETE_UNCONFIRMED, email)
    made: uuid.UUID | None = await connection.fetchval(
        queries.INSERT_USER, uuid7(), email, name, password_digest, confirmed, administrator
    )
    if made is None:
        raise Conflict("This address has an account already.", code="email_taken")
    return made


async def register(context: Context, *, email: str, name: str, password: str, address: str) -> Registered:
    """A link goes to the address, which confirms it; a new registration takes the place of a half-done one.

    Raises `InvalidInput` for what cannot be an account, `Forbidden` where registering is not open, `TooManyRequests`.
    """
    if context.settings.registration != "open":
        raise Forbidden("One cannot register here without an invitation.", code="registration_not_open")
    email, name = read_email(email), read_name(name)
    check_new_password(password, email=email, name=name)
    await charge_address(context, "register", address)
    await charge_account(context, "mail", email)
    digest = await digest_password(password)
    async with context.database.transaction() as connection:
        try:
            user_id = await make_account(
                connection, email=email, name=name, password_digest=digest, confirmed=False
            )  # fmt: skip
        except Conflict:
            await _tell_owner(connection, context, email)
            return Registered(uuid7(), digest)
        secret = await make_link(
            connection, LinkPurpose.CONFIRM, user_id=user_id, email=email, lasts_s=CONFIRM_LASTS_S
        )  # fmt: skip
        mail = worded(
            email,
            "Confirm your address",
            (
                "Somebody, probably you, made an account at Janus with this address. Confirm that it is yours:",
                "The link works once, within two days. If it was not you, there is nothing to do: without it the "
                "account never opens.",
            ),
            button=("Confirm this address", public_address(context.settings, f"/confirm/{secret}")),
        )
        await queue_mail(connection, context, mail, lasts_s=CONFIRM_LASTS_S)
        actor = Other(ActorKind.USER, email, user_id, address)
        await record(
            connection, actor, "account.registered", "user", user_id, workspace_id=None, name=email
        )  # fmt: skip
    return Registered(user_id, digest)


async def find_unconfirmed(context: Context, secret: str) -> Unconfirmed:
    """Raises `NotFound` (`link_gone`)."""
    async with context.database.transaction() as connection:
        return await _unconfirmed(connection, await find_link(connection, LinkPurpose.CONFIRM, secret))


async def prove_registrant(context: Context, found: Unconfirmed, password: str) -> None:
    """That who confirms also chose the password: else somebody could register another's address, wait until they
    confirm it, and share their account.

    Raises `InvalidInput` (`wrong_password`), `TooManyRequests`.
    """
    await charge_account(context, "confirm", found.email)
    if not (await check_password(password, found.password_digest)).fits:
        sentence = "This is not the password that was chosen when this account was made."
        raise InvalidInput(sentence, code="wrong_password", details=[Detail("password", sentence)])


async def confirm(context: Context, secret: str, *, address: str) -> uuid.UUID:
    """The account opens from now on. Raises `NotFound` (`link_gone`)."""
    async with context.database.transaction() as connection:
        found = await _unconfirmed(connection, await take_link(connection, LinkPurpose.CONFIRM, secret))
        if await connection.fetchval(queries.CONFIRM_USER, found.user_id) is None:
            raise link_gone()
        actor = Other(ActorKind.USER, found.email, found.user_id, address)
        await record(
            connection, actor, "account.confirmed", "user", found.user_id, workspace_id=None, name=found.email
        )  # fmt: skip
    return found.user_id


def link_gone() -> NotFound:
    """What a link says that opens nothing, whyever."""
    return NotFound("This link was used already, or is too old, or was never one.", code="link_gone")


async def _unconfirmed(connection: Connection, link: Link | None) -> Unconfirmed:
    """The address is still the one that the link was sent to."""
    row = await connection.fetchrow(queries.USER, link.user_id) if link is not None else None
    if link is None or row is None or row["confirmed"] or row["disabled"] or row["erased"]:
        raise link_gone()
    if row["email"].lower() != (link.email or "").lower():
        raise link_gone()
    return Unconfirmed(row["id"], row["email"], row["password_digest"])


async def _tell_owner(connection: Connection, context: Context, email: str) -> None:
    row = await connection.fetchrow(queries.USER_BY_EMAIL, email)
    if row is None or not row["may_sign_in"]:
        return
    # It opens nothing and is told to nobody: without it the answer would come a millisecond sooner.
    await make_link(connection, LinkPurpose.CONFIRM, user_id=row["id"], email=email, lasts_s=CONFIRM_LASTS_S)
    mail = worded(
        row["email"],
        "You have an account already",
        (
            "Somebody, probably you, tried to make an account at Janus with this address. It has one already: sign in.",
            "If the password is forgotten, the page for signing in leads to a new one. If it was not you, there is "
            "nothing to do: nothing was changed, and nobody was told.",
        ),
        button=("Sign in", public_address(context.settings, "/login")),
    )
    await queue_mail(connection, context, mail, lasts_s=_WORDS_LAST_S)


def _wrong(field: str, sentence: str) -> InvalidInput:
    return InvalidInput(sentence, details=[Detail(field, sentence)])
