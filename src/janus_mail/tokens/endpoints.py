"""Tokens for the programs of people: OAuth2's password form, and tokens that are exchanged and given back.

RFC 6749 says the words of the errors; their shape is the API's. `scope` is read and not heeded: a token may what its
person may in the workspace, and the answer names that in the words of API keys. Who wants less makes a key.
"""

import base64
import binascii
import uuid
from typing import Annotated, Any, Final, Literal

from fastapi import Depends, Form, Header, Request
from pydantic import BaseModel, ConfigDict, Field

from janus_mail.accounts.access import AnyCaller, address_of
from janus_mail.accounts.own_account import MeAnswer, read_me
from janus_mail.accounts.second_factor import prove_code
from janus_mail.audit.actors import Other
from janus_mail.audit.record import record
from janus_mail.errors import ApiError, InvalidInput, Unauthorized, UnsupportedMediaType
from janus_mail.gate import queries as queries_people
from janus_mail.gate.sign_in import note_refused_code, prove_password, who_may_sign_in
from janus_mail.models.states import ActorKind
from janus_mail.tokens.refresh_tokens import Issued, Origin, begin_family, exchange, revoke_token
from janus_mail.web.context import Context, ContextDep
from janus_mail.web.routes import api_router, before_body

router = api_router("/api", tags=["Account"])

_FORM: Final = "application/x-www-form-urlencoded"
_LONGEST: Final = 1_000  # characters of a field: no password and no token of ours is longer
_TOKEN_EXAMPLE: Final = "Zx0c…"  # noqa: S105  (no token)

WorkspaceId = Annotated[
    uuid.UUID | None,
    Field(
        title="The workspace that the access token opens",
        description="Left out: the first one joined; when refreshing, the one before.",
        examples=["0199f2b8-6d0c-7a3e-9f5b-2f6f1d1c9a01"],
    ),
]


class Tokens(BaseModel):
    """An access token and what brings the next one (RFC 6749 section 5.1)."""

    access_token: str = Field(title="For `Authorization: Bearer …`", examples=["eyJhbGciOi…"])
    token_type: Literal["bearer"] = Field("bearer", title="Always `bearer`", examples=["bearer"])
    expires_in: int = Field(title="Seconds that the access token lives", examples=[600])
    refresh_token: str = Field(title="Good for one exchange", examples=[_TOKEN_EXAMPLE])
    scope: str = Field(title="What it may, in the scopes of API keys", examples=["events:read providers:read"])
    workspace_id: uuid.UUID

    @classmethod
    def of(cls, issued: Issued) -> "Tokens":
        return cls(
            access_token=issued.access_token, expires_in=issued.expires_in_s, refresh_token=issued.refresh_token,
            scope=" ".join(issued.scopes), workspace_id=issued.workspace_id,
        )  # fmt: skip


class RefreshRequest(BaseModel):
    """A refresh token to exchange."""

    model_config = ConfigDict(extra="forbid", json_schema_extra={"examples": [{"refresh_token": _TOKEN_EXAMPLE}]})

    refresh_token: str = Field(description="The newest of its family.", max_length=_LONGEST, examples=[_TOKEN_EXAMPLE])
    workspace_id: WorkspaceId = None


class RevokeRequest(BaseModel):
    """A refresh token to end, with all that came with it."""

    model_config = ConfigDict(extra="forbid", json_schema_extra={"examples": [{"refresh_token": _TOKEN_EXAMPLE}]})

    refresh_token: str = Field(description="Any of its family.", max_length=_LONGEST, examples=[_TOKEN_EXAMPLE])


class Revoked(BaseModel):
    """The same for a token that was known and one that was not."""

    status: Literal["success"] = Field("success", title="Always `success`", examples=["success"])
    message: str = Field(title="What was done, in words", examples=["Signed out."])


