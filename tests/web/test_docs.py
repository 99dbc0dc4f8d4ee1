"""The documentation pages: everything from here, nothing inline."""

import re
from html.parser import HTMLParser
from urllib.parse import urljoin

import httpx
import pytest
from fastapi import FastAPI

from tests.pages.browser import launched
from tests.pages.serving import served


class Parts(HTMLParser):
    """What a page loads, and what it should not have."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.loads: list[str] = []
        self.inline: list[str] = []
        self._within: str | None = None
        self.feed(page)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        given = dict(attrs)
        address = given.get("src") or (given.get("href") if tag == "link" else None)
        if address:
            self.loads.append(address)
        self.inline += [name for name in given if name == "style" or name.startswith("on")]
        self._within = tag

    def handle_data(self, data: str) -> None:
        if self._within in ("script", "style") and data.strip():
            self.inline.append(data)


@pytest.mark.parametrize("path", ["/docs", "/redoc"])
async def test_a_page_loads_only_files_of_ours_and_has_nothing_inline(api: httpx.AsyncClient, path: str) -> None:
    page = await api.get(path)
    parts = Parts(page.text)
    assert len(parts.loads) >= 4
    assert parts.inline == []
    for address in parts.loads:
        found = await api.get(urljoin(path, address))
        assert found.status_code == 200, address
        assert found.content


@pytest.mark.parametrize("path", ["/docs", "/redoc"])
async def test_the_policy_lets_in_neither_inline_code_nor_other_hosts(api: httpx.AsyncClient, path: str) -> None:
    policy = (await api.get(path)).headers["content-security-policy"]
    assert policy.startswith("default-src 'none'; script-src 'self';")
    assert "unsafe" not in policy
    assert not re.search(r"https?:|\*", policy)


async def test_the_scripts_ask_for_the_document_that_is_there(api: httpx.AsyncClient) -> None:
    for script in ("swagger.js", "redoc.js"):
        text = (await api.get(f"/docs/static/{script}")).text
        assert '"openapi.json"' in text
        assert "http" not in text
    assert (await api.get("/openapi.json")).json()["openapi"].startswith("3.1")


async def test_no_vendored_file_names_a_host_to_load_from(api: httpx.AsyncClient) -> None:
    redoc = (await api.get("/docs/vendor/redoc/redoc.standalone.js")).text
    assert "cdn.redoc.ly" not in redoc


async def test_the_licences_lie_beside_the_vendored_files(api: httpx.AsyncClient) -> None:
    assert "Apache License" in (await api.get("/docs/vendor/swagger-ui/LICENSE")).text
    assert "MIT" in (await api.get("/docs/vendor/redoc/LICENSE")).text


async def test_api_docs_leads_to_docs(api: httpx.AsyncClient) -> None:
    answer = await api.get("/api/docs")
    assert (answer.status_code, answer.headers["location"]) == (307, "/docs")


@pytest.mark.timeout(90)
async def test_a_browser_shows_redoc_under_its_policy_and_asks_no_other_host(app: FastAPI) -> None:
    async with served(app) as address, launched() as browser:
        page = await browser.new_page()
        complaints: list[str] = []
        page.on("console", lambda message: complaints.append(message.text))
        page.on("pageerror", lambda error: complaints.append(str(error)))
        page.on("request", lambda request: None if address in request.url else complaints.append(request.url))
        await page.goto(f"{address}/redoc")
        await page.get_by_role("heading", name="Schedule an email").wait_for()
        assert complaints == []
