"""Cursor lists."""

import uuid

import pytest
from hypothesis import given
from hypothesis import strategies as st

from janus_mail.errors import InvalidInput
from janus_mail.web.pages_of import PageRequest, decode_cursor, encode_cursor


@given(st.uuids())
def test_a_cursor_comes_back_and_needs_no_escaping_in_a_url(id_: uuid.UUID) -> None:
    cursor = encode_cursor(id_)
    assert decode_cursor(cursor) == id_
    assert cursor.replace("-", "").replace("_", "").isalnum()


@pytest.mark.parametrize(
    "text", ["", "x", "AZJx8mX9cQ-Jd3mJmYbC2w==", "AZJx8mX9cQ-Jd3mJmYbC2x", "ä" * 22, "A" * 23, " "]
)
def test_what_is_no_cursor_is_refused(text: str) -> None:
    with pytest.raises(InvalidInput) as caught:
        decode_cursor(text)
    assert caught.value.code == "invalid_cursor"


def test_one_row_more_than_the_limit_tells_that_more_follow() -> None:
    rows = [uuid.UUID(int=number) for number in (5, 4, 3)]
    page = PageRequest(limit=2)
    assert page.fetch == 3
    assert page.cut(rows, lambda row: row) == (rows[:2], True, encode_cursor(rows[1]))
    assert page.cut(rows[:2], lambda row: row) == (rows[:2], False, None)
    assert page.cut([], lambda row: row) == ([], False, None)
