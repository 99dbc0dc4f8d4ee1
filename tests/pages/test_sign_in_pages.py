"""Signing in and out in a browser, and what an intruder finds there."""

import uuid
from collections.abc import AsyncIterator

import httpx
import pyotp
import pytest
import time_machine
from fastapi import FastAPI

from janus_mail.gate.passwords import digest_password
from janus_mail.pages.cookies import CSRF, HALF_SIGNED_IN, SESSION
from janus_mail.storage.database import Database
from tests.accounts.mailing import BOX, GOOD, set_up
from tests.pages.gate import Browser, browser, set_cookies
from tests.pages.reading import Page
from tests.people import add_person

EMAIL = "mara@example.com"
NOON = 1_900_000_020  # within a half minute


@pytest.fixture
async def mara(database: Database, workspace_id: uuid.UUID) -> uuid.UUID:
    """An owner of the workspace `default`, with a password."""
    return await add_person(
        database, EMAIL, workspace_id=workspace_id, password_digest=await digest_password(GOOD)
    )  # fmt: skip


@pytest.fixture
async def guest(app: FastAPI, mara: uuid.UUID) -> AsyncIterator[Browser]:
    async with browser(app) as found:
        yield found


async def sign_in(guest: Browser, path: str = "/login") -> httpx.Response:
    return await guest.send(path, email=EMAIL, password=GOOD)


async def test_signing_in_leads_back_to_the_page_that_was_asked_for(guest: Browser) -> None:
    asked = await guest.get("/mailbox?to=ann%40example.com")
    answer = await sign_in(guest, asked.headers["location"])
    assert (answer.status_code, answer.headers["location"]) == (303, "/mailbox?to=ann%40example.com")
    assert (await guest.get(answer.headers["location"])).status_code == 200
    again = await guest.get("/login")
    assert (again.status_code, again.headers["location"]) == (303, "/")


async def test_the_form_is_what_password_managers_know(guest: Browser) -> None:
    form = (await guest.page("/login")).root.one("form")
    email, password = form.one("input", name="email"), form.one("input", name="password")
    assert (email["type"], email["autocomplete"]) == ("email", "username")
    assert (password["type"], password["autocomplete"]) == ("password", "current-password")


async def test_a_wrong_password_keeps_the_address_and_not_the_password(guest: Browser) -> None:
    answer = await guest.send("/login?next=/mailbox", email=EMAIL, password="another <one>")
    assert answer.status_code == 400
    form = Page(answer.text).root.one("form")
    assert form.values()["email"] == EMAIL
    assert form.values()["next"] == "/mailbox"
    assert "value" not in form.one("input", name="password").attributes
    assert "another" not in answer.text
    assert "do not fit together" in answer.text


async def test_existing_and_unknown_addresses_cannot_be_told_apart(
    app: FastAPI, mara: uuid.UUID, database: Database
) -> None:
    await add_person(database, "shut@example.com", password_digest=await digest_password(GOOD))
    await database.pool.execute("UPDATE users SET disabled_at = now() WHERE email = 'shut@example.com'")
    answers = []
    for email, password in (("mara@example.com", "wrong"), ("nobo@example.com", GOOD), ("shut@example.com", GOOD)):
        async with browser(app) as guest:
            answer = await guest.send("/login", email=email, password=password)
            token = Page(answer.text).root.one("form").values()["csrf_token"]
            headers = {name for name, _ in answer.headers.items()}
            answers.append((answer.status_code, headers, answer.text.replace(email, "E").replace(token, "T")))
    assert answers[0] == answers[1] == answers[2]


@pytest.mark.parametrize(
    ("wanted", "led"),
    [
        ("https://attacker.example/", "/"),
        ("//attacker.example/", "/"),
        ("/\\attacker.example", "/"),
        ("\\\\attacker.example", "/"),
        ("/\t/attacker.example", "/"),
        ("javascript:alert(1)", "/"),
        ("//[", "/"),
        ("//\u2100.example", "/"),
        ("/login\r\nSet-Cookie: a=b", "/loginSet-Cookie: a=b"),
        ("/providers?x=1#y", "/providers?x=1"),
    ],
    ids=["whole", "host", "backslash", "backslashes", "tab", "script", "half-a-host", "no-host", "two-lines", "ours"],
)
async def test_nobody_is_led_elsewhere_after_signing_in(guest: Browser, wanted: str, led: str) -> None:
    answer = await guest.send("/login", email=EMAIL, password=GOOD, next=wanted)
    assert (answer.status_code, answer.headers["location"]) == (
        303,
        httpx.QueryParams({"l": led})["l"].replace(" ", "%20"),
    )
    assert set(set_cookies(answer)) == {SESSION, CSRF, HALF_SIGNED_IN}


