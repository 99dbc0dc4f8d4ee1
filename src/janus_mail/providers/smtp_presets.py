"""The SMTP servers of well-known services: where they are, and what they ask of who signs in. Data."""

from collections.abc import Mapping
from typing import Literal

Preset = Literal[
    "custom",
    "gmail",
    "outlook",
    "mailtrap",
    "mailtrap_sandbox",
    "sendgrid",
    "mailgun",
    "mailgun_eu",
    "mandrill",
    "postmark",
    "resend",
    "brevo",
]

SERVICES: Mapping[str, str] = {
    "custom": "Any server",
    "gmail": "Gmail",
    "outlook": "Outlook (Microsoft 365)",
    "mailtrap": "Mailtrap",
    "mailtrap_sandbox": "Mailtrap, sandbox",
    "sendgrid": "SendGrid",
    "mailgun": "Mailgun",
    "mailgun_eu": "Mailgun, EU",
    "mandrill": "Mandrill",
    "postmark": "Postmark",
    "resend": "Resend",
    "brevo": "Brevo",
}


def _at(host: str, **more: str | int) -> Mapping[str, str | int]:
    return {"host": host, "port": 587, "security": "starttls", **more}


# What each fills in. User names are those that the services ask for literally.
PRESETS: Mapping[str, Mapping[str, str | int]] = {
    "custom": {},
    "gmail": _at("smtp.gmail.com"),
    "outlook": _at("smtp.office365.com", max_connections=3),  # a mailbox; more are answered 432 4.3.2
    "mailtrap": _at("live.smtp.mailtrap.io", username="api", max_connections=10),  # an account
    "mailtrap_sandbox": _at("sandbox.smtp.mailtrap.io", max_connections=10),
    "sendgrid": _at("smtp.sendgrid.net", username="apikey"),
    "mailgun": _at("smtp.mailgun.org"),
    "mailgun_eu": _at("smtp.eu.mailgun.org"),
    "mandrill": _at("smtp.mandrillapp.com", username="janus"),  # any will do: the API key alone counts
    "postmark": _at("smtp.postmarkapp.com"),
    "resend": _at("smtp.resend.com", username="resend"),
    "brevo": _at("smtp-relay.brevo.com"),
}

# Their token is user name and password in one: as a user name it would be shown to everyone who may look.
ONE_TOKEN: frozenset[str] = frozenset({"postmark"})
