"""The older form's fields, refused in the words that scripts written against it know (Django's)."""

from collections.abc import Mapping
from dataclasses import dataclass

from janus_mail.content.addresses import InvalidAddress, Mailbox, parse_mailbox
from janus_mail.content.variables import placeholders
from janus_mail.errors import InvalidInput
from janus_mail.events.schemas import EventCreate, RecipientIn

MAX_BODY_TEXT = 5_000
MAX_SUBJECT = 998
KINDS: Mapping[str, str] = {"1": "ses", "2": "smtp", "3": "sendgrid"}

_NOT_FIELDS = "__all__"
_FORM_FIELDS: Mapping[str, str] = {
    "recipients": "to_email",
    "from_email": "from_email",
    "from_name": "from_email",
    "email_subject": "subject",
    "email_content": "body_text",
    "provider": "sent_via",
}
_BRACES = "braces"


class InvalidForm(Exception):
    """`errors` has what is wrong by field."""

    def __init__(self, errors: Mapping[str, list[str]]) -> None:
        super().__init__(", ".join(errors))
        self.errors = errors

    @classmethod
    def of(cls, error: InvalidInput) -> "InvalidForm":
        """What accepting the event found wrong, by the form's fields."""
        errors: dict[str, list[str]] = {}
        for detail in error.details:
            field = _FORM_FIELDS.get(detail.field.partition("[")[0], _NOT_FIELDS)
            errors.setdefault(field, []).append(detail.message)
        return cls(errors or {_NOT_FIELDS: [error.message]})


@dataclass(frozen=True, slots=True)
class SendForm:
    """The form as it was understood; `kind` is that of the provider to try first."""

    recipient: Mailbox
    sender: Mailbox
    subject: str
    body_text: str
    kind: str | None

    def event(self, provider: str | None) -> EventCreate:
        """The same as an event that is due now. The form knows no placeholders: its braces stay as they are."""
        subject, body_text = self.subject, self.body_text
        recipient: RecipientIn = {"email": self.recipient.address, "name": self.recipient.name}
        if placeholders(subject, body_text):
            subject, body_text = (text.replace("{{", "{{" + _BRACES + "}}") for text in (subject, body_text))
            recipient["variables"] = {_BRACES: "{{"}
        return EventCreate(
            email_subject=subject,
            email_content=body_text,
            expected_sent_at="now",
            recipients=[recipient],
            from_email=self.sender.address,
            from_name=self.sender.name,
            provider=provider,
        )


def read_form(form: Mapping[str, str]) -> SendForm:
    """Raises `InvalidForm`."""
    errors: dict[str, list[str]] = {}
    recipient = _mailbox(form, "to_email", errors)
    sender = _mailbox(form, "from_email", errors)
    subject = _text(form, "subject", MAX_SUBJECT, errors).strip()
    body_text = _text(form, "body_text", MAX_BODY_TEXT, errors)
    sent_via = form.get("sent_via", "").strip()
    if sent_via and sent_via not in KINDS:
        errors["sent_via"] = [f"Select a valid choice. {sent_via} is not one of the available choices."]
    if errors or recipient is None or sender is None:
        raise InvalidForm(errors)
    return SendForm(recipient, sender, subject, body_text, KINDS.get(sent_via))


def _mailbox(form: Mapping[str, str], field: str, errors: dict[str, list[str]]) -> Mailbox | None:
    text = form.get(field, "").strip()
    try:
        if text:
            return parse_mailbox(text)
        errors[field] = ["This field is required."]
    except InvalidAddress:
        errors[field] = ["Enter a valid email address."]
    return None


def _text(form: Mapping[str, str], field: str, most: int, errors: dict[str, list[str]]) -> str:
    text = form.get(field, "")
    if not text.strip():
        errors[field] = ["This field is required."]
    elif "\0" in text:
        errors[field] = ["Null characters are not allowed."]
    elif len(text) > most:
        errors[field] = [f"Ensure this value has at most {most} characters (it has {len(text)})."]
    return text
