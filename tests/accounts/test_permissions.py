"""The table of roles and scopes, whole, and that every route asks it one question."""

import inspect
import itertools
import uuid
from collections.abc import Iterator
from typing import Final, get_args

import httpx
import pytest
from fastapi import FastAPI
from fastapi.dependencies.models import Dependant
from fastapi.routing import iter_route_contexts

from janus_mail.accounts.access import allow
from janus_mail.accounts.permissions import ALL_SCOPES, RULES, Action, role_may, scopes_may
from janus_mail.keys.key import create_key
from janus_mail.models.states import Role
from janus_mail.pages import visit
from janus_mail.storage.database import Database
from tests.people import add_person, signed_in

_OWNER, _EDITOR, _VIEWER = Role.OWNER, Role.EDITOR, Role.VIEWER
# Written out once more on purpose: who changes the table changes it here too, and thinks twice.
EXPECTED: Final[dict[str, tuple[set[Role], str]]] = {
    "events:read": ({_OWNER, _EDITOR, _VIEWER}, "events:read"),
    "events:write": ({_OWNER, _EDITOR}, "events:write"),
    "providers:read": ({_OWNER, _EDITOR, _VIEWER}, "providers:read"),
    "providers:write": ({_OWNER}, "providers:write"),
    "workspace:write": ({_OWNER}, "admin"),
    "members:read": ({_OWNER, _EDITOR, _VIEWER}, "admin"),
    "members:write": ({_OWNER}, "admin"),
    "keys:read": ({_OWNER}, "admin"),
    "keys:write": ({_OWNER}, "admin"),
    "audit:read": ({_OWNER}, "admin"),
    "data:erase": ({_OWNER}, "admin"),
}
# What needs no workspace's permission, and why.
WITHOUT: Final[dict[str, str]] = {
    "POST /api/auth/token": "proves who one is",
    "POST /api/auth/refresh": "proves it again",
    "POST /api/auth/revoke": "gives it up",
    "POST /send_email": "the token is a field of the form; the caller's scope is asked when it is read",
    "POST /send_email/": "the same",
    "GET /view_sent_emails": "the same",
    "GET /view_sent_emails/": "the same",
    "GET /healthz": "for what watches Janus",
    "GET /readyz": "for what watches Janus",
    "GET /metrics": "for what watches Janus",
    "GET /openapi.json": "documentation",
    "GET /docs": "documentation",
    "GET /redoc": "documentation",
    "GET /api/docs": "documentation",
    **{
        f"{method} /{page}": "on the way in"
        for method in ("GET", "POST")
        for page in (
            "login",
            "login/code",
            "register",
            "forgot",
            "confirm/{secret}",
            "reset/{secret}",
            "set-up/{secret}",
            "invitations/{secret}",
            "account/email/{secret}",
        )
    },
    "GET /register/sent": "on the way in",
    "GET /forgot/sent": "on the way in",
    "POST /logout": "whoever is in may go",
    "POST /theme": "a cookie of the browser's",
}
_NOBODY: Final = "0199f2b8-6d0c-7a3e-9f5b-2f6f1d1c9a01"
_HOOKS: Final = "/hooks/"  # a service proves itself by the secret in the address, and signs

_PERMITTED: Final = visit.visit_to("events:read").__code__
_ALLOWED: Final = allow("events:read").__code__


def test_the_table_says_what_was_thought_of() -> None:
    assert set(EXPECTED) == set(RULES) == set(get_args(Action))


@pytest.mark.parametrize(("action", "role"), list(itertools.product(get_args(Action), Role)), ids=str)
def test_each_role_may_what_is_written_here(action: Action, role: Role) -> None:
    assert role_may(role, action) is (role in EXPECTED[action][0])


@pytest.mark.parametrize("action", get_args(Action))
def test_each_set_of_scopes_may_what_is_written_here(action: Action) -> None:
    for many in range(len(ALL_SCOPES) + 1):
        for scopes in itertools.combinations(ALL_SCOPES, many):
            may = EXPECTED[action][1] in scopes or "admin" in scopes
            assert scopes_may(frozenset(scopes), action) is may, scopes


def dependencies(dependant: Dependant) -> Iterator[Dependant]:
    for inner in dependant.dependencies:
        yield inner
        yield from dependencies(inner)


class Question:
    """A route with a method, and what it asks of who comes."""

    def __init__(self, method: str, path: str, dependant: Dependant) -> None:
        self.method, self.path = method, path
        called = {one.call for one in dependencies(dependant)}
        self.actions = [
            inspect.getclosurevars(call).nonlocals["action"]
            for call in called
            if inspect.isfunction(call) and call.__code__ in (_PERMITTED, _ALLOWED)
        ]
        self.personal = visit._personal_visit in called

    @property
    def name(self) -> str:
        return f"{self.method} {self.path}"

    @property
    def is_api(self) -> bool:
        return self.path.startswith("/api/")


