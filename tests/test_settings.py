"""Settings: a wrong or missing one stops the start with one line that names it, and no secret is ever shown."""

import pytest
from cryptography.fernet import Fernet
from pydantic import SecretStr

from janus_mail.settings import Settings, SettingsError, is_loopback, load_settings, variable_name

KEY = "MDEyMzQ1Njc4OWFiY2RlZjAxMjM0NTY3ODlhYmNkZWY="  # the same in each test process: it is in names of tests


@pytest.mark.parametrize(
    ("variable", "value", "says"),
    [
        ("DATABASE_URL", "mysql://root:hunter2@db/janus", "must begin with postgres://"),
        ("REDIS_URL", "http://:hunter2@cache", "must begin with redis://"),
        ("JANUS_PUBLIC_URL", "janus.example.com", "such as https://janus.example.com"),
        ("POSTGRES_PORT", "hunter2", "integer"),
        ("MAIL_PORT", "0", "greater than or equal to 1"),
        ("MAIL_PORT", "hunter2", "integer"),
        ("MAIL_USE_TLS", "hunter2", "boolean"),
        ("PORT", "70000", "less than or equal to 65535"),
        ("TZ", "Middle/Earth", "not an IANA time zone"),
        ("JANUS_ENV", "hunter2", "'development' or 'production'"),
        ("JANUS_SECRET_KEYS", "hunter2", "key 1 is not 32 bytes in URL-safe base64"),
        ("JANUS_SECRET_KEYS", f"{KEY},hunter2", "key 2 is not 32 bytes"),
        ("JANUS_WORKER_CONCURRENCY", "0", "greater than or equal to 1"),
        ("JANUS_LEASE_SECONDS", "-1", "greater than 0"),
        ("JANUS_LOG_LEVEL", "hunter2", "'DEBUG', 'INFO', 'WARNING' or 'ERROR'"),
        ("JANUS_LIST_CACHE_SECONDS", "hunter2", "integer"),
        ("JANUS_RETENTION_DAYS", "0", "greater than or equal to 1"),
    ],
)
def test_a_wrong_value_gives_one_line_that_names_the_variable_and_not_the_value(
    monkeypatch: pytest.MonkeyPatch, variable: str, value: str, says: str
) -> None:
    monkeypatch.setenv(variable, value)
    with pytest.raises(SettingsError) as raised:
        load_settings()
    line = str(raised.value)
    assert line.startswith(f"{variable}: ")
    assert says in line
    assert "\n" not in line
    assert "hunter2" not in line
    assert KEY not in line
    assert raised.value.__cause__ is None


@pytest.mark.parametrize(
    ("environment", "says"),
    [
        ({"MAIL_USE_TLS": "true", "MAIL_USE_SSL": "true"}, "MAIL_USE_TLS .* and MAIL_USE_SSL .* exclude each other"),
        ({"JANUS_ANONYMOUS_WORKSPACE": "default"}, "JANUS_ANONYMOUS_WORKSPACE is for development only"),
        (
            {"JANUS_ANONYMOUS_WORKSPACE": "default", "JANUS_ENV": "development", "JANUS_HOST": "0.0.0.0"},
            "JANUS_ANONYMOUS_WORKSPACE needs a loopback address, but JANUS_HOST is 0.0.0.0",
        ),
        (
            {"JANUS_RETENTION_DAYS": "1", "JANUS_IDEMPOTENCY_SECONDS": "86401"},
            "JANUS_RETENTION_DAYS ends before JANUS_IDEMPOTENCY_SECONDS",
        ),
        ({"JANUS_DEBUG": "true"}, "JANUS_DEBUG must be off when JANUS_ENV=production"),
    ],
)
def test_settings_that_may_not_stand_together_are_refused(
    monkeypatch: pytest.MonkeyPatch, environment: dict[str, str], says: str
) -> None:
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    with pytest.raises(SettingsError, match=says):
        load_settings()


