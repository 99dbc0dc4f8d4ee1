"""What an intruder has stored, typed or put into an address is shown as text on every page, and never runs."""

import re
from collections.abc import AsyncIterator, Sequence
from typing import Final
from urllib.parse import parse_qsl, urlsplit

import httpx
import pytest
from fastapi import FastAPI

from janus_mail.pages.assets import MOUNTED_AT
from tests.pages.conftest import Visitor
from tests.pages.gallery import Gallery
from tests.pages.reading import Page
from tests.security.stored import PLACES, caught, places, send_in, spoil
from tests.security.surfaces import Surface, surfaces

# Path → why nothing of anybody's is shown there.
UNSEEN: Final = {
    "/api/docs": "it leads to /docs",
    "/set-up/{secret}": "there is somebody already",
}
RUN = "window.__pwned=1"
# As a link and as markup, in lower case, as some columns want it. The sum is what a template would make of it.
SCRIPT = (
    f'javascript:{RUN}//" onmouseover="{RUN}</textarea></title></style></script><script>{RUN}</script>'
    f'<img src=x onerror={RUN}><svg onload={RUN}>"\'><a href="javascript:{RUN}">'
    "{{1337*1337}}${1337*1337}<%= 1337*1337 %>"
)
_OURS_TO_RUN = re.compile(rf"{MOUNTED_AT}/[0-9a-f]+/[\w./-]+|/?docs/(static|vendor)/[\w./-]+")
_LINKS = ("href", "src", "action", "formaction", "data", "poster", "srcset", "xlink:href", "hx-get", "hx-post")


@pytest.fixture
async def spoiled(visitor: Visitor, owner: Visitor, gallery_of_few: Gallery) -> None:
    """A workspace that says this everywhere: sent in through the API, and whatever others might have stored."""
    await send_in(visitor.client, SCRIPT)
    await caught(gallery_of_few, SCRIPT)
    assert await spoil(gallery_of_few.database.pool, SCRIPT) > 25


def test_everything_that_an_address_may_name_can_be_filled_in(every_surface: list[Surface]) -> None:
    named = {name for surface in every_surface for name in surface.parameters}
    assert named - PLACES.keys() == set(), "say in PLACES of tests/security/stored.py where such a thing is found"


@pytest.mark.usefixtures("spoiled")
async def test_what_is_stored_is_text_on_every_page(
    visitor: Visitor, owner: Visitor, gallery_of_few: Gallery, anonymous_app: FastAPI
) -> None:
    shown = 0
    async for _, path, answer, page in every_page((owner, visitor), gallery_of_few, anonymous_app):
        policy = answer.headers["content-security-policy"]
        if policy.startswith("sandbox"):  # what a mail brought along
            assert policy.startswith("sandbox; default-src 'none'; "), path
            assert "script" not in policy
            continue
        assert faults_of(page) == [], path
        assert "unsafe" not in policy
        shown += "1337*1337" in page.html or RUN in page.html
    assert shown > 12


async def test_what_is_typed_or_asked_for_comes_back_as_text(
    visitor: Visitor, owner: Visitor, gallery_of_few: Gallery, anonymous_app: FastAPI
) -> None:
    """Every form with the script in every field, and every address with it in every part of its query."""
    await send_in(visitor.client, "Hello")
    await caught(gallery_of_few, "Hello")
    forms: dict[object, tuple[Visitor, str, dict[str, str]]] = {}
    queries: dict[tuple[str, str], Visitor] = {}
    async for who, path, _, page in every_page((owner, visitor), gallery_of_few, anonymous_app):
        asked = urlsplit(path)
        for form in page.root.all("form"):
            action = urlsplit(form.attributes.get("action") or path).path
            if form.attributes.get("method") == "post":
                forms.setdefault(_kind(action), (who, action, form.values()))
            else:
                queries = {(action, name): who for name in form.values()} | queries
        queries = {(asked.path, name): who for name, _ in parse_qsl(asked.query)} | queries
    assert len(forms) > 15
    assert len(queries) > 8
    for (path, name), who in queries.items():
        answer = await who.client.get(path, params={name: SCRIPT})
        assert answer.status_code < 500, (path, name)
        assert faults_of(Page(answer.text)) == [], (path, name)
    for who, action, fields in sorted(forms.values(), key=lambda form: "logout" in form[1]):
        typed = {name: value if name == "csrf_token" else SCRIPT for name, value in fields.items()}
        answer = await who.client.post(action, data=typed)
        assert answer.status_code < 500, action
        assert faults_of(Page(answer.text)) == [], action


async def every_page(
    visitors: Sequence[Visitor], gallery: Gallery, app: FastAPI
) -> AsyncIterator[tuple[Visitor, str, httpx.Response, Page]]:
    """Each page there is, to whoever sees something there, and what its links lead to: one of each kind."""
    ids = await places(gallery.database.pool)
    routes = [surface for surface in surfaces(app) if surface.method == "GET" and surface.is_page]
    waiting = [(surface.at(ids), surface.path) for surface in routes]
    seen, shown = set(), set()
    while waiting:
        path, template = waiting.pop(0)
        if (kind := _kind(path)) in seen:
            continue
        seen.add(kind)
        for visitor in visitors:
            answer = await visitor.client.get(path)
            assert answer.status_code < 500, path
            if answer.status_code == 200 and (answer.url.path != "/login" or path == "/login"):
                shown.add(template)
            if not answer.headers["content-type"].startswith("text/html"):
                break
            page = Page(answer.text)
            yield visitor, path, answer, page
            links = [link.attributes.get("href", "") for link in page.root.all("a")]
            links += [frame.attributes.get("src", "") for frame in page.root.all("iframe")]
            waiting += [(link, "") for link in links if link.startswith("/")]
    unseen = {surface.path for surface in routes} - shown - UNSEEN.keys()
    assert sorted(unseen) == [], (
        "nothing is shown there: make it in `people` of tests/security/stored.py, or say why not"
    )


def _kind(path: str) -> tuple[str, tuple[str, ...]]:
    parts = urlsplit(path)
    template = re.sub(r"[0-9a-f]{8}-[0-9a-f-]{27}", "{id}", parts.path)
    return template, tuple(sorted({name for name, _ in parse_qsl(parts.query)}))


def faults_of(page: Page) -> list[str]:
    """What is there that is not ours."""
    faults = []
    for element in page.root.all():
        faults += [f"{name} on <{element.tag}>" for name in element.attributes if name.startswith("on")]
        faults += [f"{name}={value}" for name, value in element.attributes.items() if _leads_astray(name, value)]
        if element.tag == "script" and (element.text or not _OURS_TO_RUN.fullmatch(element.attributes.get("src", ""))):
            faults.append(f"a script: {element.attributes} {element.text[:80]}")
        # A page that moves loads itself anew, and no other.
        if element.tag in ("base", "object", "embed") or "url" in element.attributes.get("content", "").lower():
            faults.append(f"<{element.tag}> {element.attributes}")
        if element.tag == "iframe" and element.attributes.get("sandbox") != "":
            faults.append("a frame without a sandbox")
    if str(1337 * 1337) in page.html:
        faults.append("a template was filled in")
    return faults


def _leads_astray(name: str, value: str) -> bool:
    """Browsers overlook white space and control characters in the name of a scheme."""
    said = re.sub(r"[\x00-\x20]", "", value).lower()
    scheme = re.match(r"([^/?#]*):", said)
    return name in _LINKS and scheme is not None and scheme[1] not in ("http", "https", "mailto")