@pytest.mark.parametrize("path", ["/login?next=//[", "/login/code?next=//[", "/login?next=%ED%A0%80"])
async def test_no_address_to_go_back_to_is_a_mistake_of_ours(guest: Browser, path: str) -> None:
    assert (await guest.get(path)).status_code in (200, 303)


@pytest.mark.parametrize("charset", ["undefined", "punycode", "unicode_escape", "utf-16", "a\0b", "latin-1"])
async def test_a_form_that_is_not_in_utf_8_is_told_so(guest: Browser, charset: str) -> None:
    """Some of Python's codecs fail on any text, some make halves of surrogate pairs of it."""
    fields = {**(await guest.page("/login")).root.one("form").values(), "email": "\\ud800@x", "next": "/\\ud800"}
    parts = [f'--b\r\nContent-Disposition: form-data; name="{name}"\r\n\r\n{said}' for name, said in fields.items()]
    answer = await guest.client.post(
        "/login", content="\r\n".join([*parts, "--b--", ""]).encode(),
        headers={"Content-Type": f'multipart/form-data; boundary=b; charset="{charset}"'},
    )  # fmt: skip
    assert (answer.status_code, "Send the form in UTF-8." in answer.text) == (400, True)


async def test_nothing_of_what_somebody_saw_is_kept_in_the_browser(guest: Browser) -> None:
    """Else whoever comes after they have signed out presses «Back»."""
    assert (await guest.get("/login")).headers["cache-control"] == "private, no-cache"
    await sign_in(guest)
    for path in ("/", "/account", "/mailbox"):
        assert (await guest.get(path)).headers["cache-control"] in ("private, no-store", "no-store")


async def test_a_session_from_before_is_worth_nothing_after(
    app: FastAPI, guest: Browser, mara: uuid.UUID, database: Database, workspace_id: uuid.UUID
) -> None:
    """Session fixation: what an intruder planted in the browser, or had from it, opens nothing after a sign-in."""
    await add_person(
        database, "ann@example.com", workspace_id=workspace_id, password_digest=await digest_password(GOOD)
    )
    await guest.send("/login", email="ann@example.com", password=GOOD)
    before, seed = guest.session, guest.client.cookies[CSRF]
    page = Page((await guest.get("/")).text)
    token = page.root.all("input", name="csrf_token")[0]["value"]
    answer = await guest.client.post("/login", data={"email": EMAIL, "password": GOOD, "csrf_token": token})
    assert answer.status_code == 303
    assert guest.session not in (before, None)
    assert guest.client.cookies[CSRF] != seed
    async with browser(app) as intruder:
        intruder.client.cookies.set(SESSION, str(before))
        assert not await intruder.is_in()
    refused = await guest.client.post("/theme", data={"theme": "dark", "csrf_token": token})
    assert refused.status_code == 403


async def test_an_intruders_own_cookie_does_not_become_a_session(guest: Browser) -> None:
    planted = "x" * 43
    guest.client.cookies.set(SESSION, planted, domain="testserver.local")
    await sign_in(guest)
    assert await guest.is_in()
    values = {cookie.value for cookie in guest.client.cookies.jar if cookie.name == SESSION}
    assert values - {planted}


async def test_a_form_of_another_site_signs_nobody_in(app: FastAPI, guest: Browser) -> None:
    async with browser(app) as attacker:
        theirs = (await attacker.page("/login")).root.one("form").values()
    await guest.page("/login")
    for fields in ({}, {"csrf_token": ""}, {"csrf_token": theirs["csrf_token"]}):
        answer = await guest.client.post("/login", data={"email": EMAIL, "password": GOOD, **fields})
        assert answer.status_code == 403
    assert guest.session is None
    async with browser(app) as without_cookies:
        answer = await without_cookies.client.post("/login", data={"email": EMAIL, "password": GOOD, **theirs})
        assert answer.status_code == 403


