"""Every setting, read from the environment or `.env`. The only place that reads either."""

import ipaddress
from ipaddress import IPv4Network, IPv6Network
from pathlib import Path
from typing import Annotated, Any, Literal, Self
from urllib.parse import parse_qsl, quote, urlencode, urlsplit, urlunsplit
from zoneinfo import available_timezones

from cryptography.fernet import Fernet
from pydantic import Field, SecretStr, ValidationError, field_validator, model_validator
from pydantic_settings import BaseSettings, NoDecode, SettingsConfigDict

EXAMPLE_SECRETS = frozenset({"change-me", "changeme", "secret"})


class SettingsError(Exception):
    """A setting is missing or wrong; the message is one line that names the variable and says what to do."""


class Settings(BaseSettings):
    """Environment variables have the prefix `JANUS_`, but for the predecessors' names and the two addresses."""

    model_config = SettingsConfigDict(
        env_prefix="JANUS_", env_file=".env", env_file_encoding="utf-8", extra="ignore", populate_by_name=True,
        env_ignore_empty=True,
    )  # fmt: skip

    # -- where the data lives
    database_url: SecretStr | None = Field(None, validation_alias="DATABASE_URL")
    postgres_user: str | None = Field(None, validation_alias="POSTGRES_USER")
    postgres_password: SecretStr | None = Field(None, validation_alias="POSTGRES_PASSWORD")
    postgres_db: str | None = Field(None, validation_alias="POSTGRES_DB")
    postgres_host: str = Field("localhost", validation_alias="POSTGRES_HOST")
    postgres_port: int = Field(5432, validation_alias="POSTGRES_PORT")
    redis_url: SecretStr | None = Field(None, validation_alias="REDIS_URL")
    data_dir: Path = Path(".janus")
    database_pool_size: int = Field(10, ge=1, le=200)

    # -- the predecessors' mail server: becomes the provider «environment»
    mail_server: str | None = Field(None, validation_alias="MAIL_SERVER")
    mail_port: int = Field(587, validation_alias="MAIL_PORT", ge=1, le=65535)
    mail_username: str | None = Field(None, validation_alias="MAIL_USERNAME")
    mail_password: SecretStr | None = Field(None, validation_alias="MAIL_PASSWORD")
    mail_use_tls: bool = Field(True, validation_alias="MAIL_USE_TLS")
    mail_use_ssl: bool = Field(False, validation_alias="MAIL_USE_SSL")
    mail_default_sender: str | None = Field(None, validation_alias="MAIL_DEFAULT_SENDER")

    # -- who and where we are
    env: Literal["development", "production"] = "production"
    debug: bool = False
    secret_keys: Annotated[tuple[SecretStr, ...], NoDecode] = ()
    tz: str = Field("UTC", validation_alias="TZ")
    host: str = "127.0.0.1"
    port: int = Field(8000, validation_alias="PORT", ge=1, le=65535)
    public_url: str | None = None
    anonymous_workspace: str | None = None
    aws_default_credentials: bool = False  # else any workspace might send, and pay, as the server's own AWS role
    trusted_proxies: Annotated[tuple[IPv4Network | IPv6Network, ...], NoDecode] = ()  # whose X-Forwarded-* are believed
    allow_private_hosts: bool = False  # else a workspace could make us knock at doors within our own network

    # -- people
    registration: Literal["open", "invite", "closed"] = "invite"
    system_provider: str | None = None  # providers of the workspace `default`, by name or id, with commas
    session_seconds: int = Field(43_200, ge=60)  # after it one signs in again (OWASP ASVS 3.3.2: 12 hours)
    access_token_seconds: int = Field(600, ge=10)
    refresh_token_seconds: int = Field(2_592_000, ge=60)

    # -- how much one caller may ask for; 0: no limit
    rate_limit_read: int = Field(1_200, ge=0)  # requests a minute of one key or person
    rate_limit_write: int = Field(600, ge=0)
    rate_limit_send: int = Field(6_000, ge=0)
    rate_limit_workspace: int = Field(12_000, ge=0)  # requests a minute of all its keys and people
    rate_limit_address: int = Field(12_000, ge=0)  # requests a minute from one address
    rate_limit_refused: int = Field(120, ge=0)  # of these such as were answered 401
    rate_limit_sign_in: int = Field(30, ge=0)  # tries in 15 minutes from one address; of one account a third of it
    rate_limit_pages: int = Field(600, ge=0)
    rate_limit_hooks: int = Field(60_000, ge=0)  # posts a minute to one provider's hook
    minute_quota: int = Field(0, ge=0)  # mails a minute that a workspace may accept, where it has none of its own
    monthly_quota: int = Field(0, ge=0)

    # -- the worker
    worker_concurrency: int = Field(320, ge=1, le=10_000)  # one workspace gets half, one provider three eighths
    claim_batch: int = Field(200, ge=1, le=2_000)

    # -- times of delivery (DELIVERY.md); fault tests shorten these and nothing else
    lease_seconds: float = Field(60, gt=0)
    grace_seconds: float = Field(30, ge=0)  # after a lease's end, before an uncertain message is resolved
    evidence_seconds: float = Field(900, ge=0)  # for a provider's word on a mail in doubt, where it gives one
    patrol_seconds: float = Field(5, gt=0)
    horizon_seconds: float = Field(900, gt=0)
    rollup_seconds: float = Field(0.5, gt=0)
    retry_base_seconds: float = Field(30, gt=0)
    retry_cap_seconds: float = Field(3600, gt=0)
    give_up_seconds: float = Field(86_400, gt=0)
    shutdown_seconds: float = Field(8, ge=0)
    smtp_connect_timeout_seconds: float = Field(30, gt=0)
    smtp_command_timeout_seconds: float = Field(300, gt=0)
    smtp_data_timeout_seconds: float = Field(120, gt=0)
    smtp_block_timeout_seconds: float = Field(180, gt=0)
    smtp_dot_timeout_seconds: float = Field(600, gt=0)
    http_connect_timeout_seconds: float = Field(10, gt=0)
    http_timeout_seconds: float = Field(60, gt=0)
    circuit_open_seconds: float = Field(30, gt=0)  # doubles with each probe that fails, up to the cap
    circuit_cap_seconds: float = Field(600, gt=0)
    stall_seconds: float = Field(10, gt=0)  # a provider with every permit taken and no answer for so long is left out

    # -- what callers see
    list_cache_seconds: int = Field(3600, ge=0)
    idempotency_seconds: int = Field(86_400, gt=0)
    retention_days: int | None = Field(None, ge=1, le=36_500)  # unset: everything is kept

    metrics_port: int | None = Field(None, ge=1, le=65535)  # the worker's; the API has /metrics

    log_format: Literal["json", "console"] | None = None
    log_level: Literal["DEBUG", "INFO", "WARNING", "ERROR"] = "INFO"
    crash_at: str | None = None  # fault tests only: `place` or `place:n`, see delivery/crash_points.py

    @field_validator("secret_keys", mode="before")
    @classmethod
    def _split_keys(cls, value: Any) -> Any:
        return [part.strip() for part in value.split(",") if part.strip()] if isinstance(value, str) else value

    @field_validator("trusted_proxies", mode="before")
    @classmethod
    def _split_networks(cls, value: Any) -> Any:
        return [part.strip() for part in value.split(",") if part.strip()] if isinstance(value, str) else value

    @field_validator("secret_keys")
    @classmethod
    def _keys_are_fernet(cls, value: tuple[SecretStr, ...]) -> tuple[SecretStr, ...]:
        for number, key in enumerate(value, 1):
            try:
                Fernet(key.get_secret_value())
            except ValueError:
                # `from None`: the cause would carry the key into a traceback.
                raise ValueError(f"key {number} is not 32 bytes in URL-safe base64; `janus init` makes one") from None
        return value

    @field_validator("tz")
    @classmethod
    def _zone_exists(cls, value: str) -> str:
        value = value.removeprefix(":")
        if value not in available_timezones():
            raise ValueError(f"{value!r} is not an IANA time zone such as Europe/Berlin")
        return value

    @field_validator("public_url")
    @classmethod
    def _is_an_address(cls, value: str | None) -> str | None:
        parts = urlsplit(value or "")
        if value is not None and (
            parts.scheme not in ("http", "https") or not parts.hostname or parts.query or parts.fragment
        ):
            raise ValueError("must be an address such as https://janus.example.com")
        return value

    @field_validator("database_url", "redis_url")
    @classmethod
    def _scheme_fits(cls, value: SecretStr | None, info: Any) -> SecretStr | None:
        schemes = {
            "database_url": ("postgres", "postgresql", "postgresql+asyncpg"),
            "redis_url": ("redis", "rediss", "unix"),
        }
        allowed = schemes[info.field_name]
        if value is not None and urlsplit(value.get_secret_value()).scheme not in allowed:
            raise ValueError(f"must begin with {allowed[0]}://")
        return value

    @model_validator(mode="after")
    def _what_may_not_stand_together(self) -> Self:
        if self.mail_use_tls and self.mail_use_ssl and "mail_use_tls" in self.model_fields_set:
            raise ValueError("MAIL_USE_TLS (STARTTLS) and MAIL_USE_SSL (TLS from the first byte) exclude each other")
        if self.anonymous_workspace and self.env == "production":
            raise ValueError("JANUS_ANONYMOUS_WORKSPACE is for development only: unset it or set JANUS_ENV=development")
        if self.anonymous_workspace and not is_loopback(self.host):
            raise ValueError(f"JANUS_ANONYMOUS_WORKSPACE needs a loopback address, but JANUS_HOST is {self.host}")
        if self.crash_at and self.env == "production":
            raise ValueError("JANUS_CRASH_AT ends the process on purpose: it is for tests, with JANUS_ENV=development")
        if self.retention_days and self.retention_days * 86_400 < self.idempotency_seconds:
            raise ValueError(
                "JANUS_RETENTION_DAYS ends before JANUS_IDEMPOTENCY_SECONDS: a repetition would find nothing"
            )
        if self.debug and self.env == "production":
            raise ValueError("JANUS_DEBUG must be off when JANUS_ENV=production")
        return self

    @property
    def database_dsn(self) -> str:
        """`postgresql://…` as asyncpg reads it; `sslmode` stays (asyncpg knows libpq's words)."""
        if self.database_url is not None:
            parts = urlsplit(self.database_url.get_secret_value())
            query = urlencode([(k, v) for k, v in parse_qsl(parts.query) if k != "async_fallback"])
            return urlunsplit(("postgresql", parts.netloc, parts.path, query, ""))
        if self.postgres_user and self.postgres_db:
            password = quote(self.postgres_password.get_secret_value(), safe="") if self.postgres_password else ""
            login = quote(self.postgres_user, safe="") + (f":{password}" if password else "")
            return f"postgresql://{login}@{self.postgres_host}:{self.postgres_port}/{quote(self.postgres_db)}"
        raise SettingsError("DATABASE_URL is missing: set it, or try Janus with `make run`, which brings a PostgreSQL")

    def require_secret_keys(self) -> tuple[str, ...]:
        """The keys, newest first. Raises `SettingsError` where none is set or one is an example's."""
        keys = tuple(key.get_secret_value() for key in self.secret_keys)
        if not keys:
            raise SettingsError("JANUS_SECRET_KEYS is missing: `janus init` writes a .env with fresh ones")
        return keys

    @property
    def effective_log_format(self) -> Literal["json", "console"]:
        return self.log_format or ("json" if self.env == "production" else "console")


def is_loopback(host: str) -> bool:
    """Whether a bind address or a `Host` name (without its port) can only be reached from this machine."""
    if host.lower().rstrip(".") == "localhost":
        return True
    try:
        return ipaddress.ip_address(host.strip("[]")).is_loopback
    except ValueError:
        return False


def load_settings(**overrides: Any) -> Settings:
    """Read the environment. Raises `SettingsError` with one line that names the variable, never with its value."""
    try:
        return Settings(**overrides)
    except ValidationError as error:
        first = error.errors(include_input=False, include_url=False)[0]
        message = str(first["msg"]).removeprefix("Value error, ")
        if not first["loc"]:
            raise SettingsError(message) from None
        raise SettingsError(f"{variable_name(str(first['loc'][0]))}: {message}") from None


def variable_name(location: str) -> str:
    """The environment variable that sets a field; what is no field stays as it is."""
    field = Settings.model_fields.get(location)
    if field is None:
        return location
    return str(field.validation_alias) if field.validation_alias else f"JANUS_{location.upper()}"
