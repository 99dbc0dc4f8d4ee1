"""`/invitations/…`: what the link of an invitation opens, once."""

from collections.abc import Mapping
from typing import Final

from fastapi import APIRouter
from starlette.responses import Response

from janus_mail.accounts.access import address_of
from janus_mail.errors import ApiError, Conflict, Forbidden, InvalidInput, NotFound, TooManyRequests
from janus_mail.pages.flash import Flash
from janus_mail.pages.rendering import go_to, show
from janus_mail.pages.role_words import ROLES
from janus_mail.pages.signing_in import discreet, signed_in_answer
from janus_mail.pages.typed_form import TypedForm
from janus_mail.pages.visit import Arrival, ArrivalDep, OurForm, text_of
from janus_mail.workspaces.accepting import (
    Account,
    has_account,
    invitation_gone,
    is_member,
    join,
    join_with_new_account,
)
from janus_mail.workspaces.invitations import Offer, find_offer
from janus_mail.workspaces.places import Somebody, switch

router = APIRouter()

_LABELS: Final[Mapping[str, str]] = {"name": "Your name", "password": "Password"}
_REFUSED: Final = (Conflict, Forbidden, InvalidInput, NotFound, TooManyRequests)


@router.get("/invitations/{secret}")
async def see(arrival: ArrivalDep, secret: str) -> Response:
    return await _show(arrival, secret, TypedForm(_LABELS, {}))


@router.post("/invitations/{secret}")
async def accept(arrival: ArrivalDep, secret: str, form: OurForm) -> Response:
    """As the person who is signed in, else with the account that is made for it."""
    typed = TypedForm.sent(_LABELS, form, secret=("password",))
    try:
        if arrival.session is not None:
            return await _join(arrival, secret)
        wanted = Account(typed["name"], text_of(form, "password"))
        user_id, workspace_id = await join_with_new_account(
            arrival.context, wanted, secret, address=address_of(arrival.request)
        )
    except _REFUSED as error:
        typed.note(error)
        return await _show(arrival, secret, typed, error)
    return await signed_in_answer(arrival, user_id, "/workspaces/new" if workspace_id is None else "/")


async def _join(arrival: Arrival, secret: str) -> Response:
    """Raises what `join` raises."""
    assert arrival.session is not None  # noqa: S101
    person = arrival.session.person
    workspace_id = await join(arrival.context, Somebody(person, address_of(arrival.request)), secret)
    await switch(arrival.context, arrival.session.id, person.user_id, workspace_id)
    return go_to(arrival, "/", Flash("joined"))


async def _show(arrival: Arrival, secret: str, typed: TypedForm, error: ApiError | None = None) -> Response:
    offer = await find_offer(arrival.context.database, secret)
    gone = invitation_gone() if offer is None else None
    failure = gone or error
    response = await show(
        arrival,
        "invitation.html",
        status=failure.status if failure is not None else 200,
        form=typed,
        offer=offer,
        gone=gone,
        role=ROLES[offer.role] if offer is not None else None,
        secret=secret,
        way=await _way(arrival, offer) if offer is not None else "",
    )
    return discreet(response)


async def _way(arrival: Arrival, offer: Offer) -> str:
    """How to take it: `join`, `sign_in`, `register`; or why not: `member`, `has_account`, `closed`."""
    if arrival.session is not None:
        if offer.workspace_id is None:
            return "has_account"
        return "member" if await is_member(arrival.context, offer, arrival.session.person.user_id) else "join"
    if await has_account(arrival.context, offer):
        return "sign_in"
    return "closed" if arrival.context.settings.registration == "closed" else "register"
