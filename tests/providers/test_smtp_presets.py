"""The presets: what each service's servers are, and who signs in how."""

from typing import Any, get_args

import pytest
from pydantic import ValidationError

from janus_mail.providers.registry import config_schema, mask_config, validate_config
from janus_mail.providers.smtp_config import SmtpConfig
from janus_mail.providers.smtp_presets import PRESETS, SERVICES, Preset

ACCOUNT = {"username": "ann@example.com", "password": "a long password"}


@pytest.mark.parametrize("preset", [name for name in get_args(Preset) if name != "custom"])
def test_a_preset_and_an_account_are_all_that_a_known_service_needs(preset: str) -> None:
    given = {"preset": preset, **ACCOUNT}
    config = SmtpConfig.model_validate(given)
    assert config.host.count(".") >= 2
    assert (config.port, config.security, config.login) == (587, "starttls", ("ann@example.com", "a long password"))
    assert validate_config("smtp", given) == given


@pytest.mark.parametrize(
    ("preset", "username", "most"),
    [("sendgrid", "apikey", 20), ("resend", "resend", 20), ("mailtrap", "api", 10), ("mandrill", "janus", 20)],
)
def test_user_names_that_a_service_asks_for_literally_are_filled_in(preset: str, username: str, most: int) -> None:
    config = SmtpConfig.model_validate({"preset": preset, "password": "SG.key"})
    assert config.login == (username, "SG.key")
    assert config.max_connections == most


def test_of_postmark_the_token_is_given_once_and_never_as_what_everyone_may_see() -> None:
    given = {"preset": "postmark", "password": "0f4e-token-of-a-server"}
    config = SmtpConfig.model_validate(given)
    assert config.login == ("0f4e-token-of-a-server", "0f4e-token-of-a-server")
    assert "0f4e" not in repr(config) + str(mask_config("smtp", given))
    with pytest.raises(ValidationError, match="leave it out"):
        SmtpConfig.model_validate({**given, "username": given["password"]})
    assert SmtpConfig.model_validate({**given, "username": "access-key"}).login == ("access-key", given["password"])


@pytest.mark.parametrize("lacking", [{"preset": "outlook"}, {"preset": "gmail", "username": "ann@example.com"}])
def test_a_known_service_is_not_used_without_a_password(lacking: dict[str, Any]) -> None:
    with pytest.raises(ValidationError, match=r"password: .* needs one"):
        SmtpConfig.model_validate(lacking)
    SmtpConfig.model_validate(lacking, context={"sandbox": True})


def test_what_is_given_goes_before_the_preset() -> None:
    config = SmtpConfig.model_validate({"preset": "brevo", "port": 2525, "max_connections": 3, **ACCOUNT})
    assert (config.host, config.port, config.max_connections) == ("smtp-relay.brevo.com", 2525, 3)
    assert SmtpConfig.model_validate({"preset": "outlook", "security": "tls", **ACCOUNT}).port == 465
    assert SmtpConfig.model_validate({"preset": "outlook", **ACCOUNT}).max_connections == 3


def test_the_schema_tells_a_form_what_each_preset_is_called_and_fills_in() -> None:
    preset = config_schema("smtp")["properties"]["preset"]
    assert preset["enum"] == list(get_args(Preset)) == list(SERVICES) == list(PRESETS)
    assert preset["enumNames"] == list(SERVICES.values())
    assert preset["fills"]["gmail"] == {"host": "smtp.gmail.com", "port": 587, "security": "starttls"}
