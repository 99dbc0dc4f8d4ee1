"""What the tests of the readers share: a moment, posts, and a verdict without an event loop."""

import json
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

from hypothesis import strategies as st

from janus_mail.feedback.reader import Forged, Happened, NotNow, Post, Reader, Unreadable

NOW = datetime(2026, 3, 1, 12, 0, 0, tzinfo=UTC)
URL = "https://mail.example.com/hooks/0197a1b2-0000-7000-8000-000000000001/t0ken"
MESSAGE_UUID = "0197a1b2-c3d4-7e5f-8a9b-0c1d2e3f4a5b"

Body = bytes | str | dict[str, Any] | list[Any]


def post_of(body: Body, headers: Mapping[str, str] | None = None, *, at: datetime = NOW, url: str = URL) -> Post:
    written = body if isinstance(body, bytes) else (body if isinstance(body, str) else json.dumps(body)).encode()
    return Post(headers or {}, written, url, at)


def read(reader: Reader, body: Body, headers: Mapping[str, str] | None = None) -> list[Happened]:
    return reader.read(post_of(body, headers))


def verdict(reader: Reader, config: object, post: Post) -> str | None:
    """The code with which the post is refused, None where it is taken."""
    try:
        reader.verify(config, post).send(None)  # no check here waits for anything
    except StopIteration:
        return None
    except Forged as error:
        return error.code
    raise AssertionError("it waits for something")


def try_to_break(reader: Reader, config: object, body: bytes, headers: Mapping[str, str]) -> None:
    """Whatever comes, only the errors of the contract may: anything else fails the test."""
    post = post_of(body, headers)
    try:
        reader.verify(config, post).send(None)
    except (StopIteration, Forged, NotNow):
        pass
    try:
        for happened in reader.read(post):
            assert happened.key
            assert len(happened.key) <= 200
        reader.confirmations(post)
    except Unreadable:
        pass


JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**63), 2**63) | st.floats(allow_nan=False) | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=8), inner, max_size=4),
    max_leaves=12,
)


def shaken(event: dict[str, Any]) -> st.SearchStrategy[dict[str, Any]]:
    """The event with some of its values, at any depth, exchanged for others or left out."""
    values = st.fixed_dictionaries({}, optional={name: _shaken_value(value) for name, value in event.items()})
    return values | st.just(event)


def _shaken_value(value: Any) -> st.SearchStrategy[Any]:
    if isinstance(value, dict):
        return shaken(value) | JSON
    if isinstance(value, list) and value:
        return st.lists(st.one_of([_shaken_value(item) for item in value]), max_size=3) | JSON
    return st.just(value) | JSON


def smtp(code: int, status: str) -> dict[str, Any]:
    return {"smtp_code": code, "status": status}