async def test_the_cookie_is_out_of_reach_of_scripts_other_sites_and_plain_http(app: FastAPI, guest: Browser) -> None:
    plain = set_cookies(await sign_in(guest))[SESSION].lower()
    assert "httponly" in plain
    assert "samesite=lax" in plain
    assert "max-age=43200" in plain
    async with browser(app, base_url="https://testserver") as safe:
        cookies = set_cookies(await sign_in(safe))
        session = cookies[f"__Host-{SESSION}"].lower()
        assert "secure" in session
        assert "path=/" in session
        assert "domain" not in session


async def test_signing_out_closes_the_session_and_not_only_the_cookie(
    app: FastAPI, guest: Browser, database: Database
) -> None:
    await sign_in(guest)
    kept = str(guest.session)
    token = Page((await guest.get("/")).text).root.all("input", name="csrf_token")[0]["value"]
    refused = await guest.client.post("/logout", data={"csrf_token": "x"})
    assert refused.status_code == 403
    assert await guest.is_in()
    answer = await guest.client.post("/logout", data={"csrf_token": token})
    assert (answer.status_code, answer.headers["location"]) == (303, "/login?after=out")
    assert guest.session is None
    assert "signed out" in (await guest.page("/login?after=out")).root.text
    async with browser(app) as thief:
        thief.client.cookies.set(SESSION, kept)
        assert not await thief.is_in()
    actions = await database.pool.fetch("SELECT action FROM audit_log ORDER BY id")
    assert [row["action"] for row in actions] == ["session.begun", "session.ended"]


async def test_a_hundred_tries_are_stopped_and_the_page_says_when_to_come_back(app: FastAPI, mara: uuid.UUID) -> None:
    set_up(app, {"rate_limit_sign_in": 30})
    async with browser(app) as guest:
        form = (await guest.page("/login")).root.one("form").values()
        statuses = []
        for n in range(100):
            answer = await guest.client.post("/login", data={**form, "email": EMAIL, "password": f"guess {n}"})
            statuses.append(answer.status_code)
    assert statuses == [400] * 10 + [429] * 90
    assert int(answer.headers["retry-after"]) > 0
    assert "Try again in" in answer.text
    assert Page(answer.text).root.one("form").values()["email"] == EMAIL


@pytest.mark.parametrize("open_", [True, False], ids=["open", "by-invitation"])
async def test_the_way_to_register_is_shown_where_it_is_open(app: FastAPI, mara: uuid.UUID, open_: bool) -> None:
    set_up(app, {"registration": "open" if open_ else "invite"})
    async with browser(app) as guest:
        page = await guest.page("/login")
    assert bool(page.root.all("a", href="/register")) is open_
    assert "set-up-link" not in page.html


async def test_a_fresh_install_says_how_the_first_account_is_made(app: FastAPI) -> None:
    async with browser(app) as guest:
        assert "janus users set-up-link" in (await guest.page("/login")).root.text


async def test_this_machine_needs_no_account_under_make_run(anonymous_app: FastAPI) -> None:
    async with browser(anonymous_app, address="127.0.0.1", base_url="http://localhost") as here:
        assert "needs no account" in (await here.page("/login")).root.text
    async with browser(anonymous_app, base_url="http://localhost") as elsewhere:
        assert "needs no account" not in (await elsewhere.page("/login")).root.text


# -- the second step


@pytest.fixture
async def secret(database: Database, mara: uuid.UUID) -> str:
    """Mara's app knows it."""
    secret = pyotp.random_base32()
    await database.pool.execute(
        "UPDATE users SET totp_secret = $1, totp_since = now() WHERE id = $2", BOX.seal({"totp": secret}), mara
    )
    return secret


def code(secret: str) -> str:
    return pyotp.TOTP(secret).now()


