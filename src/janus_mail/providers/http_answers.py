"""Pieces of answers that several services give alike."""

from collections.abc import Sequence

from janus_mail.providers.contract import Verified
from janus_mail.providers.http_replies import Answer, Problem, Row, classify
from janus_mail.providers.http_service import json_of
from janus_mail.providers.outcomes import MessageRejected, RecipientRejected


def said_in(answer: Answer, name: str) -> str:
    """The text that its JSON object has under this name, a mail's new id for example; empty where there is none."""
    reply = json_of(answer)
    said = reply.get(name) if isinstance(reply, dict) else None
    return said if isinstance(said, str) else ""


def known_by(name: str, answer: Answer, problems: Sequence[Problem], rows: Sequence[Row]) -> Verified | None:
    """That a check ended well: 2xx with an object that has this name; a captive portal answers with a page.

    Raises what the service complains of there instead: that it does not know us, if nothing else is said.
    """
    if not 200 <= answer.status < 300:
        return None
    if problems:
        raise classify(answer, problems, rows, as_if=401)
    reply = json_of(answer)
    if not isinstance(reply, dict) or reply.get(name) is None:
        return None
    return Verified(str(answer.status), "It knows these credentials.")


def known_by_complaint(
    answer: Answer, problems: Sequence[Problem], rows: Sequence[Row], *, as_if: int | None = None
) -> Verified | None:
    """That a check by an empty mail ended well: the service complains of nothing but the mail.

    Raises what else it complains of in a success's clothes (`as_if`, see `classify`).
    """
    error = classify(answer, problems, rows, as_if=as_if)
    if (as_if or answer.status) in (400, 422) and problems and isinstance(error, MessageRejected | RecipientRejected):
        return Verified(str(answer.status), "It knows these credentials: of an empty mail it says what is missing.")
    if as_if is not None:
        raise error
    return None
