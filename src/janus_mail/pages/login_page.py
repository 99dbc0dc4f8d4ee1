"""`/login`, in one step or two, and `/logout`."""

from typing import Final
from urllib.parse import urlencode

from fastapi import APIRouter, Request
from starlette.responses import Response

from janus_mail.accounts.access import address_of, anonymous_caller
from janus_mail.accounts.second_factor import prove_code
from janus_mail.accounts.sessions import close_session
from janus_mail.errors import ApiError, InvalidInput, TooManyRequests, Unauthorized
from janus_mail.gate.set_up import is_set_up
from janus_mail.gate.sign_in import note_ended, note_refused_code, prove_password, who_may_sign_in
from janus_mail.pages import cookies
from janus_mail.pages.cookies import delete_cookie
from janus_mail.pages.gate_form import GateForm, refused
from janus_mail.pages.rendering import go_to, show
from janus_mail.pages.signing_in import SECOND_STEP_S, is_at, keep_step, person_at, signed_in_answer
from janus_mail.pages.visit import Arrival, ArrivalDep, OurForm, our_path, text_of

router = APIRouter()

# What has just been done elsewhere and ends here.
_AFTER: Final = {
    "reset": "The new password is set, and every place where you were signed in is signed out. Sign in with it.",
    "out": "You are signed out.",
    "confirmed": "The address is confirmed. Sign in.",
}
_STATUS: Final = {Unauthorized: 400, InvalidInput: 400, TooManyRequests: 429}


@router.get("/login")
async def ask(arrival: ArrivalDep) -> Response:
    """Who is signed in already is led on."""
    if arrival.session is not None:
        return go_to(arrival, _next(arrival.request))
    return await _show(arrival, GateForm(), _next(arrival.request))


@router.post("/login")
async def sign_in(arrival: ArrivalDep, form: OurForm) -> Response:
    """With the password alone, or on to the second step."""
    back = our_path(text_of(form, "next"))
    try:
        proven = await prove_password(
            arrival.context, text_of(form, "email"), text_of(form, "password"), address=address_of(arrival.request)
        )
        if not proven.needs_code:
            return await signed_in_answer(arrival, proven.user_id, back, password_digest=proven.password_digest)
    except (Unauthorized, TooManyRequests) as error:
        return await _show(arrival, GateForm.sent(form, ("email",), error), back, error)
    response = go_to(arrival, _with_next("/login/code", back))
    keep_step(
        arrival, response, "second step", proven.user_id, proven.password_digest, lasts_s=SECOND_STEP_S
    )  # fmt: skip
    return response


@router.get("/login/code")
async def ask_code(arrival: ArrivalDep) -> Response:
    """For who has shown the password within the last minutes."""
    if person_at(arrival, "second step", lasts_s=SECOND_STEP_S) is None:
        return go_to(arrival, _with_next("/login", _next(arrival.request)))
    return await show(arrival, "login_code.html", form=GateForm(), next=_next(arrival.request))


@router.post("/login/code")
async def sign_in_with_code(arrival: ArrivalDep, form: OurForm) -> Response:
    """A code of the app, or a recovery code."""
    context, back = arrival.context, our_path(text_of(form, "next"))
    user_id = person_at(arrival, "second step", lasts_s=SECOND_STEP_S)
    user = await who_may_sign_in(context, user_id) if user_id is not None else None
    if user is None or not is_at(arrival, "second step", user.id, user.password_digest, lasts_s=SECOND_STEP_S):
        return go_to(arrival, _with_next("/login", back))
    error: ApiError
    try:
        if await prove_code(context, user.id, text_of(form, "code")):
            return await signed_in_answer(arrival, user.id, back, password_digest=user.password_digest)
        await note_refused_code(context, user, address=address_of(arrival.request))
        error = InvalidInput("This code does not fit, or was used already. The app shows a new one every half minute.")
    except Unauthorized:
        return go_to(arrival, _with_next("/login", back))
    except TooManyRequests as too_many:
        error = too_many
    response = await show(
        arrival, "login_code.html", status=_STATUS[type(error)], form=GateForm(error=error), next=back
    )  # fmt: skip
    return refused(response, error)


@router.post("/logout")
async def sign_out(arrival: ArrivalDep, form: OurForm) -> Response:
    """The session is closed, not only forgotten by the browser. Twice is no mistake."""
    if arrival.session is not None:
        person = arrival.session.person
        async with arrival.context.database.transaction() as connection:
            if await close_session(connection, person.user_id, arrival.session.id):
                await note_ended(connection, person, address=address_of(arrival.request))
    response = go_to(arrival, "/login?after=out")
    for name in (cookies.SESSION, cookies.CSRF, cookies.HALF_SIGNED_IN):
        delete_cookie(arrival.request, response, name)
    return response


async def _show(arrival: Arrival, form: GateForm, back: str, error: ApiError | None = None) -> Response:
    context = arrival.context
    async with context.database.transaction() as connection:
        fresh = not await is_set_up(connection)
    response = await show(
        arrival,
        "login.html",
        status=200 if error is None else _STATUS[type(error)],
        form=form,
        next=back,
        after=_AFTER.get(arrival.request.query_params.get("after", "")) if error is None else None,
        fresh=fresh,
        may_register=context.settings.registration == "open",
        needs_none=await anonymous_caller(context, arrival.request) is not None,
    )
    return refused(response, error) if error is not None else response


def _next(request: Request) -> str:
    return our_path(request.query_params.get("next", "/"))


def _with_next(path: str, back: str) -> str:
    return f"{path}?{urlencode({'next': back})}" if back != "/" else path
