"""A browser without JavaScript at the gate: it follows no redirect by itself."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from urllib.parse import urlsplit

import httpx
from fastapi import FastAPI

from janus_mail.pages.cookies import SESSION
from tests.pages.reading import Page, faults_of
from tests.people import HTML


class Browser:
    """Keeps cookies."""

    def __init__(self, client: httpx.AsyncClient) -> None:
        self.client = client

    async def get(self, path: str, **headers: str) -> httpx.Response:
        return await self.client.get(path, headers=headers)

    async def page(self, path: str, *, status: int = 200) -> Page:
        """One that nothing stands in anybody's way on."""
        answer = await self.get(path)
        assert answer.status_code == status, answer.text[-2000:]
        page = Page(answer.text)
        assert faults_of(page) == []
        return page

    async def send(self, path: str, **fields: str) -> httpx.Response:
        """The form of this page, with some of its fields filled in."""
        form = (await self.page(path)).root.one("main").one("form")
        action = form.attributes.get("action", urlsplit(path).path)
        return await self.client.post(action, data={**form.values(), **fields})

    async def is_in(self) -> bool:
        return (await self.get("/")).status_code == 200

    @property
    def session(self) -> str | None:
        return self.client.cookies.get(SESSION)


@asynccontextmanager
async def browser(
    app: FastAPI, *, address: str = "192.0.2.7", base_url: str = "http://testserver"
) -> AsyncIterator[Browser]:
    """Somebody elsewhere."""
    transport = httpx.ASGITransport(app, client=(address, 4711))
    async with httpx.AsyncClient(transport=transport, base_url=base_url, headers=HTML) as client:
        yield Browser(client)


def set_cookies(answer: httpx.Response) -> dict[str, str]:
    """Each cookie that an answer sets, by its name, as it stands there."""
    return {line.partition("=")[0]: line for line in answer.headers.get_list("set-cookie")}