def test_anonymous_use_is_allowed_in_development_on_loopback(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("JANUS_ENV", "development")
    monkeypatch.setenv("JANUS_ANONYMOUS_WORKSPACE", "default")
    for host in ("127.0.0.1", "::1", "localhost"):
        monkeypatch.setenv("JANUS_HOST", host)
        assert load_settings().anonymous_workspace == "default"


def test_a_missing_setting_is_named_with_what_makes_one() -> None:
    settings = load_settings()
    with pytest.raises(SettingsError, match=r"^DATABASE_URL is missing: .*make run"):
        _ = settings.database_dsn
    with pytest.raises(SettingsError, match=r"^JANUS_SECRET_KEYS is missing: `janus init`"):
        settings.require_secret_keys()


def test_no_secret_is_in_what_settings_print(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("JANUS_SECRET_KEYS", KEY)
    monkeypatch.setenv("DATABASE_URL", "postgresql://janus:hunter2@db/janus")
    monkeypatch.setenv("REDIS_URL", "redis://:hunter2@cache")
    monkeypatch.setenv("POSTGRES_PASSWORD", "hunter2")
    monkeypatch.setenv("MAIL_PASSWORD", "hunter2")
    settings = load_settings()
    for text in (repr(settings), str(settings), settings.model_dump_json()):
        assert "hunter2" not in text
        assert KEY not in text
    assert settings.require_secret_keys() == (KEY,)


@pytest.mark.parametrize(
    ("url", "dsn"),
    [
        ("postgres://janus:p%40ss@db:5433/janus", "postgresql://janus:p%40ss@db:5433/janus"),
        ("postgresql+asyncpg://db/janus", "postgresql://db/janus"),
        ("postgresql://db/janus?sslmode=require", "postgresql://db/janus?sslmode=require"),
        ("postgresql://u@/janus?host=%2Fvar%2Frun&port=5432", "postgresql://u@/janus?host=%2Fvar%2Frun&port=5432"),
    ],
)
def test_every_spelling_of_a_database_url_reaches_the_driver_in_its_words(url: str, dsn: str) -> None:
    assert Settings(database_url=SecretStr(url)).database_dsn == dsn


def test_a_database_named_in_parts_is_put_together(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in {"USER": "janus", "PASSWORD": "p@ss/word", "DB": "mail", "HOST": "db", "PORT": "5433"}.items():
        monkeypatch.setenv(f"POSTGRES_{name}", value)
    assert load_settings().database_dsn == "postgresql://janus:p%40ss%2Fword@db:5433/mail"


def test_an_empty_variable_counts_as_unset(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PORT", "")
    monkeypatch.setenv("REDIS_URL", "")
    assert load_settings().port == 8000
    assert load_settings().redis_url is None


def test_the_first_secret_key_encrypts_and_all_are_kept_in_order(monkeypatch: pytest.MonkeyPatch) -> None:
    other = Fernet.generate_key().decode()
    monkeypatch.setenv("JANUS_SECRET_KEYS", f" {KEY} , {other},")
    assert load_settings().require_secret_keys() == (KEY, other)


def test_logs_are_json_in_production_and_readable_in_development() -> None:
    assert Settings().effective_log_format == "json"
    assert Settings(env="development").effective_log_format == "console"
    assert Settings(env="development", log_format="json").effective_log_format == "json"


@pytest.mark.parametrize(
    ("host", "loopback"),
    [
        ("localhost", True), ("LOCALHOST.", True), ("127.0.0.1", True), ("127.8.9.1", True), ("[::1]", True),
        ("0.0.0.0", False), ("::", False), ("10.0.0.1", False), ("localhost.example.com", False), ("", False),
    ],
)  # fmt: skip
def test_only_addresses_of_this_machine_count_as_loopback(host: str, loopback: bool) -> None:
    assert is_loopback(host) is loopback


def test_the_times_of_production_are_these() -> None:
    seconds = {name: value for name, value in Settings().model_dump().items() if name.endswith("_seconds")}
    assert seconds == {
        "lease_seconds": 60,
        "grace_seconds": 30,
        "evidence_seconds": 900,
        "patrol_seconds": 5,
        "horizon_seconds": 900,
        "rollup_seconds": 0.5,
        "retry_base_seconds": 30,
        "retry_cap_seconds": 3600,
        "give_up_seconds": 86_400,
        "shutdown_seconds": 8,
        "smtp_connect_timeout_seconds": 30,
        "smtp_command_timeout_seconds": 300,
        "smtp_data_timeout_seconds": 120,
        "smtp_block_timeout_seconds": 180,
        "smtp_dot_timeout_seconds": 600,
        "http_connect_timeout_seconds": 10,
        "http_timeout_seconds": 60,
        "circuit_open_seconds": 30,
        "circuit_cap_seconds": 600,
        "stall_seconds": 10,
        "list_cache_seconds": 3600,
        "idempotency_seconds": 86_400,
        "session_seconds": 43_200,
        "access_token_seconds": 600,
        "refresh_token_seconds": 2_592_000,
    }


def test_every_field_is_set_by_the_variable_of_its_name(monkeypatch: pytest.MonkeyPatch) -> None:
    assert variable_name("port") == "PORT"
    assert variable_name("mail_use_tls") == "MAIL_USE_TLS"
    assert variable_name("lease_seconds") == "JANUS_LEASE_SECONDS"
    monkeypatch.setenv(variable_name("lease_seconds"), "7")
    assert load_settings().lease_seconds == 7
