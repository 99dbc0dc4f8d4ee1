"""Every answer makes browsers careful: pages, files, the API, what services post, refusals and mishaps."""

import re
from typing import Final

import pytest
from fastapi import FastAPI

from janus_mail.app import create_app
from janus_mail.settings import Settings
from tests.pages.conftest import Visitor
from tests.pages.gallery import Gallery
from tests.security.asking import Answer, Headers, ask
from tests.security.stored import caught, places, send_in
from tests.security.surfaces import folders, surfaces

BROWSER: Final[Headers] = ((b"accept", b"text/html"),)
_FOREIGN: Final = "sandbox; default-src 'none'; style-src 'unsafe-inline'; img-src data:; frame-ancestors 'self'"


def check(answer: Answer, where: str) -> None:
    """`Answer.header` fails on what is there twice."""
    policy = answer.header("content-security-policy")
    assert "default-src 'none'" in policy, where
    assert "unsafe-eval" not in policy, where
    assert "unsafe-inline" not in policy or policy == _FOREIGN, where
    assert re.search("https?:", policy) is None, where
    assert answer.header("x-content-type-options") == "nosniff", where
    # Where a secret stands in the address, nobody is told the address at all.
    assert answer.header("referrer-policy") in ("same-origin", "no-referrer"), where
    assert answer.header("cross-origin-opener-policy") == "same-origin", where
    assert answer.header("cross-origin-resource-policy") == "same-origin", where
    framed = "frame-ancestors 'self'" in policy
    assert framed or "frame-ancestors 'none'" in policy, where
    assert answer.header("x-frame-options") == ("SAMEORIGIN" if framed else "DENY"), where
    features = answer.header("permissions-policy").split(", ")
    assert {"camera=()", "geolocation=()", "microphone=()", "payment=()", "usb=()"} <= set(features), where
    assert all(feature.endswith(("=()", "=(self)")) for feature in features), where
    assert answer.header("x-request-id"), where


async def test_every_answer_has_them(
    visitor: Visitor, gallery_of_few: Gallery, anonymous_app: FastAPI, api_key: str
) -> None:
    await send_in(visitor.client, "Hello")
    await caught(gallery_of_few, "Hello")
    ids = await places(gallery_of_few.database.pool)
    framed = 0
    for surface in surfaces(anonymous_app):
        for headers in ((), (*BROWSER, (b"authorization", b"Bearer " + api_key.encode()))):
            answer = await ask(anonymous_app, surface.method, surface.at(ids), headers=headers)
            assert answer.status < 500, surface
            check(answer, f"{surface}, {answer.status}")
            framed += answer.header("x-frame-options") == "SAMEORIGIN"
    assert framed > 0


@pytest.mark.parametrize("accept", [(), BROWSER], ids=["program", "browser"])
async def test_refusals_and_mishaps_have_them(anonymous_app: FastAPI, accept: Headers) -> None:
    asked = {
        "nothing there": ("GET", "/nothing", 404), "nothing of the API there": ("GET", "/api/nothing", 404),
        "another method": ("PUT", "/healthz", 405), "a method nobody knows": ("BREW", "/", 405),
        "no credentials": ("POST", "/hooks/x/y", 401), "no API": ("OPTIONS", "/api/events", 405),
    }  # fmt: skip
    for where, (method, path, status) in asked.items():
        answer = await ask(anonymous_app, method, path, headers=accept)
        assert answer.status == status, where
        check(answer, where)
    large = await ask(anonymous_app, "POST", "/theme", headers=accept, body=b"x" * 70_000)
    assert large.status == 413
    check(large, "too large")
    for folder in folders(anonymous_app):
        check(await ask(anonymous_app, "GET", f"{folder}/nothing", headers=accept), folder)


async def test_an_unexpected_error_has_them(settings: Settings) -> None:
    app = create_app(settings)

    @app.get("/breaks")
    async def breaks() -> None:
        raise RuntimeError("nobody foresaw it")

    answer = await ask(app, "GET", "/breaks")
    assert answer.status == 500
    check(answer, "a mishap")


async def test_files_have_them(anonymous_app: FastAPI, visitor: Visitor, empty_gallery: Gallery) -> None:
    for page in ("/", "/docs", "/redoc"):
        read = await visitor.get(page)
        for element in (*read.root.all("script"), *read.root.all("link")):
            path = "/" + (element.attributes.get("src") or element["href"]).lstrip("/")
            answer = await ask(anonymous_app, "GET", path)
            assert answer.status == 200, path
            check(answer, path)


@pytest.mark.parametrize(("env", "said"), [("production", "max-age=31536000"), ("development", "")])
async def test_only_in_production_browsers_are_told_to_stay_on_https(settings: Settings, env: str, said: str) -> None:
    app = create_app(settings.model_copy(update={"env": env}))
    for path in ("/healthz", "/nothing"):
        assert (await ask(app, "GET", path)).header("strict-transport-security") == said
