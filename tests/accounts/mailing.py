"""An application whose own mail is kept, to be read: the sealed rows that a worker would send."""

import re
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from fastapi import FastAPI

from janus_mail.notices.system_mail import SystemMail, opened
from janus_mail.storage.database import Database
from janus_mail.storage.secrets import SecretBox
from janus_mail.web.context import Context
from tests.conftest import TEST_KEY

BOX = SecretBox([TEST_KEY])
GOOD = "seven tame herons wade"  # a password that may be one


def set_up(app: FastAPI, settings: Mapping[str, Any]) -> Context:
    """The application goes on with other settings, until it ends."""
    context: Context = app.state.context
    changed: Context = replace(context, settings=context.settings.model_copy(update=dict(settings)))
    app.state.context = changed
    return changed


async def mails(database: Database) -> list[SystemMail]:
    """What waits to be sent, the oldest first."""
    return [opened(row["sealed"], BOX) for row in await database.pool.fetch("SELECT * FROM system_mails ORDER BY id")]


async def last_link(database: Database) -> str:
    """The address in the newest mail."""
    found = re.search(r"https?://\S+", (await mails(database))[-1].text)
    assert found is not None
    return found[0]
