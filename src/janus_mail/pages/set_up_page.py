"""`/set-up/{secret}`: the first account of a fresh install."""

from fastapi import APIRouter
from starlette.responses import Response

from janus_mail.accounts.access import address_of
from janus_mail.errors import InvalidInput, NotFound, TooManyRequests
from janus_mail.gate.set_up import find_set_up, set_up
from janus_mail.pages.gate_form import GateForm, refused
from janus_mail.pages.register_page import show_link_gone
from janus_mail.pages.rendering import show
from janus_mail.pages.signing_in import discreet, signed_in_answer
from janus_mail.pages.visit import ArrivalDep, OurForm, text_of

router = APIRouter()


@router.get("/set-up/{secret}")
async def ask(arrival: ArrivalDep, secret: str) -> Response:
    try:
        await find_set_up(arrival.context, secret)
    except NotFound:
        return await show_link_gone(arrival)
    return discreet(await show(arrival, "set_up.html", form=GateForm()))


@router.post("/set-up/{secret}")
async def make_first(arrival: ArrivalDep, secret: str, form: OurForm) -> Response:
    """The administrator, signed in."""
    try:
        user_id = await set_up(
            arrival.context, secret, email=text_of(form, "email"), name=text_of(form, "name"),
            password=text_of(form, "password"), address=address_of(arrival.request),
        )  # fmt: skip
    except NotFound:
        return await show_link_gone(arrival)
    except (InvalidInput, TooManyRequests) as error:
        typed = GateForm.sent(form, ("email", "name"), error)
        return discreet(refused(await show(arrival, "set_up.html", status=error.status, form=typed), error))
    return discreet(await signed_in_answer(arrival, user_id, "/"))
