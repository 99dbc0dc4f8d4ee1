"""`/providers/{id}/test`: sending a test mail, and what came of it."""

import uuid

from fastapi import APIRouter
from pydantic import ValidationError
from starlette.responses import Response

from janus_mail.errors import Conflict, InvalidInput, NotFound
from janus_mail.pages import queries
from janus_mail.pages.provider_form import Problem
from janus_mail.pages.provider_words import tested
from janus_mail.pages.rendering import go_to, show
from janus_mail.pages.visit import EditProvidersVisit, OurForm, Visit, text_of
from janus_mail.routing.read import read_provider
from janus_mail.routing.schemas import Provider, ProviderTest
from janus_mail.routing.try_out import read_test, send_test
from janus_mail.web.validation import invalid_input

router = APIRouter()

_LABELS = {"to": "To", "from_email": "From"}


class TestForm(dict[str, str]):
    """What was typed, and what is wrong with it."""

    __test__ = False
    problems: list[Problem]

    def wrong(self, name: str) -> list[str]:
        return [problem.sentence for problem in self.problems if problem.field == name]


@router.get("/providers/{provider_id}/test")
async def trial_page(visit: EditProvidersVisit, provider_id: uuid.UUID, mail: uuid.UUID | None = None) -> Response:
    provider = await _read(visit, provider_id)
    person = visit.caller.person
    return await _show(visit, provider, _form(person.email if person else await _own_sender(visit), ""), mail)


@router.post("/providers/{provider_id}/test")
async def try_out(visit: EditProvidersVisit, provider_id: uuid.UUID, sent: OurForm) -> Response:
    provider = await _read(visit, provider_id)
    form = _form(text_of(sent, "to").strip(), text_of(sent, "from_email").strip())
    try:
        wanted = ProviderTest.model_validate({name: text or None for name, text in form.items()})
        done = await send_test(visit.context, visit.caller, provider_id, wanted)
    except ValidationError as error:
        _note(form, invalid_input(error.errors(include_url=False), dict(form)))
        return await _show(visit, provider, form, None, status=400)
    except (InvalidInput, Conflict) as refusal:
        _note(form, refusal)
        return await _show(visit, provider, form, None, status=refusal.status)
    return go_to(visit, f"/providers/{provider_id}/test?mail={done.message_id}")


async def _read(visit: Visit, provider_id: uuid.UUID) -> Provider:
    return await read_provider(visit.context.database, visit.context.secrets, visit.caller.workspace_id, provider_id)


async def _own_sender(visit: Visit) -> str:
    """Of the workspace: an address that somebody here reads, most likely."""
    address: str | None = await visit.context.database.pool.fetchval(queries.OWN_SENDER, visit.caller.workspace_id)
    return address or ""


def _form(to: str, from_email: str) -> TestForm:
    form = TestForm(to=to, from_email=from_email)
    form.problems = []
    return form


def _note(form: TestForm, refusal: InvalidInput | Conflict) -> None:
    form.problems = [Problem(one.field, one.message, _LABELS.get(one.field, "")) for one in refusal.details]
    form.problems = form.problems or [Problem("", refusal.message)]


async def _show(
    visit: Visit, provider: Provider, form: TestForm, mail: uuid.UUID | None, *, status: int = 200
) -> Response:
    """Raises `NotFound` for a mail that was no test of this workspace's."""
    test = kept = None
    if mail is not None:
        test = await read_test(visit.context, visit.caller.workspace_id, mail)
        if test.provider.id != provider.id:
            raise NotFound("There is no such test mail.")
        aside = await visit.context.database.pool.fetchrow(queries.ASIDE, visit.caller.workspace_id, mail)
        kept = aside["caught"] if aside is not None else None
        form["to"] = test.to
    return await show(
        visit,
        "provider_test.html",
        status=status,
        nav="providers",
        provider=provider,
        form=form,
        sender=provider.from_email or await _own_sender(visit),
        test=test,
        kept=kept,
        words=None if test is None else tested(test, caught=kept is not None),
    )
