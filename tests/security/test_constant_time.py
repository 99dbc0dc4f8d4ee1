"""Whether a secret is right is found out without telling how much of it is."""

import ast
import re
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

import asyncpg
import httpx
from fastapi import FastAPI

import janus_mail
from janus_mail.feedback.hooks import Hooks
from janus_mail.keys.key import create_key, prove_key
from janus_mail.storage.database import Database
from tests.security.asking import ask

_SECRET: Final = re.compile(r"(?i)(token|digest|secret|signature|password|passwd|hmac|\bmac\b|otp|recovery|api_?key)")
# What is about a secret: when, whose, which kind, how long. And pydantic's class.
_NOT_ONE: Final = re.compile(r"(_at|_ids?|_seconds|_names?|_kind|_url|_count|_fields?|_length|Str|[A-Z]{2,})$")
# (file, comparison) → why nothing can be learned from how long it takes.
NO_SECRETS: Final = {
    ("gate/sign_in.py", "password_digest not in (None, user['password_digest'])"): "both are out of the table",
    ("tokens/endpoints.py", "user['password_digest'] != proven.password_digest"): "both are out of the table",
    ("feedback/hooks.py", "(self.kind, self._token, self._sealed) == (kind, token.encode(), sealed)"): "both are",
    ("pages/typed_form.py", "name not in secret"): "a field's name",
    ("routing/audited.py", "name in secret"): "a field's name",
    ("settings.py", "urlsplit(value.get_secret_value()).scheme not in allowed"): "the operator's own",
}


def comparisons(tree: ast.AST) -> Iterator[ast.Compare]:
    """Those that end at the first difference, of something that is called like a secret."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Compare) and isinstance(node.ops[0], ast.Eq | ast.NotEq | ast.In | ast.NotIn):
            sides = [node.left, *node.comparators]
            if any(_is_fixed(side) for side in sides):
                continue  # with a word of ours: whether there is one, or which kind
            if any(_SECRET.search(name) and not _NOT_ONE.search(name) for side in sides for name in _names(side)):
                yield node


def _is_fixed(side: ast.expr) -> bool:
    if isinstance(side, ast.Tuple | ast.List | ast.Set):
        return all(_is_fixed(one) for one in side.elts)
    return isinstance(side, ast.Constant)


def _names(side: ast.expr) -> Iterator[str]:
    for node in ast.walk(side):
        if isinstance(node, ast.Name):
            yield node.id
        elif isinstance(node, ast.Attribute):
            yield node.attr
        elif isinstance(node, ast.Constant) and isinstance(node.value, str):
            yield node.value
        elif isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == "len":
            return


def test_no_secret_is_compared_with_a_comparison_that_ends_at_the_first_difference() -> None:
    root = Path(janus_mail.__file__).parent
    found = {
        (path.relative_to(root).as_posix(), ast.unparse(node))
        for path in root.rglob("*.py")
        for node in comparisons(ast.parse(path.read_text(encoding="utf-8")))
    }
    hint = "use hmac.compare_digest, or say in NO_SECRETS why it tells nothing"
    assert found - NO_SECRETS.keys() == set(), hint


def test_such_a_comparison_would_be_found() -> None:
    would = ["token == given", "row['digest'] != digest_of(key)", "given in self.tokens", "a.signature == b"]
    assert [len(list(comparisons(ast.parse(line)))) for line in would] == [1] * len(would)
    would_not = ["token == ''", "token_id == other", "kind in ('token',)", "len(token) == n", "token is None"]
    assert [len(list(comparisons(ast.parse(line)))) for line in would_not] == [0] * len(would_not)


class Statements:
    """Hears what a database is asked."""

    def __init__(self, database: Database) -> None:
        self.heard: list[str] = []
        pool: Any = database.pool  # asyncpg hears of connections one by one
        for holder in pool._holders:
            if holder._con is not None:
                holder._con.add_query_logger(self._hear)

    async def _hear(self, record: asyncpg.connection.LoggedQuery) -> None:
        self.heard.append(record.query)


async def test_a_key_of_nobody_asks_as_much_of_the_database_as_a_wrong_one(
    database: Database, workspace_id: uuid.UUID
) -> None:
    key = await create_key(database, workspace="default", name="ci")
    nobodys = f"janus_{'a' * 10}_{key[-43:]}"
    statements = Statements(database)
    asked = {}
    for name, shown in {"right": key, "wrong": f"{key[:-43]}{'a' * 43}", "nobody's": nobodys}.items():
        assert (await prove_key(database, shown) is not None) == (name == "right")
        asked[name], statements.heard[:] = list(statements.heard), []
    assert asked["right"] == asked["wrong"] == asked["nobody's"] != []


async def test_a_hook_of_nobody_is_answered_as_a_wrong_token_is(
    app: FastAPI, database: Database, sandboxes: dict[str, uuid.UUID]
) -> None:
    token = await database.pool.fetchval("SELECT hook_token FROM providers WHERE id = $1", sandboxes["ses"])
    assert await Hooks(database).find(sandboxes["ses"], token) is not None
    said = set()
    for provider_id, shown in ((sandboxes["ses"], token[:-1] + "x"), (uuid.uuid4(), token), ("none", token)):
        answer = await ask(app, "POST", f"/hooks/{provider_id}/{shown}")
        said.add((answer.status, re.sub(r'"request_id":"[^"]+"', "", answer.text)))
    assert len(said) == 1


async def test_all_that_is_no_key_is_answered_alike(api: httpx.AsyncClient, database: Database, api_key: str) -> None:
    revoked = await create_key(database, workspace="default", name="revoked")
    await database.pool.execute("UPDATE api_keys SET revoked_at = clock_timestamp() WHERE name = 'revoked'")
    wrong = {
        "another secret": api_key[:-1] + ("a" if api_key[-1] != "a" else "b"),
        "nobody's": f"janus_{'a' * 10}_{'a' * 43}", "revoked": revoked, "longer": api_key + "a",
        "shorter": api_key[:-1],
        "its prefix": api_key[:16], "another case": api_key.swapcase(), "no key": "x", "beyond ASCII": "jänus_a_b",
    }  # fmt: skip
    said = set()
    for shown in wrong.values():
        headers = {b"Authorization": f"Bearer {shown}".encode()}
        answer = await api.get("/api/events", headers=headers)
        body = answer.json() | {"request_id": ""}
        said.add((answer.status_code, str(body), answer.headers.get("WWW-Authenticate")))
    assert len(said) == 1, said
    assert {status for status, _, _ in said} == {401}
