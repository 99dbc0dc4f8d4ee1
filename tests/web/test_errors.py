"""What callers are told when something is wrong: one shape, the fitting status, nothing of our insides."""

import json
import re
import uuid
from collections.abc import AsyncIterator
from typing import Annotated, Any

import httpx
import pytest
from fastapi import FastAPI, Request
from jinja2 import TemplateNotFound
from pydantic import AfterValidator, BaseModel, ConfigDict, TypeAdapter, ValidationError
from pydantic_core import PydanticCustomError
from starlette.responses import HTMLResponse, Response

from janus_mail.app import create_app
from janus_mail.errors import ApiError, Conflict, Unauthorized, Unavailable
from janus_mail.settings import Settings
from janus_mail.web import errors
from janus_mail.web.context import ContextDep
from janus_mail.web.errors import ErrorBody
from janus_mail.web.routes import api_router
from janus_mail.web.validation import invalid_input


class Person(BaseModel):
    model_config = ConfigDict(extra="forbid")
    email: str
    age: int = 0


class Parcel(BaseModel):
    model_config = ConfigDict(extra="forbid")
    title: str
    to: str | list[str | Person] = ""
    labels: dict[str, int] = {}


class Fragile(Exception):
    """With something that nobody outside may read."""


router = api_router("/api/parcels", tags=["Parcels"])


@router.get("")
async def list_parcels(limit: int = 1) -> int:
    return limit


@router.post("")
async def send_parcel(parcel: Parcel) -> Parcel:
    return parcel


@router.post("/order")
async def put_in_order() -> None: ...


@router.get("/{parcel_id}")
async def read_parcel(parcel_id: uuid.UUID) -> str:
    return str(parcel_id)


@router.get("/break/{how}")
async def break_it(how: str) -> str:
    failures: dict[str, Exception] = {
        "bug": Fragile("the password is hunter2"),
        "conflict": Conflict("It was changed in the meantime."),
        "unauthorized": Unauthorized("Who are you?"),
        "token": Unauthorized("Not one of ours.", code="invalid_token"),
        "later": Unavailable("Not now.", retry_after_s=7),
        "lost": ConnectionResetError("gone"),
        "template": TemplateNotFound("page.html"),
    }
    raise failures[how]


@router.get("/words/search")
async def search(context: ContextDep, q: str) -> str:
    return str(await context.database.pool.fetchval("SELECT $1::text", q))


@router.get("/words/count")
async def count(context: ContextDep) -> str:
    return str(await context.database.pool.fetchval("SELECT 1", "one argument too many"))


@pytest.fixture(scope="module")
def built_apps(settings_here: Settings) -> dict[bool, FastAPI]:
    """An application of this module's own, with its routes."""
    app = create_app(settings_here)
    app.include_router(router)
    return {False: app}


@pytest.fixture
async def client(app: FastAPI) -> AsyncIterator[httpx.AsyncClient]:
    async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://testserver") as client:
        yield client


@pytest.mark.parametrize(
    ("method", "path", "body", "status", "code"),
    [
        ("GET", "/api/nothing-here", None, 404, "not_found"),
        ("GET", "/nothing-here", None, 404, "not_found"),
        ("DELETE", "/api/parcels", None, 405, "method_not_allowed"),
        ("GET", "/api/parcels?limit=many", None, 400, "invalid_input"),
        ("GET", "/api/parcels/not-a-uuid", None, 404, "not_found"),
        ("GET", "/api/parcels/break/%00", None, 400, "invalid_input"),
        ("GET", "/api/parcels/words/search?q=%00", None, 400, "invalid_input"),
        ("POST", "/api/parcels", {}, 400, "missing_fields"),
        ("POST", "/api/parcels", {"title": "x", "colour": "red"}, 400, "invalid_input"),
        ("POST", "/api/parcels", {"title": "x" * 70_000}, 413, "too_large"),
        ("GET", "/api/parcels/break/conflict", None, 409, "conflict"),
        ("GET", "/api/parcels/break/unauthorized", None, 401, "unauthorized"),
        ("GET", "/api/parcels/break/bug", None, 500, "internal_error"),
        ("GET", "/api/parcels/break/lost", None, 503, "unavailable"),
    ],
)
async def test_every_error_has_the_one_shape(
    client: httpx.AsyncClient, method: str, path: str, body: Any, status: int, code: str
) -> None:
    answer = await client.request(method, path, json=body)
    told = answer.json()
    assert (answer.status_code, told["code"]) == (status, code)
    assert set(told) == {"error", "code", "details", "request_id"}
    assert told["request_id"] == answer.headers["x-request-id"]
    assert re.fullmatch(r"[A-Z].*[.!?]|[a-z_\[\]0-9]+: .*\.", told["error"])


