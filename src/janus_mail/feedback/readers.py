"""Every reader of what comes back: one for each kind of provider whose service posts feedback, and one for bounces that
come as mail."""

from collections.abc import Mapping
from typing import Final

from janus_mail.feedback.reader import Reader
from janus_mail.feedback.services import brevo, dsn, mailgun, mailtrap, mandrill, postmark, resend, sendgrid, ses

DSN: Final = "dsn"  # stands where a kind does: mail that bounced, whatever it was sent through

READERS: Final[Mapping[str, Reader]] = {
    DSN: dsn.READER,
    "brevo": brevo.READER,
    "mailgun": mailgun.READER,
    "mailtrap": mailtrap.READER,
    "mandrill": mandrill.READER,
    "postmark": postmark.READER,
    "resend": resend.READER,
    "sendgrid": sendgrid.READER,
    "ses": ses.READER,
}
