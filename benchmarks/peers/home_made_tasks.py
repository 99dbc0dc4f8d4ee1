"""Runs in the peer's environment: the Celery application and its one task."""

import os
import smtplib
from email.message import EmailMessage
from email.utils import formatdate, make_msgid

from celery import Celery  # type: ignore[import-not-found]  # it is in the peer's environment only

app = Celery("home_made", broker=os.environ["PEER_BROKER"])
# Short tasks: Celery's guide advises to fetch many at once, and results that nobody reads cost a round trip each.
app.conf.update(worker_prefetch_multiplier=100, task_ignore_result=True)

_connection: smtplib.SMTP | None = None  # kept, one in each worker process


@app.task  # type: ignore[untyped-decorator]
def send(to: str, subject: str, text: str, html: str) -> None:
    """One mail."""
    mail = EmailMessage()
    mail["From"], mail["To"], mail["Subject"] = "janus@example.com", to, subject
    mail["Date"], mail["Message-ID"] = formatdate(), make_msgid(domain="example.com")
    mail.set_content(text)
    mail.add_alternative(html, subtype="html")
    global _connection
    if _connection is None:
        _connection = smtplib.SMTP("127.0.0.1", int(os.environ["PEER_SINK_PORT"]))
    _connection.send_message(mail)
