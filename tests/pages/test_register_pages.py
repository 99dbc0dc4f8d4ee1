"""Registering, confirming, a forgotten password and the first account, in a browser; and what an intruder finds."""

import logging
import re
import uuid
from collections.abc import AsyncIterator
from urllib.parse import urlsplit

import httpx
import pytest
from fastapi import FastAPI

from janus_mail.gate.passwords import digest_password
from janus_mail.gate.set_up import set_up_link
from janus_mail.pages.cookies import CSRF, HALF_SIGNED_IN, SESSION
from janus_mail.storage.database import Database
from janus_mail.web.context import Context
from tests.accounts.counting import Counting, counting_from_now
from tests.accounts.mailing import GOOD, last_link, mails, set_up
from tests.pages.gate import Browser, browser, set_cookies
from tests.pages.reading import Page
from tests.people import add_person

EMAIL, NAME, OTHER = "mara@example.com", "Mara Lind", "eleven brisk otters"


@pytest.fixture
def context(app: FastAPI) -> Context:
    """Registering is open, and mail waits to be sent."""
    return set_up(app, {"registration": "open", "system_provider": "post"})


@pytest.fixture
async def guest(app: FastAPI, context: Context) -> AsyncIterator[Browser]:
    async with browser(app) as found:
        yield found


@pytest.fixture
async def counting(monkeypatch: pytest.MonkeyPatch) -> Counting:
    return await counting_from_now(monkeypatch)


@pytest.fixture
async def mara(database: Database, workspace_id: uuid.UUID) -> uuid.UUID:
    return await add_person(
        database, EMAIL, workspace_id=workspace_id, password_digest=await digest_password(OTHER)
    )  # fmt: skip


async def register(guest: Browser, email: str = EMAIL, password: str = GOOD) -> httpx.Response:
    return await guest.send("/register", email=email, name=NAME, password=password)


async def path_of_link(database: Database) -> str:
    return urlsplit(await last_link(database)).path


def is_discreet(answer: httpx.Response) -> bool:
    return answer.headers["referrer-policy"] == "no-referrer" and answer.headers["cache-control"] == "no-store"


# -- registering


async def test_who_registers_confirms_with_a_press_and_is_in(guest: Browser, database: Database) -> None:
    answer = await register(guest)
    assert (answer.status_code, answer.headers["location"]) == (303, "/register/sent")
    assert "on its way" in (await guest.page("/register/sent")).root.text
    path = await path_of_link(database)
    page = await guest.page(path)
    assert EMAIL in page.root.text
    assert not page.root.all("input", name="password")
    assert await database.pool.fetchval("SELECT confirmed_at FROM users") is None
    answer = await guest.send(path)
    assert (answer.status_code, answer.headers["location"]) == (303, "/")
    assert is_discreet(answer)
    assert (await guest.get("/")).headers["location"] == "/workspaces/new"
    assert (await guest.get("/register")).headers["location"] == "/"


async def test_in_another_browser_the_password_is_asked_for(app: FastAPI, guest: Browser, database: Database) -> None:
    await register(guest)
    path = await path_of_link(database)
    async with browser(app) as phone:
        assert (await phone.page(path)).root.one("input", name="password")["autocomplete"] == "current-password"
        refused = await phone.send(path, password=OTHER)
        assert refused.status_code == 400
        assert "not the password that was chosen" in refused.text
        assert phone.session is None
        assert (await phone.send(path, password=GOOD)).headers["location"] == "/"
        assert phone.session is not None


async def test_a_strangers_registration_of_an_address_opens_nothing_to_the_stranger(
    app: FastAPI, guest: Browser, database: Database
) -> None:
    """The stranger registers first; the owner of the address registers too, and confirms what came last."""
    async with browser(app) as stranger:
        await register(stranger, password=OTHER)
        await register(guest)
        path = await path_of_link(database)
        assert (await stranger.page(path)).root.one("input", name="password")
        assert (await guest.send(path)).status_code == 303
        answer = await stranger.send("/login", email=EMAIL, password=OTHER)
        assert answer.status_code == 400


async def test_registering_an_address_that_has_an_account_is_answered_alike(
    app: FastAPI, context: Context, mara: uuid.UUID, counting: Counting
) -> None:
    seen = []
    for email in (EMAIL, "nobo@example.com"):
        counting.computed = 0
        async with browser(app) as guest:
            answer = await register(guest, email)
            cookies = {name: len(cookie) for name, cookie in set_cookies(answer).items()}
            sent = (await guest.page("/register/sent")).html
        headers = {name: value for name, value in answer.headers.items() if name not in ("set-cookie", "x-request-id")}
        token = re.compile(r'name="csrf_token" value="[^"]*"')
        seen.append((answer.status_code, headers, answer.text, cookies, token.sub("", sent), counting.computed))
    assert seen[0] == seen[1]
    assert set(seen[0][3]) == {HALF_SIGNED_IN}


