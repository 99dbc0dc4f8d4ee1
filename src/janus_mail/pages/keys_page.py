"""`/keys`: the API keys of the workspace, for programs."""

import uuid
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from fastapi import APIRouter
from starlette.responses import Response

from janus_mail.accounts.permissions import ALL_SCOPES
from janus_mail.errors import ApiError, Conflict, Forbidden, InvalidInput, NotFound
from janus_mail.keys import changes as key_changes
from janus_mail.keys.schemas import USUAL_OVERLAP_HOURS, ApiKey, ApiKeyCreate
from janus_mail.pages.flash import Flash
from janus_mail.pages.rendering import go_to, show
from janus_mail.pages.role_words import SCOPES
from janus_mail.pages.signing_in import discreet
from janus_mail.pages.typed_form import TypedForm
from janus_mail.pages.visit import EditKeysVisit, KeysVisit, OurForm, Visit, text_of
from janus_mail.pages.words import Look

router = APIRouter()

_LABELS: Final[Mapping[str, str]] = {"name": "What it is for", "scopes": "What it may do", "expires": "How long"}
EXPIRIES: Final[Mapping[str, str]] = {
    "30": "30 days",
    "90": "90 days",
    "365": "A year",
    "": "Until it is revoked",
}
OVERLAPS: Final[Mapping[str, str]] = {
    "0": "At once",
    "24": "In a day",
    "168": "In a week",
    "720": "In 30 days",
}
_USUAL_SCOPES: Final = ("events:read", "events:write")
_LOOKS: Final[Mapping[str, Look]] = {
    "active": Look("Good", "sent", "good"),
    "expired": Look("Expired", "expired", "over"),
    "revoked": Look("Revoked", "canceled", "over"),
}


@dataclass(frozen=True, slots=True)
class ShownKey:
    """A row of the list."""

    key: ApiKey
    look: Look
    scopes: str
    successor: str  # how the key that takes its place begins


@router.get("/keys")
async def keys_page(visit: KeysVisit) -> Response:
    return await _show(visit, _blank(), _USUAL_SCOPES)


@router.post("/keys")
async def make(visit: EditKeysVisit, form: OurForm) -> Response:
    """The page that follows shows the key, this once."""
    typed = TypedForm.sent(_LABELS, form)
    scopes = [scope for scope in form.getlist("scopes") if isinstance(scope, str)]
    given: dict[str, Any] = {"name": typed["name"], "scopes": scopes}
    if typed["expires"] not in EXPIRIES:
        typed.add("expires", "Choose one of these.")
    elif typed["expires"]:
        given["expires_in_days"] = int(typed["expires"])
    if not scopes:
        typed.add("scopes", "Choose what it may do.")
    wanted = typed.read(ApiKeyCreate, given) if not typed.problems else None
    if wanted is not None:
        try:
            made = await key_changes.accept_key(visit.context, visit.caller, wanted)
        except (Conflict, Forbidden, InvalidInput) as error:
            typed.note(error)
        else:
            return await _made(visit, made)
    return await _show(visit, typed, scopes, status=400)


@router.post("/keys/{key_id}/rotate")
async def rotate(visit: EditKeysVisit, key_id: uuid.UUID, form: OurForm) -> Response:
    hours = text_of(form, "overlap_hours")
    if hours not in OVERLAPS:
        hours = str(USUAL_OVERLAP_HOURS)
    try:
        async with visit.context.database.transaction() as connection:
            made = await key_changes.rotate(connection, visit.caller, visit.caller.workspace_id, key_id, int(hours))
    except NotFound:
        return go_to(visit, "/keys", Flash("nothing_changed"))
    except Conflict as error:
        return await _show(visit, _blank(), _USUAL_SCOPES, status=409, refused=error)
    return await _made(visit, made)


@router.get("/keys/{key_id}/rotate")
async def rotated(visit: KeysVisit, key_id: uuid.UUID) -> Response:
    """Who comes back to what a form answered."""
    return go_to(visit, "/keys")


@router.post("/keys/{key_id}/revoke")
async def revoke(visit: EditKeysVisit, key_id: uuid.UUID, _form: OurForm) -> Response:
    try:
        async with visit.context.database.transaction() as connection:
            await key_changes.revoke(connection, visit.caller, visit.caller.workspace_id, key_id)
    except NotFound:
        return go_to(visit, "/keys", Flash("nothing_changed"))
    return go_to(visit, "/keys", Flash("key_revoked"))


def _blank() -> TypedForm:
    return TypedForm(_LABELS, {"expires": "90"})


async def _made(visit: Visit, made: key_changes.Made) -> Response:
    key = await key_changes.read_key(visit.context.database, visit.caller.workspace_id, made.id)
    return discreet(await _show(visit, _blank(), _USUAL_SCOPES, made=key, secret=made.secret))


async def _show(
    visit: Visit,
    typed: TypedForm,
    chosen: Sequence[str],
    *,
    status: int = 200,
    refused: ApiError | None = None,
    made: ApiKey | None = None,
    secret: str | None = None,
) -> Response:
    keys = await key_changes.list_keys_of(visit.context.database, visit.caller.workspace_id)
    prefixes = {key.id: key.prefix for key in keys}
    return await show(
        visit,
        "keys.html",
        status=status,
        nav="keys",
        form=typed,
        chosen=chosen,
        refused=refused,
        made=made,
        secret=secret,
        api=visit.context.settings.public_url or str(visit.request.base_url).rstrip("/"),
        scopes=[(scope, *SCOPES[scope]) for scope in ALL_SCOPES],
        expiries=list(EXPIRIES.items()),
        overlaps=list(OVERLAPS.items()),
        usual_overlap=str(USUAL_OVERLAP_HOURS),
        keys=[
            ShownKey(
                key, _LOOKS[key.status], _in_words(key.scopes),
                prefixes.get(key.successor_id, "") if key.successor_id else "",
            )
            for key in keys
        ],
    )  # fmt: skip


def _in_words(scopes: Sequence[str]) -> str:
    """«Read and schedule mail»; a key with `admin` may everything."""
    if "admin" in scopes:
        return SCOPES["admin"][0]
    return ", ".join(SCOPES[scope][0] for scope in ALL_SCOPES if scope in scopes)
