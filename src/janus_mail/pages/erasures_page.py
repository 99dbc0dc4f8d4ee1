"""`/erasures`: taking a recipient out of everything that the workspace has, and when that was done."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from fastapi import APIRouter
from starlette.responses import Response

from janus_mail.erasure.recipient import erase_recipient
from janus_mail.erasure.schemas import ErasureRequest
from janus_mail.errors import Conflict, Detail, InvalidInput
from janus_mail.oversight.read import AuditFilters, list_entries, read_filters
from janus_mail.oversight.schemas import AuditEntryOut
from janus_mail.pages.flash import Flash
from janus_mail.pages.rendering import go_to, show
from janus_mail.pages.visit import EraseVisit, OurForm, Visit, text_of
from janus_mail.web.pages_of import PageRequest

router = APIRouter()

_MOST_SHOWN = 25
_MOST_CHARACTERS = 320


@dataclass(slots=True)
class Typed:
    """What stands in the form, and what is wrong with it."""

    values: Mapping[str, str]
    problems: Sequence[tuple[str, str]] = ()

    def __getitem__(self, name: str) -> str:
        return self.values.get(name, "")

    def wrong(self, name: str) -> list[str]:
        return [sentence for field, sentence in self.problems if field == name]


@router.get("/erasures")
async def erasures_page(visit: EraseVisit) -> Response:
    return await _show(visit, Typed({}))


@router.post("/erasures")
async def erase(visit: EraseVisit, form: OurForm) -> Response:
    typed = Typed({name: text_of(form, name).strip() for name in ("email", "unsuppress", "sure")})
    try:
        if not 3 <= len(typed["email"]) <= _MOST_CHARACTERS:
            raise InvalidInput("Type the whole address.")
        if not typed["sure"]:
            sentence = "Say that you mean it."
            raise InvalidInput(sentence, details=[Detail("sure", sentence)])
        wanted = ErasureRequest(email=typed["email"], unsuppress=bool(typed["unsuppress"]))
        context = visit.context
        done = await erase_recipient(
            context.database, context.list_cache, visit.caller, visit.caller.workspace_id, wanted
        )  # fmt: skip
    except (InvalidInput, Conflict) as refusal:
        problems = [(detail.field, detail.message) for detail in refusal.details]
        typed.problems = problems or [("email", refusal.message)]
        return await _show(visit, typed, status=refusal.status)
    return go_to(visit, "/erasures", Flash("erased", (sum(done.counts.values()), done.canceled)))


async def _show(visit: Visit, typed: Typed, *, status: int = 200) -> Response:
    entries: Sequence[AuditEntryOut] = ()
    if visit.caller.may("audit:read"):
        asked = await read_filters(visit.context, visit.caller, AuditFilters(action="recipient.erased"))
        entries = (await list_entries(visit.context, asked, PageRequest(_MOST_SHOWN))).data
    return await show(
        visit, "erasures.html", status=status, nav="audit", form=typed, problems=typed.problems, entries=entries
    )
