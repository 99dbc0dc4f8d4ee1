"""`/administration`: the accounts and the workspaces of the server, and nothing that is in them."""

import uuid
from collections.abc import Awaitable, Callable, Mapping
from typing import Annotated, Any, Final
from urllib.parse import urlencode

from fastapi import APIRouter, Depends
from starlette.datastructures import FormData
from starlette.responses import Response

from janus_mail.accounts import administration
from janus_mail.audit.record import Actor
from janus_mail.errors import ApiError, Conflict, Forbidden, InvalidInput, NotFound, TooManyRequests
from janus_mail.gate.registering import read_email
from janus_mail.notices.system_mail import can_mail, provider_names
from janus_mail.pages.account_page import me_of
from janus_mail.pages.flash import Flash
from janus_mail.pages.gate_form import refused
from janus_mail.pages.rendering import go_to, show
from janus_mail.pages.signing_in import discreet
from janus_mail.pages.typed_form import TypedForm
from janus_mail.pages.visit import OurForm, PersonalVisit, PersonalVisitDep, text_of
from janus_mail.web.context import Context
from janus_mail.workspaces import supervising
from janus_mail.workspaces.invitations import invite_to_server

router = APIRouter()

PAGE: Final = 25
_LABELS: Final[Mapping[str, str]] = {
    "email": "Address",
    "minute_quota": "Mails a minute",
    "monthly_quota": "Mails a month",
}
_REFUSED: Final = (InvalidInput, Conflict, Forbidden, TooManyRequests)
# What each mode of registering means. Administrators can always invite, but where it is closed.
_REGISTRATION: Final[Mapping[str, str]] = {
    "open": "Anybody may make an account, and proves by mail that the address is theirs.",
    "invite": "Only who is invited makes an account: by an administrator, or into a workspace by an owner of it.",
    "closed": "Nobody makes an account but whoever runs the server, with `janus users create`.",
}

_Work = Callable[[Context, Actor, uuid.UUID], Awaitable[None]]
# What a button on a row does.
_DOINGS: Final[Mapping[str, _Work]] = {
    "confirm": administration.confirm_by_hand,
    "disable": lambda c, a, u: administration.set_disabled(c, a, u, disabled=True),
    "enable": lambda c, a, u: administration.set_disabled(c, a, u, disabled=False),
    "make-administrator": lambda c, a, u: administration.set_administrator(c, a, u, administrator=True),
    "revoke-administrator": lambda c, a, u: administration.set_administrator(c, a, u, administrator=False),
    "sign-out": administration.sign_out_everywhere,
    "second-factor-off": administration.switch_second_factor_off,
}


async def _administrator(visit: PersonalVisitDep) -> PersonalVisit:
    """Raises `Unauthorized` (`sign_in_needed`), `Forbidden`."""
    if not visit.person.administrator:
        raise Forbidden("Only administrators of this server may see this.", code="not_administrator")
    return visit


AdministratorVisit = Annotated[PersonalVisit, Depends(_administrator)]


@router.get("/administration")
async def people_page(visit: AdministratorVisit) -> Response:
    return await _show_people(visit)


@router.get("/administration/invite")
async def where_the_form_is(visit: AdministratorVisit) -> Response:
    """Who comes back to what a form answered."""
    return go_to(visit, "/administration")


@router.post("/administration/invite")
async def invite(visit: AdministratorVisit, form: OurForm) -> Response:
    """To the server, into no workspace. Where no mail is set up the page that follows shows the link, this once."""
    typed = TypedForm.sent(_LABELS, form)
    try:
        email = read_email(typed["email"])
        made = await invite_to_server(visit.context, me_of(visit).actor, email)
    except _REFUSED as error:
        typed.note(error)
        return await _show_people(visit, form=typed, error=error)
    if made.link is None:
        return go_to(visit, "/administration", Flash("invited"))
    return discreet(await _show_people(visit, link=made.link, link_is="makes an account", link_for=email))


@router.post("/administration/people/{user_id}/reset-link")
async def reset_link(visit: AdministratorVisit, user_id: uuid.UUID, form: OurForm) -> Response:
    try:
        link = await administration.offer_reset(visit.context, me_of(visit).actor, user_id)
    except NotFound:
        return go_to(visit, "/administration", Flash("nothing_changed"))
    except _REFUSED as error:
        return await _show_people(visit, error=error)
    if link is None:
        return go_to(visit, _back(form), Flash("person_changed"))
    return discreet(await _show_people(visit, link=link, link_is="sets a new password", link_for=text_of(form, "name")))


@router.post("/administration/people/{user_id}/email")
async def change_email(visit: AdministratorVisit, user_id: uuid.UUID, form: OurForm) -> Response:
    email = text_of(form, "email").strip()
    return await _do(
        visit, form, user_id, lambda context, actor, who: administration.change_email(context, actor, who, email)
    )


