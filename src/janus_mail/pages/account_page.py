"""`/account`: who somebody is, their password, where they are signed in, and the way out."""

import uuid
from collections.abc import Awaitable, Callable, Mapping
from typing import Final

from fastapi import APIRouter
from starlette.datastructures import FormData
from starlette.responses import Response

from janus_mail.accounts import account, second_factor
from janus_mail.accounts.access import address_of
from janus_mail.accounts.account import Me
from janus_mail.accounts.delete_account import delete_account, hindrances
from janus_mail.accounts.own_sessions import (
    end_other_sessions,
    end_program,
    end_session,
    list_programs,
    list_sessions,
)
from janus_mail.errors import ApiError, Conflict, InvalidInput, NotFound, TooManyRequests
from janus_mail.notices.system_mail import can_mail
from janus_mail.pages import cookies
from janus_mail.pages.cookies import delete_cookie
from janus_mail.pages.flash import Flash
from janus_mail.pages.gate_form import refused
from janus_mail.pages.register_page import show_link_gone
from janus_mail.pages.rendering import go_to, show
from janus_mail.pages.signing_in import discreet
from janus_mail.pages.typed_form import TypedForm
from janus_mail.pages.visit import Arrival, ArrivalDep, OurForm, PersonalVisit, PersonalVisitDep, text_of

router = APIRouter()

REFUSED: Final = (InvalidInput, Conflict, TooManyRequests)
# What is shown of each form again, with its label. Of what is secret only the label.
_LABELS: Final[Mapping[str, str]] = {
    "name": "Name",
    "email": "New address",
    "email_current": "Password",
    "password_current": "Current password",
    "password_new": "New password",
    "factor_current": "Password",
    "delete_current": "Password",
    "delete_code": "Code",
}
_SECRET: Final = frozenset(_LABELS) - {"name", "email"}


def me_of(visit: PersonalVisit) -> Me:
    return Me(person=visit.person, session_id=visit.session.id, address=address_of(visit.request))


@router.get("/account")
async def account_page(visit: PersonalVisitDep) -> Response:
    return await show_account(visit)


@router.get("/account/name")
@router.get("/account/email")
@router.get("/account/password")
@router.get("/account/delete")
async def where_the_forms_are(visit: PersonalVisitDep) -> Response:
    """Who comes back to what a form answered."""
    return go_to(visit, "/account")


@router.post("/account/name")
async def rename(visit: PersonalVisitDep, form: OurForm) -> Response:
    return await _try(
        visit, form, "", lambda me: account.rename(visit.context, me, text_of(form, "name")), Flash("account_renamed")
    )


@router.post("/account/email")
async def change_email(visit: PersonalVisitDep, form: OurForm) -> Response:
    current, new = text_of(form, "email_current"), text_of(form, "email")
    said = Flash("email_asked" if can_mail(visit.context.settings) else "email_link_logged")
    return await _try(
        visit, form, "email_", lambda me: account.ask_for_new_email(visit.context, me, current, new), said
    )


@router.post("/account/password")
async def change_password(visit: PersonalVisitDep, form: OurForm) -> Response:
    current, new = text_of(form, "password_current"), text_of(form, "password_new")
    return await _try(
        visit, form, "password_", lambda me: account.change_password(visit.context, me, current, new),
        Flash("password_changed"),
    )  # fmt: skip


@router.post("/account/sessions/{session_id}/end")
async def end_one(visit: PersonalVisitDep, session_id: uuid.UUID, _form: OurForm) -> Response:
    """This one too: then it is as signing out."""
    return await _end(visit, end_session(visit.context.database, me_of(visit), session_id), "session_ended")


@router.post("/account/programs/{family_id}/end")
async def end_one_program(visit: PersonalVisitDep, family_id: uuid.UUID, _form: OurForm) -> Response:
    return await _end(visit, end_program(visit.context.database, me_of(visit), family_id), "program_ended")


@router.post("/account/sessions/end")
async def end_others(visit: PersonalVisitDep, _form: OurForm) -> Response:
    many = await end_other_sessions(visit.context.database, me_of(visit))
    return go_to(visit, "/account", Flash("sessions_ended", (many,)))


@router.post("/account/delete")
async def delete(visit: PersonalVisitDep, form: OurForm) -> Response:
    try:
        await delete_account(
            visit.context, me_of(visit), text_of(form, "delete_current"), text_of(form, "delete_code")
        )  # fmt: skip
    except REFUSED as error:
        return await show_account(visit, form, "delete_", error)
    stranger = Arrival(
        request=visit.request, context=visit.context, session=None, clock=visit.clock, csrf_seed=visit.csrf_seed
    )
    response = await show(stranger, "account_deleted.html")
    for name in (cookies.SESSION, cookies.CSRF):
        delete_cookie(visit.request, response, name)
    return response


@router.get("/account/email/{secret}")
async def ask_about_email(arrival: ArrivalDep, secret: str) -> Response:
    """A press of a button changes it: programs that look through mail follow links."""
    try:
        email = await account.find_new_email(arrival.context, secret)
    except NotFound:
        return await show_link_gone(arrival)
    return discreet(await show(arrival, "account_email.html", email=email))


@router.post("/account/email/{secret}")
async def confirm_email(arrival: ArrivalDep, secret: str, _form: OurForm) -> Response:
    try:
        email = await account.confirm_new_email(arrival.context, secret, address=address_of(arrival.request))
    except NotFound:
        return await show_link_gone(arrival)
    return discreet(await show(arrival, "account_email_changed.html", email=email))


async def show_account(
    visit: PersonalVisit, sent: FormData | None = None, prefix: str = "", error: ApiError | None = None
) -> Response:
    """With what was sent and what is wrong with it; `prefix` begins the names of its form's fields."""
    form = TypedForm(_LABELS, {"name": visit.person.name})
    if sent is not None and error is not None:
        form = TypedForm(_LABELS, {"name": visit.person.name} | _typed(sent))
        for detail in error.details:
            field = detail.field if detail.field in ("name", "email") else prefix + detail.field
            form.add(field, detail.message)
        if not error.details:
            form.add("", error.message)
    me, database = me_of(visit), visit.context.database
    async with database.transaction() as connection:
        factor = await second_factor.standing(connection, me.user_id)
        in_the_way = await hindrances(connection, me)
    response = await show(
        visit,
        "account.html",
        status=200 if error is None else error.status,
        nav="account",
        form=form,
        factor=factor,
        sessions=await list_sessions(database, me),
        programs=await list_programs(database, me),
        hindrances=in_the_way,
        can_change_email=can_mail(visit.context.settings) or visit.context.settings.env == "development",
        no_mail=account.NO_MAIL,
    )
    return refused(response, error) if error is not None else response


def _typed(sent: FormData) -> dict[str, str]:
    return {name: text_of(sent, name).strip() for name in _LABELS if name not in _SECRET and name in sent}


async def _try(
    visit: PersonalVisit, form: FormData, prefix: str, work: Callable[[Me], Awaitable[None]], done: Flash
) -> Response:
    try:
        await work(me_of(visit))
    except REFUSED as error:
        return await show_account(visit, form, prefix, error)
    return go_to(visit, "/account", done)


async def _end(visit: PersonalVisit, work: Awaitable[None], done: str) -> Response:
    try:
        await work
    except NotFound:
        return go_to(visit, "/account", Flash("nothing_changed"))
    return go_to(visit, "/account", Flash(done))