async def test_what_nobody_foresaw_shows_nothing_of_our_insides_and_is_logged_with_its_request_id(
    client: httpx.AsyncClient, caplog: pytest.LogCaptureFixture
) -> None:
    answer = await client.get("/api/parcels/break/bug", headers={"X-Request-ID": "trace-me"})
    assert "hunter2" not in answer.text
    assert "Fragile" not in answer.text
    assert answer.headers["x-request-id"] == "trace-me"
    record = next(record for record in caplog.records if record.exc_info)
    assert record.exc_info is not None
    assert record.exc_info[0] is Fragile


async def test_a_lost_database_says_when_to_try_again(client: httpx.AsyncClient) -> None:
    assert (await client.get("/api/parcels/break/lost")).headers["retry-after"] == "2"
    assert (await client.get("/api/parcels/break/later")).headers["retry-after"] == "7"


async def test_a_mistake_of_ours_is_not_called_a_lost_database(client: httpx.AsyncClient) -> None:
    assert (await client.get("/api/parcels/words/count")).status_code == 500
    assert (await client.get("/api/parcels/break/template")).status_code == 500


async def test_a_401_names_its_scheme_and_says_if_the_credentials_were_wrong(client: httpx.AsyncClient) -> None:
    none, wrong = [await client.get(f"/api/parcels/break/{how}") for how in ("unauthorized", "token")]
    assert none.headers["www-authenticate"] == "Bearer"
    assert wrong.headers["www-authenticate"] == 'Bearer error="invalid_token"'


async def test_a_405_allows_what_all_routes_of_the_path_do(client: httpx.AsyncClient) -> None:
    assert (await client.put("/api/parcels")).headers["allow"] == "GET, POST"
    # A fixed name is not taken for an id of the route beside it.
    found = await client.get("/api/parcels/order")
    assert (found.status_code, found.headers["allow"]) == (405, "POST")


@pytest.mark.parametrize("kind", ["text/plain", "application/x-www-form-urlencoded", "multipart/form-data", ""])
async def test_another_content_type_than_json_is_415(client: httpx.AsyncClient, kind: str) -> None:
    answer = await client.post("/api/parcels", content=b'{"title": "x"}', headers={"Content-Type": kind})
    assert (answer.status_code, answer.json()["code"]) == (415, "unsupported_media_type")


@pytest.mark.parametrize("kind", ["application/json", "Application/JSON; charset=utf-8", "application/vnd.api+json"])
async def test_json_by_any_of_its_names_is_read(client: httpx.AsyncClient, kind: str) -> None:
    answer = await client.post("/api/parcels", content=b'{"title": "x"}', headers={"Content-Type": kind})
    assert answer.status_code == 200


async def test_no_body_at_all_is_missing_fields(client: httpx.AsyncClient) -> None:
    answer = await client.post("/api/parcels")
    assert (answer.status_code, answer.json()["error"]) == (400, "Missing required fields.")


