"""`/account/second-factor`: an app that shows codes, and the recovery codes that stand in for it."""

from collections.abc import Sequence
from typing import Final
from urllib.parse import quote

from fastapi import APIRouter
from starlette.responses import Response

from janus_mail.accounts import account, second_factor
from janus_mail.errors import ApiError, Conflict, InvalidInput, TooManyRequests
from janus_mail.pages.account_page import me_of, show_account
from janus_mail.pages.flash import Flash
from janus_mail.pages.gate_form import refused
from janus_mail.pages.rendering import go_to, show
from janus_mail.pages.signing_in import discreet
from janus_mail.pages.typed_form import TypedForm
from janus_mail.pages.visit import OurForm, PersonalVisit, PersonalVisitDep, text_of

router = APIRouter()

_REFUSED: Final = (InvalidInput, TooManyRequests)
_LABELS: Final = {"code": "Code", "current": "Password", "off_current": "Password", "off_code": "Code"}


@router.get("/account/second-factor")
async def second_factor_page(visit: PersonalVisitDep) -> Response:
    return await _show(visit)


@router.get("/account/second-factor/confirm")
@router.get("/account/second-factor/codes")
@router.get("/account/second-factor/off")
async def where_the_forms_are(visit: PersonalVisitDep) -> Response:
    """Who comes back to what a form answered."""
    return go_to(visit, "/account/second-factor")


@router.post("/account/second-factor")
async def begin(visit: PersonalVisitDep, form: OurForm) -> Response:
    """From the form on `/account`."""
    try:
        await account.begin_second_factor(visit.context, me_of(visit), text_of(form, "factor_current"))
    except _REFUSED as error:
        return await show_account(visit, form, "factor_", error)
    except Conflict:
        pass  # it is in force already, which the page shows
    return go_to(visit, "/account/second-factor")


@router.post("/account/second-factor/confirm")
async def confirm(visit: PersonalVisitDep, form: OurForm) -> Response:
    try:
        codes = await account.confirm_second_factor(visit.context, me_of(visit), text_of(form, "code"))
    except _REFUSED as error:
        return await _show(visit, error)
    except Conflict:
        return go_to(visit, "/account/second-factor", Flash("nothing_changed"))
    return await _show_codes(visit, codes, fresh=True)


@router.post("/account/second-factor/codes")
async def renew_codes(visit: PersonalVisitDep, form: OurForm) -> Response:
    try:
        codes = await account.renew_recovery_codes(visit.context, me_of(visit), text_of(form, "current"))
    except _REFUSED as error:
        return await _show(visit, error)
    except Conflict:
        return go_to(visit, "/account/second-factor", Flash("nothing_changed"))
    return await _show_codes(visit, codes, fresh=False)


@router.post("/account/second-factor/off")
async def switch_off(visit: PersonalVisitDep, form: OurForm) -> Response:
    try:
        await account.switch_second_factor_off(
            visit.context, me_of(visit), text_of(form, "off_current"), text_of(form, "off_code")
        )
    except _REFUSED as error:
        return await _show(visit, error, "off_")
    return go_to(visit, "/account", Flash("second_factor_off"))


async def _show(visit: PersonalVisit, error: ApiError | None = None, prefix: str = "") -> Response:
    """Where nothing was begun there is nothing to see."""
    context, person = visit.context, visit.person
    async with context.database.transaction() as connection:
        standing = await second_factor.standing(connection, person.user_id)
        pending = await second_factor.pending(connection, context.secrets, person.user_id, person.email)
    if not standing.in_force and pending is None:
        return go_to(visit, "/account")
    form = TypedForm(_LABELS, {})
    for detail in error.details if error is not None else ():
        form.add(prefix + detail.field, detail.message)
    if error is not None and not error.details:
        form.add("", error.message)
    response = await show(
        visit, "account_second_factor.html", status=200 if error is None else error.status, nav="account", form=form,
        pending=pending, codes_left=standing.codes_left,
    )  # fmt: skip
    return discreet(refused(response, error) if error is not None else response)


async def _show_codes(visit: PersonalVisit, codes: Sequence[str], *, fresh: bool) -> Response:
    """This once: no copy of the page is kept."""
    text = "\n".join(
        [f"Recovery codes of {visit.person.email} for Janus. Each is good for one sign-in.", "", *codes, ""]
    )
    file = f"data:text/plain;charset=utf-8,{quote(text)}"
    return discreet(await show(visit, "account_codes.html", nav="account", codes=codes, file=file, fresh=fresh))
