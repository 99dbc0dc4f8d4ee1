"""`/register` and `/confirm/{secret}`: making an account, and proving that its address is one's own."""

from typing import Any

from fastapi import APIRouter
from starlette.responses import Response

from janus_mail.accounts.access import address_of
from janus_mail.errors import ApiError, InvalidInput, NotFound, TooManyRequests
from janus_mail.gate.registering import (
    CONFIRM_LASTS_S,
    Unconfirmed,
    confirm,
    find_unconfirmed,
    prove_registrant,
    register,
)
from janus_mail.gate.set_up import is_set_up
from janus_mail.notices.system_mail import can_mail
from janus_mail.pages.gate_form import GateForm, refused
from janus_mail.pages.rendering import go_to, show
from janus_mail.pages.signing_in import discreet, is_at, keep_step, signed_in_answer
from janus_mail.pages.visit import Arrival, ArrivalDep, OurForm, text_of

router = APIRouter()


@router.get("/register")
async def ask(arrival: ArrivalDep) -> Response:
    """Or why not, in clear words."""
    if arrival.session is not None:
        return go_to(arrival, "/")
    if arrival.context.settings.registration != "open":
        return await _closed(arrival)
    return await show(arrival, "register.html", form=GateForm())


@router.post("/register")
async def make(arrival: ArrivalDep, form: OurForm) -> Response:
    """Answered alike whether the address has an account or not."""
    if arrival.context.settings.registration != "open":
        return await _closed(arrival)
    try:
        registered = await register(
            arrival.context, email=text_of(form, "email"), name=text_of(form, "name"),
            password=text_of(form, "password"), address=address_of(arrival.request),
        )  # fmt: skip
    except (InvalidInput, TooManyRequests) as error:
        typed = GateForm.sent(form, ("email", "name"), error)
        return refused(await show(arrival, "register.html", status=error.status, form=typed), error)
    response = go_to(arrival, "/register/sent")
    keep_step(
        arrival, response, "registered", registered.user_id, registered.password_digest, lasts_s=CONFIRM_LASTS_S
    )  # fmt: skip
    return response


@router.get("/register/sent")
async def sent(arrival: ArrivalDep) -> Response:
    return await show(arrival, "sent.html", headline="Look into your mail", what="confirms your address",
                      **how_it_comes(arrival))  # fmt: skip


@router.get("/confirm/{secret}")
async def ask_to_confirm(arrival: ArrivalDep, secret: str) -> Response:
    """A button, since programs that look for viruses follow links too."""
    try:
        found = await find_unconfirmed(arrival.context, secret)
    except NotFound:
        return await show_link_gone(arrival)
    return await _show_confirm(arrival, found)


@router.post("/confirm/{secret}")
async def confirm_address(arrival: ArrivalDep, secret: str, form: OurForm) -> Response:
    """In the browser that registered a press is enough; elsewhere the password is asked for."""
    try:
        found = await find_unconfirmed(arrival.context, secret)
        if not _has_registered(arrival, found):
            await prove_registrant(arrival.context, found, text_of(form, "password"))
        user_id = await confirm(arrival.context, secret, address=address_of(arrival.request))
    except NotFound:
        return await show_link_gone(arrival)
    except (InvalidInput, TooManyRequests) as error:
        return refused(await _show_confirm(arrival, found, error), error)
    return discreet(await signed_in_answer(arrival, user_id, "/"))


def how_it_comes(arrival: Arrival) -> dict[str, Any]:
    """Whether mail goes out; where none does, whether the link is in the log."""
    settings = arrival.context.settings
    return {"mailed": can_mail(settings), "logged": settings.env == "development"}


async def show_link_gone(arrival: Arrival) -> Response:
    """A link that opens nothing, whyever."""
    return discreet(await show(arrival, "link_gone.html", status=404))


async def _show_confirm(arrival: Arrival, found: Unconfirmed, error: ApiError | None = None) -> Response:
    response = await show(
        arrival, "confirm.html", status=200 if error is None else error.status, form=GateForm(error=error),
        email=found.email, ask_password=not _has_registered(arrival, found),
    )  # fmt: skip
    return discreet(response)


def _has_registered(arrival: Arrival, found: Unconfirmed) -> bool:
    return is_at(arrival, "registered", found.user_id, found.password_digest, lasts_s=CONFIRM_LASTS_S)


async def _closed(arrival: Arrival) -> Response:
    async with arrival.context.database.transaction() as connection:
        fresh = not await is_set_up(connection)
    invite = arrival.context.settings.registration == "invite"
    return await show(arrival, "register_closed.html", status=403, invite=invite, fresh=fresh)
