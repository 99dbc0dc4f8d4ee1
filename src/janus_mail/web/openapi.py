"""The OpenAPI document: what is true of all routes, and no answer that Janus never gives."""

from typing import Any, Final

from fastapi import FastAPI
from fastapi.routing import APIRoute

from janus_mail import __version__

TITLE: Final = "Janus"
SUMMARY: Final = "Give it an email and a time; it leaves at that time, once, through whichever email service works."
DESCRIPTION: Final = """
Schedule a mail with one request:

    curl -X POST {address}/api/events -H "Content-Type: application/json" \\
      -H "Authorization: Bearer $JANUS_KEY" \\
      -d '{"email_subject": "Hello World", "email_content": "This is a test email.",
           "expected_sent_at": "2024-07-15T10:00:00", "recipients": "test@example.com"}'

## Who you are
Send an API key as `Authorization: Bearer janus_…`. `janus keys create --workspace default --name ci` makes one and
shows it this once. A key has scopes: `events:read`, `events:write`, `providers:read`, `providers:write`, and `admin`,
which implies them all. Under `make run` programs on the same machine need no key.

Programs in which a person signs in get a short-lived access token and a refresh token from `POST /api/auth/token`; the
Authorize button of this page does the same.

## Doing it once
Every POST that creates takes an `Idempotency-Key` (1 to 256 characters). The same key with the same body is answered
for 24 hours with the first answer and `Idempotent-Replayed: true`, so that a request whose answer was lost can be sent
again without harm. Another body under the same key is refused (409 `idempotency_key_reused`), and so is a second
request while the first is still running (409 `idempotency_key_in_use`).

## What all answers share
JSON in UTF-8; instants as RFC 3339 in UTC. Fields that we do not know are refused. Every answer carries `X-Request-ID`;
one that you send in is kept. Every error has the same shape: `error` is a sentence for a person, `code` is for a
program and does not change, `details` name the fields to put right.

Lists come newest first, `limit` at a time. `next_cursor` of one page is the `cursor` of the next, and stays right while
items are added.
""".strip()
TAGS: Final[list[dict[str, Any]]] = [
    {"name": "Events", "description": "What you schedule: content, recipients, one time."},
    {"name": "Messages", "description": "One email of an event, and each try to send it."},
    {"name": "Providers", "description": "Your accounts at email services, in the order in which they are tried."},
    {"name": "Suppressions", "description": "Addresses that get no mail: bounced, complained, unsubscribed."},
    {"name": "Workspace", "description": "Yours: how much waits, and the stop button."},
    {"name": "Audit log", "description": "Who did what, and forgetting somebody."},
    {"name": "Members", "description": "Who is in the workspace, and who is invited."},
    {"name": "API keys", "description": "For programs: made, rotated, revoked."},
    {"name": "Account", "description": "Who you are, and tokens for the programs of people."},
    {"name": "Form API", "description": "The older form API, kept for scripts written against it."},
    {"name": "Health", "description": "For what watches Janus."},
]

# Besides the API key that `accounts/access.py` reads: either will do. What a token may is its person's role, no scope.
_KEY: Final = "ApiKey"
_SIGN_IN: Final = "OAuth2PasswordBearer"
_SIGN_IN_SCHEME: Final[dict[str, Any]] = {
    "type": "oauth2",
    "description": "Email and password of an account. A code of the second factor goes into `client_secret`.",
    "flows": {"password": {"tokenUrl": "/api/auth/token", "refreshUrl": "/api/auth/token", "scopes": {}}},
}


class DocumentedApp(FastAPI):
    """FastAPI, whose document has nothing of the 422 that `web/errors.py` answers as 400."""

    def __init__(self, *, public_url: str | None, port: int, **options: Any) -> None:
        address = f"http://localhost:{port}" if public_url is None else public_url.rstrip("/")
        # First the address the document came from: «Try it out» works wherever it is shown.
        servers = [{"url": "/", "description": "This server"}]
        if public_url is not None:
            servers.append({"url": address, "description": "Its public address"})
        super().__init__(
            title=TITLE,
            summary=SUMMARY,
            description=DESCRIPTION.replace("{address}", address),
            version=__version__,
            license_info={"name": "MIT", "identifier": "MIT"},
            openapi_tags=TAGS,
            servers=servers,
            docs_url=None,
            redoc_url=None,
            generate_unique_id_function=_operation_id,
            **options,
        )

    def openapi(self) -> dict[str, Any]:
        if self.openapi_schema is not None:
            return self.openapi_schema
        document = super().openapi()
        for operations in document["paths"].values():
            for operation in operations.values():
                operation["responses"].pop("422", None)
                if any(_KEY in way for way in operation.get("security", [])):
                    operation["security"].append({_SIGN_IN: []})
        for name in ("HTTPValidationError", "ValidationError"):
            document.get("components", {}).get("schemas", {}).pop(name, None)
        document.get("components", {}).get("securitySchemes", {})[_SIGN_IN] = _SIGN_IN_SCHEME
        return document


def _operation_id(route: APIRoute) -> str:
    """What generated clients call the operation: the function's name."""
    return route.name
