"""What somebody does with their own account: name, password, address, second factor."""

import uuid
from dataclasses import dataclass
from typing import Final

import asyncpg

from janus_mail.accounts import account_mails as mails
from janus_mail.accounts import queries_account as queries
from janus_mail.accounts import second_factor
from janus_mail.accounts.callers import Person
from janus_mail.accounts.second_factor import prove_code
from janus_mail.audit.actors import Other
from janus_mail.audit.record import record
from janus_mail.errors import Conflict, Detail, InvalidInput, Unauthorized
from janus_mail.gate import queries as queries_people
from janus_mail.gate.links import find_link, make_link, take_link
from janus_mail.gate.passwords import check_new_password, digest_password
from janus_mail.gate.registering import link_gone, read_email, read_name
from janus_mail.gate.sign_in import prove_password
from janus_mail.gate.throttle import charge_account
from janus_mail.models.states import ActorKind, LinkPurpose
from janus_mail.notices.system_mail import can_mail, queue_mail
from janus_mail.storage.database import Connection
from janus_mail.web.context import Context

NO_MAIL: Final = (
    "This server sends no mail of its own, so the new address cannot be confirmed. An administrator of the server can "
    "change it for you."
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Me:
    """Who is signed in, in which session, from where."""

    person: Person
    session_id: uuid.UUID
    address: str

    @property
    def user_id(self) -> uuid.UUID:
        return self.person.user_id

    @property
    def actor(self) -> Other:
        return Other(ActorKind.USER, self.person.email, self.person.user_id, self.address)


async def prove_me(context: Context, me: Me, password: str) -> None:
    """That it is them who sit there. Raises `InvalidInput` (`wrong_password`), `TooManyRequests`."""
    try:
        await prove_password(context, me.person.email, password, address=me.address)
    except Unauthorized:
        sentence = "This is not your password."
        raise InvalidInput(sentence, code="wrong_password", details=[Detail("current", sentence)]) from None


async def prove_me_twice(context: Context, me: Me, password: str, code: str) -> None:
    """With the second factor too, where one is in force. Raises `InvalidInput` (`wrong_password`, `wrong_code`),
    `TooManyRequests`."""
    await prove_me(context, me, password)
    async with context.database.transaction() as connection:
        needs_code = (await second_factor.standing(connection, me.user_id)).in_force
    if needs_code and not await prove_code(context, me.user_id, code):
        sentence = "This is not a code of your app that was not used yet, nor a recovery code."
        raise InvalidInput(sentence, code="wrong_code", details=[Detail("code", sentence)])


async def rename(context: Context, me: Me, name: str) -> None:
    """Raises `InvalidInput`."""
    name = read_name(name)
    async with context.database.transaction() as connection:
        before = await connection.fetchval(queries.NAME_LOCKED, me.user_id)
        if before == name:
            return
        await connection.execute(queries.SET_NAME, me.user_id, name)
        await _note(connection, me, "account.renamed", before={"name": before}, after={"name": name})


async def change_password(context: Context, me: Me, current: str, new: str) -> None:
    """All other sessions end, and every program is signed out. Raises `InvalidInput`, `TooManyRequests`."""
    await prove_me(context, me, current)
    try:
        check_new_password(new, email=me.person.email, name=me.person.name)
    except InvalidInput as error:
        raise InvalidInput(error.message, code=error.code, details=[Detail("new", error.message)]) from None
    digest = await digest_password(new)
    async with context.database.transaction() as connection:
        if await connection.fetchval(queries_people.STORE_DIGEST, me.user_id, digest) is None:
            raise Conflict("This account is closed.")
        await connection.execute(queries.END_OTHER_SESSIONS, me.user_id, me.session_id)
        await connection.execute(queries_people.END_REFRESH_TOKENS, me.user_id)
        await connection.execute(queries.FORGET_LINKS, me.user_id)
        await _note(connection, me, "password.changed")
        mail = mails.password_changed(context.settings, me.person.email)
        await queue_mail(connection, context, mail, lasts_s=mails.NOTICE_LASTS_S)


async def ask_for_new_email(context: Context, me: Me, current: str, new: str) -> None:
    """A link goes to the new address, and word of it to the old one. Whether the new one has an account already is
    told there alone. Raises `InvalidInput`, `TooManyRequests`, `Conflict` (`no_system_mail`)."""
    if not can_mail(context.settings) and context.settings.env == "production":
        raise Conflict(NO_MAIL, code="no_system_mail")
    try:
        email = read_email(new)
    except InvalidInput as error:
        raise InvalidInput(error.message, details=[Detail("email", error.message)]) from None
    if email.lower() == me.person.email.lower():
        sentence = "This is your address already."
        raise InvalidInput(sentence, details=[Detail("email", sentence)])
    await prove_me(context, me, current)
    await charge_account(context, "mail", email)
    async with context.database.transaction() as connection:
        taken = await connection.fetchval(queries.TAKEN_ADDRESS, email)
        secret = await make_link(
            connection, LinkPurpose.CHANGE_EMAIL, user_id=me.user_id, email=email, lasts_s=mails.EMAIL_LINK_LASTS_S
        )  # fmt: skip
        mail = (
            mails.address_in_use(context.settings, taken) if taken is not None
            else mails.confirm_new_email(context.settings, email, secret)
        )  # fmt: skip
        await queue_mail(connection, context, mail, lasts_s=mails.EMAIL_LINK_LASTS_S)
        mail = mails.email_change_asked(context.settings, me.person.email)
        await queue_mail(connection, context, mail, lasts_s=mails.NOTICE_LASTS_S)
        await _note(connection, me, "email.change_asked")


async def find_new_email(context: Context, secret: str) -> str:
    """The address that a link would make somebody's. Raises `NotFound` (`link_gone`)."""
    async with context.database.transaction() as connection:
        link = await find_link(connection, LinkPurpose.CHANGE_EMAIL, secret)
    if link is None or link.email is None:
        raise link_gone()
    return link.email


async def confirm_new_email(context: Context, secret: str, *, address: str) -> str:
    """The new address. The old one is told, and opens nothing any more. Raises `NotFound` (`link_gone`)."""
    async with context.database.transaction() as connection:
        link = await take_link(connection, LinkPurpose.CHANGE_EMAIL, secret)
        if link is None or link.user_id is None or link.email is None:
            raise link_gone()
        user = await connection.fetchrow(queries_people.USER_LOCKED, link.user_id)
        if user is None or not user["may_sign_in"]:
            raise link_gone()
        # Who has only half registered the address has proved less.
        await connection.execute(queries_people.DELETE_UNCONFIRMED, link.email)
        try:
            async with connection.transaction():
                await connection.execute(queries.SET_EMAIL, link.user_id, link.email)
        except asyncpg.UniqueViolationError:
            raise link_gone() from None
        await connection.execute(queries.FORGET_LINKS, link.user_id)
        actor = Other(ActorKind.USER, user["email"], link.user_id, address)
        await record(
            connection, actor, "email.changed", "user", link.user_id, workspace_id=None, name=link.email,
            before={"email": user["email"]}, after={"email": link.email},
        )  # fmt: skip
        mail = mails.email_changed(context.settings, user["email"])
        await queue_mail(connection, context, mail, lasts_s=mails.NOTICE_LASTS_S)
    return link.email


async def begin_second_factor(context: Context, me: Me, current: str) -> None:
    """Raises `InvalidInput`, `TooManyRequests`, `Conflict`."""
    await prove_me(context, me, current)
    async with context.database.transaction() as connection:
        await second_factor.begin(connection, context.secrets, me.user_id)


async def confirm_second_factor(context: Context, me: Me, code: str) -> list[str]:
    """The recovery codes, this once. Raises `InvalidInput`, `Conflict`."""
    async with context.database.transaction() as connection:
        codes = await second_factor.confirm(connection, context.secrets, me.actor, me.user_id, code)
        await _tell_of_second_factor(connection, context, me, on=True)
    return codes


async def renew_recovery_codes(context: Context, me: Me, current: str) -> list[str]:
    """Raises `InvalidInput`, `TooManyRequests`, `Conflict`."""
    await prove_me(context, me, current)
    async with context.database.transaction() as connection:
        return await second_factor.renew_codes(connection, me.actor, me.user_id)


async def switch_second_factor_off(context: Context, me: Me, current: str, code: str) -> None:
    """Raises `InvalidInput`, `TooManyRequests`."""
    await prove_me_twice(context, me, current, code)
    async with context.database.transaction() as connection:
        await second_factor.switch_off(connection, me.actor, me.user_id, name=me.person.email)
        await _tell_of_second_factor(connection, context, me, on=False)


async def _tell_of_second_factor(connection: Connection, context: Context, me: Me, *, on: bool) -> None:
    mail = mails.second_factor_changed(context.settings, me.person.email, on=on)
    await queue_mail(connection, context, mail, lasts_s=mails.NOTICE_LASTS_S)


async def _note(
    connection: Connection,
    me: Me,
    action: str,
    *,
    before: dict[str, str] | None = None,
    after: dict[str, str] | None = None,
) -> None:
    await record(
        connection, me.actor, action, "user", me.user_id, workspace_id=None, name=me.person.email, before=before,
        after=after,
    )  # fmt: skip
