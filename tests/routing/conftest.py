"""What the application holds, for tests that call the services of routing themselves."""

import pytest
from fastapi import FastAPI

from janus_mail.settings import Settings
from janus_mail.storage.secrets import SecretBox
from janus_mail.web.context import Context


@pytest.fixture
def secrets(settings: Settings) -> SecretBox:
    return SecretBox(settings.require_secret_keys())


@pytest.fixture
def context(app: FastAPI) -> Context:
    context: Context = app.state.context
    return context