async def test_what_was_typed_is_kept_but_for_the_password(guest: Browser) -> None:
    answer = await guest.send("/register", email="mara", name=NAME, password=GOOD)
    assert answer.status_code == 400
    page = Page(answer.text)
    assert page.root.one("form").values() | {"csrf_token": ""} == {
        "csrf_token": "", "email": "mara", "name": NAME, "password": "",
    }  # fmt: skip
    assert GOOD not in answer.text
    weak = Page((await guest.send("/register", email=EMAIL, name=NAME, password="password2024")).text)
    assert "Many people use this password" in weak.root.one("", id="password-wrong").text
    assert weak.root.one("input", name="password")["aria-invalid"] == "true"


@pytest.mark.parametrize(
    ("registration", "says"), [("invite", "by invitation"), ("closed", "whoever runs this server")]
)
async def test_where_registering_is_not_open_the_page_says_why(
    app: FastAPI, guest: Browser, mara: uuid.UUID, database: Database, registration: str, says: str
) -> None:
    form = (await guest.page("/register")).root.one("form").values()
    set_up(app, {"registration": registration})
    assert says in (await guest.page("/register", status=403)).root.text
    answer = await guest.client.post(
        "/register", data={**form, "email": "new@example.com", "name": NAME, "password": GOOD}
    )
    assert answer.status_code == 403
    assert await database.pool.fetchval("SELECT count(*) FROM users") == 1


@pytest.mark.parametrize(
    ("settings", "says"),
    [
        ({"system_provider": "post"}, "on its way"),
        ({"system_provider": None}, "in the log of this server"),
        ({"system_provider": None, "env": "production"}, "cannot send"),
    ],
    ids=["mail", "development", "production"],
)
@pytest.mark.parametrize("path", ["/register/sent", "/forgot/sent"])
async def test_the_page_afterwards_says_where_the_link_is(
    app: FastAPI, guest: Browser, settings: dict[str, str | None], says: str, path: str
) -> None:
    set_up(app, settings)
    assert says in (await guest.page(path)).root.text


async def test_nothing_typed_becomes_a_field_of_an_account(guest: Browser, database: Database) -> None:
    """Mass assignment."""
    await guest.send(
        "/register", email=EMAIL, name=NAME, password=GOOD, administrator="true", confirmed="true", confirmed_at="now",
        role="owner", workspace_id=str(uuid.uuid4()), id=str(uuid.uuid4()),
    )  # fmt: skip
    row = await database.pool.fetchrow("SELECT administrator, confirmed_at FROM users")
    assert row is not None
    assert (row["administrator"], row["confirmed_at"]) == (False, None)
    assert await database.pool.fetchval("SELECT count(*) FROM memberships") == 0


# -- forgotten passwords


async def test_a_forgotten_password_is_chosen_anew_and_old_sessions_end(
    app: FastAPI, guest: Browser, mara: uuid.UUID, database: Database
) -> None:
    async with browser(app) as elsewhere:
        await elsewhere.send("/login", email=EMAIL, password=OTHER)
        assert await elsewhere.is_in()
        answer = await guest.send("/forgot", email=" MARA@example.com")
        assert (answer.status_code, answer.headers["location"]) == (303, "/forgot/sent")
        path = await path_of_link(database)
        form = (await guest.page(path)).root.one("form")
        assert form.one("input", name="password")["autocomplete"] == "new-password"
        weak = await guest.send(path, password="password2024")
        assert (weak.status_code, is_discreet(weak)) == (400, True)
        answer = await guest.send(path, password=GOOD)
        assert (answer.status_code, answer.headers["location"]) == (303, "/login?after=reset")
        assert guest.session is None  # with a second factor it would have been passed by
        assert not await elsewhere.is_in()
    assert "new password is set" in (await guest.page("/login?after=reset")).root.text
    assert (await guest.send("/login", email=EMAIL, password=GOOD)).headers["location"] == "/"
    assert [mail.subject for mail in await mails(database)] == ["Set a new password", "Your password was changed"]


async def test_asking_for_an_unknown_address_is_answered_alike(
    app: FastAPI, context: Context, mara: uuid.UUID, database: Database, counting: Counting
) -> None:
    seen = []
    for email in (EMAIL, "nobody@example.com"):
        async with browser(app) as guest:
            answer = await guest.send("/forgot", email=email)
            names = set(set_cookies(answer))
            seen.append((answer.status_code, answer.headers["location"], answer.text, names, counting.computed))
    assert seen[0] == seen[1]
    assert [mail.recipient for mail in await mails(database)] == [EMAIL]


async def test_links_lead_to_the_settings_address_whatever_host_is_asked(
    app: FastAPI, context: Context, mara: uuid.UUID, database: Database
) -> None:
    async with browser(app) as guest:
        form = (await guest.page("/forgot")).root.one("form").values()
        await guest.client.post(
            "/forgot", data={**form, "email": EMAIL},
            headers={"Host": "attacker.example", "X-Forwarded-Host": "attacker.example", "Forwarded": "host=a.example"},
        )  # fmt: skip
        form = (await guest.page("/register")).root.one("form").values()
        await guest.client.post(
            "/register", data={**form, "email": "new@example.com", "name": NAME, "password": GOOD},
            headers={"Host": "attacker.example"},
        )  # fmt: skip
    sent = await mails(database)
    assert len(sent) == 2
    for mail in sent:
        assert "http://testserver/" in mail.text
        assert "attacker" not in mail.text + mail.html


