"""The errors that callers can see, each with its status and code."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar


@dataclass(frozen=True, slots=True)
class Detail:
    """One thing to put right: the field as a path (`recipients[2]`) and a sentence."""

    field: str
    message: str


class ApiError(Exception):
    """What a caller is told: one sentence for a person, `code` for a program."""

    status: ClassVar[int] = 500
    code: str = "internal_error"

    def __init__(
        self, message: str, *, code: str | None = None, details: Sequence[Detail] = (), retry_after_s: int | None = None
    ) -> None:
        super().__init__(message)
        self.message = message
        self.code = code or type(self).code
        self.details = tuple(details)
        self.retry_after_s = retry_after_s


class InvalidInput(ApiError):
    """400: the request cannot be understood or breaks a rule; nothing was changed."""

    status = 400
    code = "invalid_input"


class Unauthorized(ApiError):
    """401: no credentials, or ones we do not know."""

    status = 401
    code = "unauthorized"


class Forbidden(ApiError):
    """403: known, but not allowed to do this."""

    status = 403
    code = "forbidden"


class NotFound(ApiError):
    """404: not there, or another workspace's."""

    status = 404
    code = "not_found"


class Conflict(ApiError):
    """409: what is there now does not allow it."""

    status = 409
    code = "conflict"


class TooLarge(ApiError):
    """413: the body is over the limit of its route."""

    status = 413
    code = "too_large"


class UnsupportedMediaType(ApiError):
    """415: not a content type that this route reads."""

    status = 415
    code = "unsupported_media_type"


class TooManyRequests(ApiError):
    """429: more than a limit allows; `Retry-After` says when there is room again."""

    status = 429
    code = "too_many_requests"


class Unavailable(ApiError):
    """503: not now; `Retry-After` says when."""

    status = 503
    code = "unavailable"