@pytest.mark.parametrize(
    "body",
    [
        b"{",
        b'{"title": "x",}',
        b'{"title": NaN}',
        b'{"title": "\xff"}',  # not UTF-8
        b'{"title": "\\ud800"}',  # half a character
        b'{"title": "a\\u0000b"}',  # PostgreSQL cannot store it
        b'{"title": "x", "labels": {"\\u0000": 1}}',
        b'{"title": "x", "to": ["\\u0000"]}',
        '{"title": "x"}'.encode("utf-16"),
        b"[" * 100_0,
    ],
)
async def test_what_is_not_json_is_400(client: httpx.AsyncClient, body: bytes) -> None:
    answer = await client.post("/api/parcels", content=body, headers={"Content-Type": "application/json"})
    assert (answer.status_code, answer.json()["code"]) == (400, "invalid_json")


async def test_an_escaped_backslash_before_u0000_is_text(client: httpx.AsyncClient) -> None:
    answer = await client.post("/api/parcels", json={"title": "a\\u0000b"})
    assert answer.json()["title"] == "a\\u0000b"


def told_about(value: Any, kind: type[BaseModel] = Parcel) -> ApiError:
    with pytest.raises(ValidationError) as caught:
        kind.model_validate(value)
    return invalid_input([{**error, "loc": ("body", *error["loc"])} for error in caught.value.errors()], value)


def test_fields_are_named_as_the_caller_wrote_them_whatever_unions_the_schema_has() -> None:
    told = told_about({"title": "x", "to": ["a", {"email": "b", "age": "old"}, 7], "labels": {"n": "many"}})
    fields = {detail.field for detail in told.details}
    assert {"to[1].age", "to[2]", "labels.n"} <= fields
    assert not any("str" in field or "Person" in field for field in fields)


def test_missing_fields_are_said_in_the_predecessors_words_before_anything_else() -> None:
    told = told_about({"colour": "red", "to": [{"age": 1}]})
    assert (told.message, told.code) == ("Missing required fields.", "missing_fields")
    assert ("title", "This field is required.") in {(detail.field, detail.message) for detail in told.details}
    assert ("colour", "There is no such field.") in {(detail.field, detail.message) for detail in told.details}


def test_a_single_wrong_field_is_named_in_the_sentence() -> None:
    told = told_about({"title": "x", "labels": {"n": "many"}})
    assert told.message.startswith("labels.n: ")


def test_a_validator_decides_code_and_sentence() -> None:
    def refuse(value: str) -> str:
        raise PydanticCustomError("invalid_datetime", "Invalid datetime format. Use ISO 8601 format.")

    class Timed(BaseModel):
        at: Annotated[str, AfterValidator(refuse)]

    told = told_about({"at": "2024-13-45"}, Timed)
    assert (told.message, told.code) == ("Invalid datetime format. Use ISO 8601 format.", "invalid_datetime")


def test_ten_thousand_mistakes_make_an_answer_of_bearable_size() -> None:
    value = ["x"] * 10_000
    with pytest.raises(ValidationError) as caught:
        TypeAdapter(list[int]).validate_python(value)
    told = invalid_input(caught.value.errors(), value)
    assert len(told.details) == 100


async def test_browsers_get_a_page_but_never_under_api(app: FastAPI, client: httpx.AsyncClient) -> None:
    def page(request: Request, status: int, body: ErrorBody) -> Response:
        return HTMLResponse(f"<h1>{body.code}</h1>", status)

    errors.install(app, page)
    browser = {"Accept": "text/html,application/xhtml+xml,*/*;q=0.8"}
    seen = await client.get("/nothing-here", headers=browser)
    assert (seen.status_code, seen.text) == (404, "<h1>not_found</h1>")
    for path, headers in [("/nothing-here", {"Accept": "*/*"}), ("/api/nothing-here", browser), ("/api", browser)]:
        assert json.loads((await client.get(path, headers=headers)).text)["code"] == "not_found"