# -- links


@pytest.mark.parametrize("kind", ["confirm", "reset", "set-up"])
@pytest.mark.parametrize(
    "secret", ["x", "x" * 43, "%00", "..%2F..", "x" * 3000], ids=["short", "unknown", "nul", "up", "long"]
)
async def test_a_link_that_is_none_says_so(guest: Browser, kind: str, secret: str) -> None:
    answer = await guest.get(f"/{kind}/{secret}")
    assert answer.status_code in (400, 404)
    form = (await guest.page("/login")).root.one("form").values()
    answer = await guest.client.post(f"/{kind}/{secret}", data={**form, "password": GOOD, "email": EMAIL, "name": NAME})
    assert answer.status_code in (400, 404)
    if secret == "x" * 43:
        assert "opens nothing" in answer.text
        assert is_discreet(answer)


async def test_a_link_opens_once_and_only_what_it_is_for(
    app: FastAPI, guest: Browser, mara: uuid.UUID, database: Database
) -> None:
    await guest.send("/forgot", email=EMAIL)
    path = await path_of_link(database)
    secret = path.rpartition("/")[2]
    assert (await guest.get(f"/confirm/{secret}")).status_code == 404
    assert (await guest.get(f"/set-up/{secret}")).status_code == 404
    form = (await guest.page(path)).root.one("form").values()
    assert (await guest.client.post(path, data={**form, "password": GOOD})).status_code == 303
    assert (await guest.client.post(path, data={**form, "password": OTHER})).status_code == 404
    assert (await guest.send("/login", email=EMAIL, password=GOOD)).headers["location"] == "/"


async def test_a_link_that_is_too_old_opens_nothing(guest: Browser, mara: uuid.UUID, database: Database) -> None:
    await guest.send("/forgot", email=EMAIL)
    path = await path_of_link(database)
    form = (await guest.page(path)).root.one("form").values()
    await database.pool.execute("UPDATE account_links SET expires_at = now() - interval '1 second'")
    assert (await guest.get(path)).status_code == 404
    assert (await guest.client.post(path, data={**form, "password": GOOD})).status_code == 404


async def test_the_secret_of_a_link_is_told_to_nobody(
    app: FastAPI, guest: Browser, mara: uuid.UUID, database: Database, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    await guest.send("/forgot", email=EMAIL)
    path = await path_of_link(database)
    answer = await guest.get(path)
    assert is_discreet(answer)
    assert "'self'" in answer.headers["content-security-policy"]
    assert path not in answer.text
    await guest.send(path, password=GOOD)
    assert path.rpartition("/")[2] not in caplog.text
    said = await database.pool.fetchval("SELECT string_agg(a::text, ' ') FROM audit_log a")
    assert path.rpartition("/")[2] not in said


@pytest.mark.parametrize("path", ["/register", "/forgot", "LINK"])
async def test_a_form_of_another_site_does_nothing(
    guest: Browser, mara: uuid.UUID, database: Database, path: str
) -> None:
    await guest.send("/forgot", email=EMAIL)
    path = await path_of_link(database) if path == "LINK" else path
    before = len(await mails(database))
    answer = await guest.client.post(path, data={"email": "new@example.com", "name": NAME, "password": GOOD})
    assert answer.status_code == 403
    assert len(await mails(database)) == before
    assert await database.pool.fetchval("SELECT count(*) FROM users") == 1


# -- the first account


async def test_the_first_account_is_made_through_the_link_and_signed_in(
    app: FastAPI, guest: Browser, context: Context, database: Database
) -> None:
    path = urlsplit(await set_up_link(database, context.settings)).path
    assert is_discreet(await guest.get(path))
    wrong = await guest.send(path, email="mara", name=NAME, password=GOOD)
    assert wrong.status_code == 400
    assert Page(wrong.text).root.one("form").values()["name"] == NAME
    answer = await guest.send(path, email=EMAIL, name=NAME, password=GOOD)
    assert (answer.status_code, answer.headers["location"]) == (303, "/")
    assert set(set_cookies(answer)) == {SESSION, CSRF, HALF_SIGNED_IN}
    assert await guest.is_in()
    async with browser(app) as second:
        assert "opens nothing" in (await second.page(path, status=404)).root.text


async def test_the_first_account_is_made_under_make_run_too(anonymous_app: FastAPI, database: Database) -> None:
    context: Context = anonymous_app.state.context
    path = urlsplit(await set_up_link(database, context.settings)).path
    async with browser(anonymous_app, address="127.0.0.1", base_url="http://localhost") as here:
        assert (await here.send(path, email=EMAIL, name=NAME, password=GOOD)).status_code == 303
        assert await here.is_in()
        assert EMAIL in await database.pool.fetchval("SELECT string_agg(actor, ' ') FROM audit_log")
