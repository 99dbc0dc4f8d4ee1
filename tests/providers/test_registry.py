"""The kinds of providers, and the settings of each: checked when saved, masked when shown."""

import pytest
from pydantic import ValidationError

from janus_mail.providers.registry import (
    KINDS,
    UnknownKind,
    adapter_for,
    config_schema,
    mask_config,
    validate_config,
)
from janus_mail.providers.sandbox import SandboxAdapter
from janus_mail.providers.smtp import SmtpAdapter
from janus_mail.providers.smtp_config import SmtpConfig

ACCOUNT = {"username": "me@gmail.com", "password": "abcd efgh ijkl mnop"}


def test_every_kind_has_a_name_for_people() -> None:
    assert {kind: known.label for kind, known in KINDS.items()} == {
        "smtp": "SMTP",
        "ses": "Amazon SES",
        "sendgrid": "SendGrid",
        "mailgun": "Mailgun",
        "mandrill": "Mandrill",
        "mailtrap": "Mailtrap",
        "postmark": "Postmark",
        "resend": "Resend",
        "brevo": "Brevo",
    }


@pytest.mark.parametrize("kind", KINDS)
def test_every_kind_can_be_a_sandbox_without_any_account(kind: str) -> None:
    assert validate_config(kind, {}, sandbox=True) == {}
    assert isinstance(adapter_for(kind, {}, sandbox=True, sandbox_mode="down"), SandboxAdapter)
    assert config_schema(kind)["type"] == "object"


@pytest.mark.parametrize("kind", KINDS)
def test_every_kind_says_what_it_is_and_what_each_setting_means(kind: str) -> None:
    assert KINDS[kind].about.endswith(".")
    for name, field in config_schema(kind)["properties"].items():
        assert field["title"], name
        assert field["description"], name
        assert field.get("examples") or "default" in field, name


@pytest.mark.parametrize("kind", KINDS)
def test_a_real_provider_needs_credentials(kind: str) -> None:
    with pytest.raises(ValidationError):
        validate_config(kind, {})


def test_a_real_provider_has_its_own_adapter() -> None:
    assert isinstance(adapter_for("smtp", {"preset": "gmail", **ACCOUNT}), SmtpAdapter)


def test_an_unknown_kind_is_refused_with_the_known_ones() -> None:
    for call in (adapter_for, validate_config, mask_config):
        with pytest.raises(UnknownKind, match="unknown provider kind 'fax'; known: smtp, ses"):
            call("fax", {})


@pytest.mark.parametrize(
    ("given", "host", "port", "security"),
    [
        ({"preset": "gmail", **ACCOUNT}, "smtp.gmail.com", 587, "starttls"),
        ({"preset": "gmail", "security": "tls", **ACCOUNT}, "smtp.gmail.com", 465, "tls"),
        ({"preset": "mailtrap", **ACCOUNT}, "live.smtp.mailtrap.io", 587, "starttls"),
        (
            {"preset": "mailtrap", "host": "sandbox.smtp.mailtrap.io", "port": 2525, **ACCOUNT},
            "sandbox.smtp.mailtrap.io",
            2525,
            "starttls",
        ),
        ({"host": "mx.example.com"}, "mx.example.com", 587, "starttls"),
        ({"host": "mx.example.com", "security": "tls"}, "mx.example.com", 465, "tls"),
        ({"host": "mx.example.com", "security": "none"}, "mx.example.com", 25, "none"),
        ({"host": "mx.example.com", "security": "none", "port": 1025}, "mx.example.com", 1025, "none"),
    ],
)
def test_a_preset_fills_what_is_left_out(given: dict[str, object], host: str, port: int, security: str) -> None:
    config = SmtpConfig.model_validate(given)
    assert (config.host, config.port, config.security) == (host, port, security)
    assert validate_config("smtp", given) == given  # only what was given is stored, so a preset can be changed later


@pytest.mark.parametrize(
    ("given", "complaint"),
    [
        ({}, "a server is needed"),
        ({"host": "mx example"}, "no blanks"),
        ({"host": "mx\r\nexample"}, "no blanks or control characters"),
        ({"host": "mx", "port": 0}, "greater than or equal to 1"),
        ({"host": "mx", "port": "many"}, "valid integer"),
        ({"host": "mx", "security": "maybe"}, "'starttls', 'tls' or 'none'"),
        ({"host": "mx", "security": ["tls"]}, "'starttls', 'tls' or 'none'"),
        ({"preset": "yahoo", **ACCOUNT}, "'custom', 'gmail', "),
        ({"preset": {}, **ACCOUNT}, "'custom', 'gmail', "),
        ({"preset": "gmail"}, "Gmail needs one"),
        ({"host": "mx", "username": "me"}, "give both or neither"),
        ({"host": "mx", "username": "me", "password": "a\0b"}, "NUL"),
        ({"host": "mx", "max_connections": 0}, "greater than or equal to 1"),
        ({"host": "mx", "colour": "red"}, "Extra inputs are not permitted"),
        ({"host": "mx", "local_hostname": "me\r\nMAIL FROM:<x>"}, "no blanks or control characters"),
        ({"host": "mx", "local_hostname": "bücher.example"}, "ASCII form"),
        ({"host": "mx", "idle_timeout_s": float("nan")}, "finite number"),
    ],
)
def test_bad_settings_are_refused_with_a_reason(given: dict[str, object], complaint: str) -> None:
    with pytest.raises(ValidationError) as raised:
        validate_config("smtp", given)
    assert complaint in str(raised.value)


def test_no_secret_is_shown_by_config_errors_or_adapter() -> None:
    given = {"host": "mx", "port": 0, "username": "me", "password": "hunter2-hunter2"}
    with pytest.raises(ValidationError) as raised:
        validate_config("smtp", given)
    config = SmtpConfig.model_validate(given | {"port": 25})
    for shown in (str(raised.value), repr(raised.value), repr(config), str(config), repr(SmtpAdapter(config))):
        assert "hunter2" not in shown


def test_secrets_are_masked_when_shown() -> None:
    assert mask_config("smtp", {"host": "mx", "port": 25, **ACCOUNT}) == {
        "host": "mx",
        "port": 25,
        "username": "me@gmail.com",
        "password": "•••• mnop",
    }
    assert mask_config("smtp", {"password": "short"}) == {"password": "••••"}
    assert mask_config("smtp", {"password": None}) == {"password": None}
    assert mask_config("ses", {"region": "eu-west-1", "key": "AKIAIOSFODNN7EXAMPLE", "n": 1}) == {
        "region": "eu-west-1",
        "key": "•••• MPLE",
        "n": 1,
    }


def test_the_schema_is_enough_to_draw_a_form() -> None:
    properties = config_schema("smtp")["properties"]
    assert all(field["title"] and field["description"] for field in properties.values())
    assert "writeOnly" in str(properties["password"])
    assert properties["security"]["enum"] == ["starttls", "tls", "none"]
