"""A file as an answer: saved under its name, and harmless where a browser shows it all the same."""

from typing import Any, Final

from starlette.responses import Response

from janus_mail.content.files import disposition

# For a route's `responses=`.
DOWNLOAD: Final[dict[str, Any]] = {
    "description": "The file's bytes.",
    "content": {"application/octet-stream": {"schema": {"type": "string", "format": "binary"}}},
    "headers": {
        "Content-Disposition": {
            "description": "The file's name (RFC 6266).",
            "schema": {"type": "string"},
            "example": 'attachment; filename="hello.txt"',
        }
    },
}


def download(filename: str, content_type: str, content: bytes) -> Response:
    """No browser guesses another type, and what it would run has neither scripts nor our origin."""
    return Response(
        content,
        # Not `media_type`, which would add a charset that nobody knows.
        headers={
            "Content-Type": content_type,
            "Content-Disposition": disposition("attachment", filename),
            "Content-Security-Policy": "sandbox; default-src 'none'; frame-ancestors 'none'",
            "X-Content-Type-Options": "nosniff",
            "Cache-Control": "private, no-cache",
        },
    )
