"""Access tokens: only ours, only in time, only of who may still come; anything else is answered 401."""

import base64
import hashlib
import time
import uuid
from collections.abc import Callable
from typing import Any

import httpx
import jwt
import orjson
import pytest
from cryptography.fernet import Fernet
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa
from fastapi import FastAPI

from janus_mail.tokens import access_tokens
from janus_mail.tokens.access_tokens import issue_access_token
from tests.accounts.programs import Program, mara, program, quick_passwords
from tests.conftest import TEST_KEY

__all__ = ["mara", "program", "quick_passwords"]

Claims = dict[str, Any]


class Forger:
    """Knows how our tokens look; `key` and `kid` are the right ones, which only we know."""

    def __init__(self, token: str) -> None:
        self.token = token
        self.header: Claims = jwt.get_unverified_header(token)
        self.claims: Claims = jwt.decode(token, options={"verify_signature": False})
        self.kid = self.header["kid"]
        self.key = access_tokens._signing_keys((TEST_KEY,))[self.kid]

    def signed(self, claims: Claims | None = None, *, header: Claims | None = None, key: bytes | None = None) -> str:
        """With the right key and our header but for what is given; what is null is left out."""
        said = {k: v for k, v in {**self.claims, **(claims or {})}.items() if v is not None}
        heads = {k: v for k, v in {**self.header, **(header or {})}.items() if v is not None}
        return jwt.encode(said, key or self.key, algorithm="HS256", headers=heads)

    def raw(self, header: bytes, payload: bytes | None = None, signature: str = "") -> str:
        """Any octets where the header is."""
        return f"{_b64(header)}.{_b64(payload or orjson.dumps(self.claims))}.{signature}"


def _b64(octets: bytes) -> str:
    return base64.urlsafe_b64encode(octets).decode().rstrip("=")


def _rsa(forger: Forger) -> str:
    private = rsa.generate_private_key(65537, 2048)
    pem = private.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    return jwt.encode(forger.claims, pem, algorithm="RS256", headers={"kid": forger.kid, "typ": "at+jwt"})


NOW = int(time.time())
FORGERIES: dict[str, Callable[[Forger], str]] = {
    "expired": lambda f: f.signed({"iat": NOW - 700, "exp": NOW - 100}),
    "expires now": lambda f: f.signed({"exp": int(time.time()) - access_tokens._SKEW_S}),
    "issued later": lambda f: f.signed({"iat": NOW + 3_600, "exp": NOW + 4_000}),
    "not before later": lambda f: f.signed({"nbf": NOW + 3_600}),
    "a signature with a bit changed": lambda f: f.token[:-3] + ("AAA" if f.token[-3:] != "AAA" else "BBB"),
    "no signature": lambda f: f.token.rpartition(".")[0] + ".",
    "claims of another under an old signature": lambda f: ".".join(
        [f.token.split(".")[0], _b64(orjson.dumps({**f.claims, "sub": str(uuid.uuid4())})), f.token.split(".")[2]]
    ),
    "alg none": lambda f: f.raw(orjson.dumps({"alg": "none", "typ": "at+jwt", "kid": f.kid})),
    "alg None": lambda f: f.raw(orjson.dumps({"alg": "None", "typ": "at+jwt", "kid": f.kid})),
    "alg missing": lambda f: f.raw(orjson.dumps({"typ": "at+jwt", "kid": f.kid})),
    "alg a number": lambda f: f.raw(orjson.dumps({"alg": 1, "typ": "at+jwt", "kid": f.kid})),
    "another key": lambda f: f.signed(key=bytes(32)),
    "the key that encrypts": lambda f: f.signed(key=base64.urlsafe_b64decode(TEST_KEY)),
    "its text as a key": lambda f: f.signed(key=TEST_KEY.encode()),
    "its kid as a key": lambda f: f.signed(key=f.kid.encode().ljust(32, b"\0")),
    "HS512 with our key": lambda f: jwt.encode(
        f.claims, f.key, algorithm="HS512", headers={"kid": f.kid, "typ": "at+jwt"}
    ),
    "RS256": _rsa,
    "RS256 header with our signature": lambda f: f.raw(
        orjson.dumps({"alg": "RS256", "typ": "at+jwt", "kid": f.kid}), None, f.token.split(".")[2]
    ),
    "no kid": lambda f: f.signed(header={"kid": None}),
    "another kid": lambda f: f.signed(header={"kid": "0123456789abcdef"}),
    "a path as kid": lambda f: f.signed(header={"kid": "../../../../dev/null"}, key=bytes(32)),
    "a statement as kid": lambda f: f.signed(header={"kid": "x' UNION SELECT 'a"}, key=b"a".ljust(32)),
    "a list as kid": lambda f: f.raw(orjson.dumps({"alg": "HS256", "typ": "at+jwt", "kid": [f.kid]})),
    "an object as kid": lambda f: f.raw(orjson.dumps({"alg": "HS256", "typ": "at+jwt", "kid": {"a": 1}})),
    "a key of their own in the header": lambda f: f.signed(
        header={"jwk": {"kty": "oct", "k": _b64(bytes(32))}, "kid": None}, key=bytes(32)
    ),
    "an address of keys in the header": lambda f: f.signed(
        header={"jku": "http://127.0.0.1:1/keys", "kid": "x"}, key=bytes(32)
    ),
    "an extension that must be understood": lambda f: f.signed(header={"crit": ["exp2"], "exp2": 1}),
    "typ JWT": lambda f: f.signed(header={"typ": "JWT"}),
    "no typ": lambda f: f.signed(header={"typ": None}),
    "another audience": lambda f: f.signed({"aud": "elsewhere"}),
    "another issuer": lambda f: f.signed({"iss": "elsewhere"}),
    **{
        f"without {claim}": lambda f, claim=claim: f.signed({claim: None})  # type: ignore[misc]
        for claim in access_tokens._REQUIRED
    },
    "a subject that is no id": lambda f: f.signed({"sub": "mara"}),
    "a subject that is a number": lambda f: f.signed({"sub": 1}),
    "a workspace that is a list": lambda f: f.signed({"workspace": [f.claims["workspace"]]}),
    "somebody else": lambda f: f.signed({"sub": str(uuid.uuid4())}),
    "another workspace": lambda f: f.signed({"workspace": str(uuid.uuid4())}),
    "another family": lambda f: f.signed({"family": str(uuid.uuid4())}),
    "an expiry in words": lambda f: f.signed({"exp": "tomorrow"}),
    "an endless expiry": lambda f: f.raw(orjson.dumps(f.header), b'{"exp": 1e999}', f.token.split(".")[2]),
    "a huge one": lambda f: f.signed({"padding": "x" * 100_000}),
    "many brackets": lambda f: f.raw(b"[" * 1_400, b"{}"),
    "many brackets as claims": lambda f: f.raw(orjson.dumps(f.header), b"[" * 1_200, f.token.split(".")[2]),
    "a header that is a list": lambda f: f.raw(b"[]"),
    "a header that is no JSON": lambda f: f.raw(b"\xff\xfe"),
    "a header that is a huge number": lambda f: f.raw(b"9" * 1_400, b"{}"),
    "nothing": lambda _: "..",
    "two parts and a half": lambda f: f.token.replace(".", "..", 1),
    "no base64": lambda _: "*.*.*",
    "blanks within": lambda f: f.token.replace(".", ". "),
}


