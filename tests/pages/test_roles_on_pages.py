"""What a role may not do has no button; the server's refusal is what holds (tests/accounts/test_permissions.py)."""

import pytest
from fastapi import FastAPI

from janus_mail.accounts.permissions import role_may
from janus_mail.models.states import Role
from janus_mail.storage.database import Database
from tests.accounts.test_permissions import Question, questions
from tests.pages.conftest import Visitor
from tests.pages.gallery import Gallery, trouble
from tests.pages.reading import Page, faults_of
from tests.pages.visiting import visiting


async def every_page(visitor: Visitor, gallery: Gallery) -> list[Page]:
    """All that every role may see, with each event opened where something is to decide."""
    paths = ["/", "/?status=pending", "/providers", "/parked", "/suppressions", "/mailbox", "/members", "/workspace"]
    for event_id in gallery.events.values():
        messages = await gallery.database.pool.fetch(
            "SELECT id FROM messages WHERE event_id = $1 AND state = ANY('{parked,failed}') LIMIT 2", event_id
        )
        paths += [f"/events/{event_id}", *(f"/events/{event_id}?message={row['id']}" for row in messages)]
    return [await visitor.get(path) for path in paths]


def led_to(page: Page) -> set[tuple[str, str]]:
    """Every form and link of it, as (method, path)."""
    forms = {(form.attributes.get("method", "get").upper(), form["action"]) for form in page.root.all("form")}
    links = {("GET", link.attributes.get("href", "")) for link in page.root.all("a")}
    return {(method, path.partition("?")[0].partition("#")[0]) for method, path in forms | links}


def asked_by(all_questions: list[Question], method: str, path: str) -> Question | None:
    """The first route that fits, as the application finds it."""
    parts = path.split("/")
    for one in all_questions:
        wanted = one.path.split("/")
        fits = len(wanted) == len(parts) and all(a == b or "{" in a for a, b in zip(wanted, parts, strict=True))
        if fits and one.method == method:
            return one
    return None


@pytest.mark.parametrize("paused", [False, True], ids=["usual", "in-trouble"])
@pytest.mark.parametrize("role", [Role.EDITOR, Role.VIEWER], ids=str)  # an owner may everything
async def test_a_page_leads_nowhere_that_its_reader_may_not_go(
    app: FastAPI, database: Database, gallery: Gallery, role: Role, paused: bool
) -> None:
    if paused:
        await trouble(gallery)
        await database.pool.execute("UPDATE workspaces SET paused_at = clock_timestamp()")
    known = questions(app)
    async with visiting(app, database, "somebody@example.com", role) as visitor:
        pages = await every_page(visitor, gallery)
    wrong = set()
    for page in pages:
        assert faults_of(page) == []
        for method, path in led_to(page):
            one = asked_by(known, method, path)
            if one is not None and one.actions and one.actions[0] and not role_may(role, one.actions[0]):
                wrong.add(f"{method} {path}")
    assert wrong == set()


async def test_each_role_still_finds_what_it_may_do(app: FastAPI, database: Database, gallery: Gallery) -> None:
    found = {}
    for role in Role:
        async with visiting(app, database, f"{role}@example.com", role) as visitor:
            pages = await every_page(visitor, gallery)
            found[role] = {path for page in pages for _, path in led_to(page)}
    event = {path for path in found[Role.OWNER] if path.endswith("/cancel") and path.startswith("/events/")}
    assert event
    assert event <= found[Role.EDITOR]
    for path in ("/add", "/pause", "/suppressions/add", "/cancel"):
        assert path in found[Role.EDITOR], path
        assert path not in found[Role.VIEWER], path
    for path in ("/providers/add", "/keys", "/audit", "/members/invite"):
        assert path in found[Role.OWNER], path
        assert path not in found[Role.EDITOR], path
    assert "/workspace/leave" in found[Role.VIEWER]