@router.get("/administration/workspaces")
async def workspaces_page(visit: AdministratorVisit) -> Response:
    return await _show_workspaces(visit)


@router.post("/administration/workspaces/{workspace_id}/quotas")
async def set_quotas(visit: AdministratorVisit, workspace_id: uuid.UUID, form: OurForm) -> Response:
    try:
        await supervising.set_quotas(
            visit.context.database,
            str(workspace_id),
            {field: _quota(form, field) for field in ("minute_quota", "monthly_quota")},
            actor=me_of(visit).actor,
        )
    except NotFound:
        return go_to(visit, "/administration/workspaces", Flash("nothing_changed"))
    except InvalidInput as error:
        return await _show_workspaces(visit, error)
    return go_to(visit, "/administration/workspaces", Flash("quotas_set"))


def _add_doings() -> None:
    def answer_to(work: _Work) -> Callable[..., Awaitable[Response]]:
        async def change_person(visit: AdministratorVisit, user_id: uuid.UUID, form: OurForm) -> Response:
            return await _do(visit, form, user_id, work)

        return change_person

    for doing, work in _DOINGS.items():
        router.add_api_route(f"/administration/people/{{user_id}}/{doing}", answer_to(work), methods=["POST"])


async def _do(visit: PersonalVisit, form: FormData, user_id: uuid.UUID, work: _Work) -> Response:
    try:
        await work(visit.context, me_of(visit).actor, user_id)
    except NotFound:
        return go_to(visit, "/administration", Flash("nothing_changed"))
    except _REFUSED as error:
        return await _show_people(visit, error=error)
    return go_to(visit, _back(form), Flash("person_changed"))


async def _show_people(
    visit: PersonalVisit,
    *,
    form: TypedForm | None = None,
    error: ApiError | None = None,
    link: str | None = None,
    link_is: str = "",
    link_for: str = "",
) -> Response:
    """`link`: one that was made, with what it does and for whom. What was refused stands above where no form shows
    it."""
    words, after = _asked(visit)
    settings = visit.context.settings
    rows = await administration.list_accounts(visit.context.database, words, after=after, limit=PAGE + 1)
    response = await show(
        visit,
        "administration.html",
        status=200 if error is None else error.status,
        nav="administration",
        rows=rows[:PAGE],
        words_=words,
        older=_link("/administration", words, rows[PAGE - 1].id) if len(rows) > PAGE else None,
        newest=_link("/administration", words) if after is not None else None,
        form=form or TypedForm(_LABELS, {}),
        refused=error if form is None else None,
        link=link,
        link_is=link_is,
        link_for=link_for,
        registration=settings.registration,
        registration_means=_REGISTRATION[settings.registration],
        system_providers=provider_names(settings),
        mails=can_mail(settings),
    )
    return refused(response, error) if error is not None else response


async def _show_workspaces(visit: PersonalVisit, error: ApiError | None = None) -> Response:
    words, after = _asked(visit)
    settings = visit.context.settings
    rows = await administration.list_tenants(visit.context.database, words, after=after, limit=PAGE + 1)
    values: dict[str, Any] = {
        "rows": rows[:PAGE],
        "words_": words,
        "older": _link("/administration/workspaces", words, rows[PAGE - 1].id) if len(rows) > PAGE else None,
        "newest": _link("/administration/workspaces", words) if after is not None else None,
        "refused": error,
        "minute_quota": settings.minute_quota,
        "monthly_quota": settings.monthly_quota,
    }
    status = 200 if error is None else error.status
    return await show(visit, "administration_workspaces.html", status=status, nav="administration", **values)


def _asked(visit: PersonalVisit) -> tuple[str, uuid.UUID | None]:
    """The words that are looked for, and where the page begins."""
    query = visit.request.query_params
    try:
        return query.get("q", "").strip()[:320], uuid.UUID(query["after"]) if "after" in query else None
    except ValueError:
        return query.get("q", "").strip()[:320], None


def _link(path: str, words: str, after: uuid.UUID | None = None) -> str:
    query = {name: value for name, value in (("q", words), ("after", str(after or ""))) if value}
    return f"{path}?{urlencode(query)}" if query else path


def _back(form: FormData) -> str:
    """The list as it was filtered."""
    return _link("/administration", text_of(form, "q").strip()[:320])


def _quota(form: FormData, name: str) -> int | None:
    """Empty: the server's. What is no number is out of every range."""
    text = text_of(form, name).strip().replace(",", "")
    if not text:
        return None
    return int(text) if text.isascii() and text.isdigit() and len(text) <= 12 else -1


_add_doings()
