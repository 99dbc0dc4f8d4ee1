"""`/forgot` and `/reset/{secret}`: a new password for who has lost theirs."""

from fastapi import APIRouter, BackgroundTasks
from starlette.responses import Response

from janus_mail.accounts.access import address_of
from janus_mail.errors import ApiError, InvalidInput, NotFound, TooManyRequests
from janus_mail.gate.resetting import find_reset, may_ask, reset_password, send_reset
from janus_mail.pages.gate_form import GateForm, refused
from janus_mail.pages.register_page import how_it_comes, show_link_gone
from janus_mail.pages.rendering import go_to, show
from janus_mail.pages.signing_in import discreet
from janus_mail.pages.visit import Arrival, ArrivalDep, OurForm, text_of

router = APIRouter()


@router.get("/forgot")
async def ask(arrival: ArrivalDep) -> Response:
    return await show(arrival, "forgot.html", form=GateForm())


@router.post("/forgot")
async def send_link(arrival: ArrivalDep, form: OurForm, background: BackgroundTasks) -> Response:
    """Answered alike, and as fast, whether the address has an account or not."""
    context, address = arrival.context, address_of(arrival.request)
    try:
        email = await may_ask(context, text_of(form, "email"), address=address)
    except (InvalidInput, TooManyRequests) as error:
        typed = GateForm.sent(form, ("email",), error)
        return refused(await show(arrival, "forgot.html", status=error.status, form=typed), error)
    background.add_task(send_reset, context, email, address=address)
    return go_to(arrival, "/forgot/sent")


@router.get("/forgot/sent")
async def sent(arrival: ArrivalDep) -> Response:
    return await show(arrival, "sent.html", headline="Look into your mail", what="sets a new password",
                      **how_it_comes(arrival))  # fmt: skip


@router.get("/reset/{secret}")
async def ask_password(arrival: ArrivalDep, secret: str) -> Response:
    try:
        email = await find_reset(arrival.context, secret)
    except NotFound:
        return await show_link_gone(arrival)
    return await _show(arrival, email)


@router.post("/reset/{secret}")
async def set_password(arrival: ArrivalDep, secret: str, form: OurForm) -> Response:
    """Who then signs in shows the new password, and a code where one is needed: a mailbox alone opens nothing."""
    try:
        email = await find_reset(arrival.context, secret)
        await reset_password(
            arrival.context, secret, text_of(form, "password"), address=address_of(arrival.request)
        )  # fmt: skip
    except NotFound:
        return await show_link_gone(arrival)
    except (InvalidInput, TooManyRequests) as error:
        return refused(await _show(arrival, email, error), error)
    return discreet(go_to(arrival, "/login?after=reset"))


async def _show(arrival: Arrival, email: str, error: ApiError | None = None) -> Response:
    status = 200 if error is None else error.status
    return discreet(await show(arrival, "reset.html", status=status, form=GateForm(error=error), email=email))
