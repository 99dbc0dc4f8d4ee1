"""JSON columns give back what was put in, also what orjson does not take."""

import pytest

from janus_mail.storage.database import Database


@pytest.mark.parametrize("type_name", ["json", "jsonb"])
@pytest.mark.parametrize(
    ("given", "kept"),
    [
        ({"name": "Ünal", "tags": ["a", None, True], "n": 1.5}, None),
        ([], None),
        (None, None),
        ("text", None),
        ({"n": 2**70}, {"n": float(2**70)}),  # beyond 64 bits: the number, as JSON readers take it
        ({1: "a"}, {"1": "a"}),
        ({"n": float("nan")}, {"n": None}),
    ],
    ids=["object", "empty", "null", "text", "large", "key", "nan"],
)
async def test_a_value_is_kept(database: Database, type_name: str, given: object, kept: object) -> None:
    found = await database.pool.fetchval(f"SELECT $1::{type_name}", given)
    assert found == (given if kept is None else kept)
