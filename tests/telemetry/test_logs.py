"""What the log shows, and what it never shows."""

import asyncio
import io
import json
import logging
import sys
import uuid
from collections.abc import Callable, Iterator
from typing import Any

import httpx
import pytest
import structlog

from janus_mail.telemetry.logs import bind, bound, configure

Lines = Callable[[], list[dict[str, Any]]]


@pytest.fixture
def lines() -> Iterator[Lines]:
    stream = io.StringIO()
    configure("json", "INFO", stream)
    yield lambda: [json.loads(line) for line in stream.getvalue().splitlines()]
    structlog.contextvars.clear_contextvars()
    configure("console", "WARNING", sys.stderr)


async def test_a_request_is_one_line_with_its_route_and_workspace_and_never_its_address(
    api: httpx.AsyncClient, workspace_id: uuid.UUID, lines: Lines
) -> None:
    provider_id = uuid.uuid4()
    await api.get(
        f"/api/providers/{provider_id}?TOKEN=janus_secret&who=ann@example.com", headers={"X-Request-ID": "r1"}
    )
    [line] = lines()
    assert line.pop("ms") >= 0
    assert line.pop("timestamp").endswith("Z")
    assert line == {
        "event": "request",
        "level": "info",
        "logger": "janus_mail.request",
        "method": "GET",
        "route": "/api/providers/{provider_id}",
        "status": 404,
        "request_id": "r1",
        "workspace_id": str(workspace_id),
    }


async def test_an_address_that_is_none_of_ours_is_not_logged(api: httpx.AsyncClient, lines: Lines) -> None:
    await api.get("/users/ann@example.com")
    assert lines()[0]["route"] == "none"
    assert "ann" not in json.dumps(lines())


async def test_a_mounted_file_and_a_plain_route_are_named(api: httpx.AsyncClient, lines: Lines) -> None:
    await api.get("/docs/static/favicon.svg")
    await api.get("/openapi.json")
    assert [line["route"] for line in lines()] == ["/docs/static/*", "openapi"]


async def test_health_checks_are_quiet(api: httpx.AsyncClient, lines: Lines) -> None:
    await api.get("/healthz")
    assert lines() == []


async def test_a_request_leaves_its_ids_to_no_other(api: httpx.AsyncClient, lines: Lines) -> None:
    await api.get("/api/providers")
    await api.get("/nothing")
    assert "workspace_id" in lines()[0]
    assert "workspace_id" not in lines()[1]


def test_the_standard_librarys_loggers_write_the_same_lines_with_the_ids(lines: Lines) -> None:
    bind(request_id="r2")
    with bound(event_id=uuid.UUID(int=1), message_id=uuid.UUID(int=2)):
        logging.getLogger("janus_mail.delivery").info("sent by %s", "ses")
    logging.getLogger("janus_mail.delivery").info("done")
    within, after = lines()
    assert (within["event"], within["logger"], within["level"]) == ("sent by ses", "janus_mail.delivery", "info")
    assert within["message_id"] == str(uuid.UUID(int=2))
    assert within["request_id"] == after["request_id"] == "r2"
    assert "event_id" not in after


async def test_each_task_has_its_own_ids(lines: Lines) -> None:
    async def work(name: str) -> None:
        bind(message_id=name)
        await asyncio.sleep(0)
        logging.getLogger("janus_mail.work").info(name)

    await asyncio.gather(work("a"), work("b"))
    assert all(line["message_id"] == line["event"] for line in lines())


def test_a_traceback_shows_where_and_never_whose(lines: Lines) -> None:
    secret_local = "hunter2"  # noqa: F841
    try:
        raise ValueError(
            "could not read Ann <ann@example.com>\n"
            "DETAIL:  Key (subject)=(Your bill) exists.\n"
            "[parameters: ('Your bill')]"
        )
    except ValueError:
        logging.getLogger("janus_mail.events").exception("unexpected error")
    [line] = lines()
    assert "ValueError" in line["exception"]
    assert __file__ in line["exception"]
    assert not any(word in line["exception"] for word in ("ann@", "Your bill)", "('Your bill"))


def test_the_console_shows_no_local_values_either() -> None:
    stream = io.StringIO()
    configure("console", "INFO", stream)
    try:
        password = "hunter" + "2"
        raise ValueError(f"no{len(password)}")
    except ValueError:
        logging.getLogger("janus_mail.events").exception("unexpected error")
    assert "ValueError: no7" in stream.getvalue()
    assert "hunter2" not in stream.getvalue()
    configure("console", "WARNING", sys.stderr)


def test_below_the_level_nothing_is_written(lines: Lines) -> None:
    structlog.stdlib.get_logger("janus_mail.x").debug("details", recipient="ann@example.com")
    logging.getLogger("janus_mail.x").debug("details")
    assert lines() == []


def test_uvicorns_own_access_lines_which_show_the_query_are_off(lines: Lines) -> None:
    logging.getLogger("uvicorn.access").info('"GET /view_sent_emails/?TOKEN=x HTTP/1.1" 200')
    logging.getLogger("uvicorn.error").info("Application startup complete.")
    assert [line["event"] for line in lines()] == ["Application startup complete."]