@pytest.fixture
async def forger(program: Program) -> Forger:
    return Forger((await program.sign_in())["access_token"])


async def test_a_token_as_we_make_it_opens(program: Program, forger: Forger) -> None:
    assert (await program.me(forger.signed())).status_code == 200
    assert forger.header == {"alg": "HS256", "typ": "at+jwt", "kid": forger.kid}


async def test_a_token_of_a_server_whose_clock_is_a_little_ahead_opens(program: Program, forger: Forger) -> None:
    assert (await program.me(forger.signed({"iat": int(time.time()) + 5}))).status_code == 200


@pytest.mark.parametrize("forgery", FORGERIES)
async def test_anything_else_is_refused(program: Program, forger: Forger, forgery: str) -> None:
    answer = await program.me(FORGERIES[forgery](forger))
    assert (answer.status_code, answer.json()["code"]) in ((401, "invalid_token"), (401, "unauthorized")), answer.text
    assert answer.headers["www-authenticate"].startswith("Bearer")


async def test_a_key_is_no_token_and_a_token_no_key(program: Program, forger: Forger, api_key: str) -> None:
    prefix = api_key.split("_")[1]
    for token in (f"{api_key}.x.y", f"a.b.{api_key}", f"janus_{prefix}_{forger.token}", forger.token.replace(".", "")):
        assert (await program.me(token)).status_code == 401
    form = {"TOKEN": forger.token, "to_email": "a@example.com"}
    assert (await program.client.post("/send_email/", data=form)).status_code == 403
    assert (await program.client.post("/api/auth/refresh", json={"refresh_token": api_key})).status_code == 401


async def test_a_token_in_the_address_or_in_a_cookie_opens_nothing(program: Program, forger: Forger) -> None:
    assert (await program.client.get("/api/me", params={"access_token": forger.token})).status_code == 401
    cookies = {"Cookie": f"janus_session={forger.token}"}
    assert (await program.client.get("/api/me", headers=cookies)).status_code == 401
    page = await program.client.get("/account", headers={**cookies, "Accept": "text/html"})
    assert page.status_code == 303


def test_the_key_that_signs_is_made_from_the_secret_key_and_is_not_it() -> None:
    (key,) = access_tokens._signing_keys((TEST_KEY,)).values()
    assert key not in (base64.urlsafe_b64decode(TEST_KEY), TEST_KEY.encode())
    assert hashlib.sha256(key).hexdigest()[:16] not in access_tokens._signing_keys((TEST_KEY,))


def test_each_key_has_a_name_of_its_own_and_the_first_one_signs() -> None:
    new, old = Fernet.generate_key().decode(), TEST_KEY
    both = access_tokens._signing_keys((new, old))
    assert len(both) == 2
    ids = {name: uuid.uuid4() for name in ("user_id", "workspace_id", "family_id")}
    token = issue_access_token((new, old), lasts_s=600, **ids)
    assert jwt.get_unverified_header(token)["kid"] == next(iter(both))
    assert access_tokens._read(token, (new, old)) == tuple(ids.values())
    before = issue_access_token((old,), lasts_s=600, **ids)
    assert access_tokens._read(before, (new, old)) == tuple(ids.values())  # it lives as long as its key is named
    assert access_tokens._read(before, (new,)) is None
    assert access_tokens._read(token, (old,)) is None


async def test_a_token_says_nothing_of_its_person_but_ids(forger: Forger) -> None:
    assert set(forger.claims) == {*access_tokens._REQUIRED}
    assert all("@" not in str(value) for value in forger.claims.values())


async def test_two_tokens_of_one_moment_differ(program: Program) -> None:
    one, other = [(await program.sign_in())["access_token"] for _ in range(2)]
    assert one != other


async def test_a_refused_token_names_no_reason(app: FastAPI, forger: Forger) -> None:
    async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://testserver") as client:
        said = set()
        for token in (forger.signed({"exp": NOW - 100}), forger.signed(key=bytes(32)), forger.signed({"sub": "x"})):
            answer = await client.get("/api/events", headers={"Authorization": f"Bearer {token}"})
            said.add(answer.json()["error"])
    assert len(said) == 1