class TokenForm(BaseModel):
    """RFC 6749 sections 4.3.2 and 6. What is missing is told in its words, so nothing is required here."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [{"grant_type": "password", "username": "ann@example.com", "password": "four words in a row"}]
        }
    )

    grant_type: str = Field("", description="`password` or `refresh_token`.", examples=["password"])
    username: str = Field("", description="The email address of the account.", examples=["ann@example.com"])
    password: str = Field("", description="Its password.", examples=["four words in a row"])
    totp: str = Field("", description="A code of the second factor, where one is in force.", examples=["123456"])
    refresh_token: str = Field("", description="With `grant_type=refresh_token`.", examples=[_TOKEN_EXAMPLE])
    workspace_id: str = Field(
        "", description="The workspace; left out: the first one joined.",
        examples=["0199f2b8-6d0c-7a3e-9f5b-2f6f1d1c9a01"],
    )  # fmt: skip
    scope: str = Field("", description="Not heeded: a token may what its person may.", examples=["events:read"])
    client_id: str = Field("", description="Not heeded.", examples=["my-program"])
    client_secret: str = Field(
        "", description="The code of the second factor too, for forms like that of `/docs` which have no other field.",
        examples=["123456"],
    )  # fmt: skip


async def _require_form(request: Request) -> None:
    kind = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if kind != _FORM:
        raise UnsupportedMediaType(f"Send a form, with the header `Content-Type: {_FORM}`.")


@before_body(_require_form)
async def _form_only() -> None:
    """The one kind of body that OAuth2 knows here."""


_OPEN: Final[dict[str, Any]] = {"security": []}  # what is sent is the credentials
_REFUSED: Final[dict[int | str, dict[str, Any]]] = {
    401: {"description": "Wrong, expired or used credentials; which of them is not told: `invalid_grant`."}
}


@router.post(
    "/auth/token", summary="Sign a program in", dependencies=[Depends(_form_only)], responses=_REFUSED,
    openapi_extra=_OPEN,
)  # fmt: skip
async def post_token(
    context: ContextDep,
    request: Request,
    form: Annotated[TokenForm, Form()],
    authorization: Annotated[str, Header(include_in_schema=False)] = "",
) -> Tokens:
    """For programs in which a person types their password; servers use API keys.

    The access token is a JWT for the header `Authorization: Bearer …`; it opens one workspace, in the role that the
    person has there at each request. The refresh token brings the next pair, once; the family of both ends some weeks
    after this sign-in, with a change of the password, or when the person signs the program out. Where a second factor
    is in force, its code goes into `totp` or, where a form has no such field, into `client_secret`.
    """
    origin = _origin(request)
    if any(len(value) > _LONGEST or "\0" in value for value in form.model_dump().values()):
        raise _invalid_request("A field is too long, or has a character that nobody types.")
    workspace_id = _workspace_id(form.workspace_id)
    if form.grant_type == "refresh_token":
        if not form.refresh_token:
            raise _invalid_request("`refresh_token` is missing.")
        return Tokens.of(await exchange(context, form.refresh_token, workspace_id, origin))
    if form.grant_type != "password":
        raise (
            InvalidInput("`grant_type` is `password` or `refresh_token`.", code="unsupported_grant_type")
            if form.grant_type
            else _invalid_request("`grant_type` is missing.")
        )
    if not form.username or not form.password:
        raise _invalid_request("`username` and `password` are needed.")
    code = form.totp or form.client_secret or _basic_secret(authorization)
    return Tokens.of(await _sign_in(context, form, code, workspace_id, origin))


@router.post("/auth/refresh", summary="Exchange a refresh token", responses=_REFUSED, openapi_extra=_OPEN)
async def post_refresh(context: ContextDep, request: Request, given: RefreshRequest) -> Tokens:
    """Each is good for one exchange. One that comes again is in two hands: its whole family ends, and its person is
    told by mail. So a program whose answer was lost signs in again."""
    return Tokens.of(await exchange(context, given.refresh_token, given.workspace_id, _origin(request)))


@router.post("/auth/revoke", summary="Sign a program out", openapi_extra=_OPEN)
async def post_revoke(context: ContextDep, request: Request, given: RevokeRequest) -> Revoked:
    """Ends the refresh token, its family and their access tokens. The answer is the same for an unknown token."""
    await revoke_token(context, given.refresh_token, _origin(request))
    return Revoked(message="Signed out.")


@router.get("/me", summary="Read who you are")
async def get_me(context: ContextDep, caller: AnyCaller) -> MeAnswer:
    """Of a person: name, address, and every workspace with their role there. Of an API key: its name and scopes."""
    return await read_me(context, caller)


async def _sign_in(
    context: Context, form: TokenForm, code: str, workspace_id: uuid.UUID | None, origin: Origin
) -> Issued:
    """Raises `Unauthorized` (`invalid_grant`), `TooManyRequests`."""
    try:
        proven = await prove_password(context, form.username, form.password, address=origin.address)
    except Unauthorized as error:
        raise Unauthorized(error.message, code="invalid_grant") from None
    if proven.needs_code and not await prove_code(context, proven.user_id, code):
        known = await who_may_sign_in(context, proven.user_id)
        if known is not None:
            await note_refused_code(context, known, address=origin.address)
        raise Unauthorized(
            "A code of the second factor is needed, as `totp`: this is none that was not used yet.",
            code="invalid_grant",
        )  # fmt: skip
    async with context.database.transaction() as connection:
        user = await connection.fetchrow(queries_people.USER_LOCKED, proven.user_id)
        if user is None or not user["may_sign_in"] or user["password_digest"] != proven.password_digest:
            raise Unauthorized("This email and password do not fit together.", code="invalid_grant")
        issued = await begin_family(context, connection, proven.user_id, workspace_id, origin)
        if issued is None:
            raise Unauthorized("This account is in no such workspace.", code="invalid_grant")
        await record(
            connection, Other(ActorKind.USER, user["email"], proven.user_id, origin.address), "tokens.begun", "user",
            proven.user_id, workspace_id=None, name=user["email"],
        )  # fmt: skip
    return issued


def _origin(request: Request) -> Origin:
    return Origin(address=address_of(request), user_agent=request.headers.get("user-agent", ""))


def _workspace_id(text: str) -> uuid.UUID | None:
    try:
        return uuid.UUID(text) if text else None
    except ValueError:
        raise _invalid_request("`workspace_id` is no id.") from None


def _basic_secret(header: str) -> str:
    """What the dialog of `/docs` sends as the secret of a client (RFC 7617); empty for anything else."""
    scheme, _, credentials = header.partition(" ")
    if scheme.lower() != "basic":
        return ""
    try:
        return base64.b64decode(credentials.strip(), validate=True).decode().partition(":")[2][:_LONGEST]
    except (binascii.Error, ValueError):
        return ""


def _invalid_request(sentence: str) -> ApiError:
    return InvalidInput(sentence, code="invalid_request")