def questions(app: FastAPI) -> list[Question]:
    found = []
    for route in iter_route_contexts(app.routes):
        dependant = getattr(route, "dependant", None)
        if dependant is None:
            dependant = getattr(getattr(route, "original_route", None), "dependant", None)
        path = (route.path_format or "").replace(":uuid", "")
        methods = sorted(set(route.methods or ()) - {"HEAD"})
        found += [Question(method, path, dependant or Dependant()) for method in methods]
    return found


def test_every_route_asks_exactly_one_thing_of_who_comes(built_apps: dict[bool, FastAPI]) -> None:
    asked = questions(built_apps[False])
    assert sum(bool(one.actions) for one in asked) > 80
    wrong = []
    for one in asked:
        if one.path.startswith((_HOOKS, "/.well-known/")) or one.name in WITHOUT:
            continue
        if len(one.actions) + one.personal != 1:
            wrong.append(f"{one.name}: {one.actions}")
    names = {one.name for one in asked}
    assert [name for name in WITHOUT if name not in names] == []
    assert not wrong, (
        "Each route takes one dependency of accounts/access.py or pages/visit.py. What is open on purpose stands in "
        f"WITHOUT, with the reason: {wrong}"
    )


def test_what_changes_something_needs_more_than_looking(built_apps: dict[bool, FastAPI]) -> None:
    """But for what is a person's own: leaving, a workspace of their own, a dry run."""
    own = {
        "POST /api/workspaces", "POST /api/workspace/leave", "POST /workspace/leave",
        "POST /api/events/dry-run",
    }  # fmt: skip
    lax = [
        one.name
        for one in questions(built_apps[False])
        if one.method != "GET"
        and one.actions
        and str(one.actions[0]).endswith((":read", "None"))
        and one.name not in own
    ]
    assert lax == []


@pytest.mark.parametrize("role", [*Role, None], ids=lambda role: role or "stranger")
async def test_each_page_and_each_route_lets_a_role_in_as_the_table_says(
    app: FastAPI, database: Database, workspace_id: uuid.UUID, role: Role | None
) -> None:
    """Asked without a body or a token, which come after the question."""
    asked = [one for one in questions(app) if len(one.actions) == 1 and not one.is_api]
    assert len(asked) > 50
    user_id = await add_person(database, "x@example.com", workspace_id=workspace_id, role=role or Role.VIEWER)
    if role is None:
        await database.pool.execute("DELETE FROM memberships")
    wrong = []
    async with signed_in(app, database, user_id) as browser:
        for one in asked:
            refused = await _is_refused(browser, one)
            allowed = role is not None and role_may(role, one.actions[0])
            if refused is allowed:
                wrong.append(one.name)
    assert wrong == []


@pytest.mark.parametrize("scope", [*ALL_SCOPES, None], ids=lambda scope: scope or "nothing")
async def test_each_route_of_the_api_lets_a_key_in_as_the_table_says(
    app: FastAPI, database: Database, workspace_id: uuid.UUID, scope: str | None
) -> None:
    """With a body that nobody can read, so that nothing is done; without any key all say 401."""
    asked = [one for one in questions(app) if len(one.actions) == 1 and one.is_api]
    assert len(asked) > 40
    headers = {"Content-Type": "application/json"}
    if scope is not None:
        key = await create_key(database, workspace="default", name="x", scopes=[scope])
        headers["Authorization"] = f"Bearer {key}"
    wrong = []
    async with httpx.AsyncClient(
        transport=httpx.ASGITransport(app), base_url="http://testserver", headers=headers
    ) as client:
        for one in asked:
            content = None if one.method in ("GET", "DELETE") else b"{"
            answer = await client.request(one.method, _address(one), content=content)
            if scope is None:
                expected = answer.status_code == 401
            else:
                action = one.actions[0]  # none: whoever proves who they are
                may = action is None or scopes_may(frozenset({scope}), action)
                expected = (answer.status_code not in (401, 403)) is may
            if not expected:
                wrong.append(f"{one.name}: {answer.status_code}")
    assert wrong == []


async def _is_refused(browser: httpx.AsyncClient, one: Question) -> bool:
    """By its role, or led away; a form without a token is refused as one that has grown old, which comes after."""
    answer = await browser.request(one.method, _address(one))
    if answer.status_code == 303 and answer.headers["location"].startswith(("/workspaces/new", "/login")):
        return True
    return answer.status_code == 403 and "you may not do this" in answer.text


def _address(one: Question) -> str:
    address = one.path
    while "{" in address:
        before, _, rest = address.partition("{")
        name, _, after = rest.partition("}")
        value = _NOBODY if name.partition(":")[0].endswith("id") else "0"
        address = f"{before}{value}{after}"
    return address