async def test_with_a_second_factor_the_password_alone_opens_nothing(guest: Browser, secret: str) -> None:
    answer = await sign_in(guest, "/login?next=/mailbox")
    assert answer.headers["location"] == "/login/code?next=%2Fmailbox"
    assert set(set_cookies(answer)) == {HALF_SIGNED_IN}
    assert not await guest.is_in()
    form = (await guest.page("/login/code?next=/mailbox")).root.one("form")
    assert form.one("input", name="code")["autocomplete"] == "one-time-code"
    wrong = await guest.send("/login/code?next=/mailbox", code="000000")
    assert wrong.status_code == 400
    assert Page(wrong.text).root.one("form").values()["next"] == "/mailbox"
    answer = await guest.send("/login/code?next=/mailbox", code=code(secret))
    assert (answer.status_code, answer.headers["location"]) == (303, "/mailbox")
    assert await guest.is_in()
    assert guest.client.cookies.get(HALF_SIGNED_IN) is None


async def test_a_wrong_code_is_in_the_audit_log(guest: Browser, secret: str, database: Database) -> None:
    await sign_in(guest)
    await guest.send("/login/code", code="000000")
    row = await database.pool.fetchrow("SELECT action, object, after FROM audit_log")
    assert row is not None
    assert (row["action"], row["object"], row["after"]) == ("session.refused", EMAIL, {"step": "code"})


async def test_a_code_counts_once(app: FastAPI, guest: Browser, secret: str) -> None:
    used = code(secret)
    await sign_in(guest)
    assert (await guest.send("/login/code", code=used)).status_code == 303
    async with browser(app) as thief:
        await sign_in(thief)
        assert (await thief.send("/login/code", code=used)).status_code == 400
        assert not await thief.is_in()


async def test_codes_cannot_be_guessed(guest: Browser, secret: str) -> None:
    await sign_in(guest)
    form = (await guest.page("/login/code")).root.one("form").values()
    said = [(await guest.client.post("/login/code", data={**form, "code": f"{n:06}"})).status_code for n in range(30)]
    assert said.count(429) >= 20
    assert set(said) <= {400, 429}


async def test_a_page_for_the_code_leads_back_who_has_not_shown_the_password(guest: Browser, secret: str) -> None:
    assert (await guest.get("/login/code")).headers["location"] == "/login"
    form = (await guest.page("/login")).root.one("form").values()
    answer = await guest.client.post("/login/code", data={**form, "code": code(secret)})
    assert answer.headers["location"] == "/login"
    guest.client.cookies.set(HALF_SIGNED_IN, "forged.forged.forged")
    assert (await guest.get("/login/code")).headers["location"] == "/login"


@pytest.mark.parametrize(
    "change",
    ["UPDATE users SET password_digest = 'another'", "UPDATE users SET disabled_at = now()", "DELETE FROM users"],
    ids=["new-password", "disabled", "gone"],
)
async def test_the_first_step_counts_as_long_as_the_account_is_what_it_was(
    guest: Browser, secret: str, database: Database, change: str
) -> None:
    await sign_in(guest)
    await database.pool.execute(change)
    answer = await guest.send("/login/code", code=code(secret))
    assert answer.headers["location"] == "/login"
    assert guest.session is None


async def test_the_first_step_counts_for_five_minutes(guest: Browser, secret: str) -> None:
    with time_machine.travel(NOON, tick=True) as clock:
        await sign_in(guest)
        clock.shift(290)
        assert (await guest.get("/login/code")).status_code == 200
        clock.shift(20)
        assert (await guest.get("/login/code")).headers["location"] == "/login"


async def test_the_first_step_counts_where_another_servers_clock_is_a_little_behind(
    guest: Browser, secret: str
) -> None:
    with time_machine.travel(NOON, tick=True) as clock:
        await sign_in(guest)
        clock.shift(-5)
        assert (await guest.get("/login/code")).status_code == 200
        clock.shift(-60)
        assert (await guest.get("/login/code")).headers["location"] == "/login"


async def test_the_first_step_of_registering_is_none_of_signing_in(app: FastAPI, guest: Browser, secret: str) -> None:
    set_up(app, {"registration": "open"})
    await guest.send("/register", email="new@example.com", name="New", password=GOOD)
    assert guest.client.cookies.get(HALF_SIGNED_IN) is not None
    assert (await guest.get("/login/code")).headers["location"] == "/login"
