"""The provider that MAIL_* settings make: kept in step with them at every start of every process."""

import logging
import uuid
from dataclasses import dataclass

import asyncpg

from janus_mail.audit.actors import SYSTEM
from janus_mail.availability.circuits import settings_changed
from janus_mail.content.addresses import InvalidAddress, Mailbox, parse_mailbox
from janus_mail.delivery.control import try_waiting_now
from janus_mail.errors import InvalidInput
from janus_mail.routing import queries
from janus_mail.routing.audited import provider_changed, provider_created, provider_removed, settings_of
from janus_mail.routing.config import valid_config
from janus_mail.routing.create import ENVIRONMENT_NAME, add_provider
from janus_mail.routing.seed import DEFAULT_WORKSPACE, hold_workspace
from janus_mail.settings import Settings, SettingsError
from janus_mail.storage.database import Connection, Database
from janus_mail.storage.secrets import SecretBox, UnreadableSecret

KIND = "smtp"
VARIABLES = {
    "config.host": "MAIL_SERVER",
    "config.port": "MAIL_PORT",
    "config.username": "MAIL_USERNAME",
    "config.password": "MAIL_PASSWORD",
}

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class _Wanted:
    config: dict[str, object]
    from_email: str | None
    from_name: str | None


async def keep_environment_provider(database: Database, secrets: SecretBox, settings: Settings) -> uuid.UUID | None:
    """Make, change or remove the provider «environment» of the workspace `default`; its id where there is one.

    It is first in the route when it is made; later its owner's order and its being enabled stay. Raises
    `SettingsError` for MAIL_* settings that make no provider. Safe when several processes start at once.
    """
    wanted = _wanted(settings)
    async with database.transaction() as connection:
        if wanted is None:
            await _remove(connection)
            return None
        workspace_id = await hold_workspace(connection, DEFAULT_WORKSPACE)
        there = await connection.fetchrow(queries.PROVIDER_FROM_ENVIRONMENT, workspace_id)
        if there is None:
            provider_id = await add_provider(
                connection, secrets, workspace_id, from_environment=True, kind=KIND, name=ENVIRONMENT_NAME,
                config=wanted.config, from_email=wanted.from_email, from_name=wanted.from_name,
            )  # fmt: skip
            _log.info("MAIL_SERVER is set: provider made")
        else:
            provider_id = there["id"]
            said = _says(there, secrets)
            if there["deleted_at"] or said != wanted:
                sealed = None if said and said.config == wanted.config else secrets.seal(wanted.config)
                await connection.execute(queries.KEEP_IN_STEP, provider_id, sealed, wanted.from_email, wanted.from_name)
                await _note(connection, workspace_id, there, said, wanted)
                await settings_changed(connection, workspace_id, provider_id)
                await try_waiting_now(connection, workspace_id)
                _log.info("MAIL_* settings have changed: provider brought in step")
        if there is None or there["deleted_at"]:
            await _put_first(connection, workspace_id, provider_id)
        return provider_id


async def _note(
    connection: Connection, workspace_id: uuid.UUID, there: asyncpg.Record, said: _Wanted | None, wanted: _Wanted
) -> None:
    """In the audit log: changed, or there again."""
    after = {**there, "from_email": wanted.from_email, "from_name": wanted.from_name}
    now = settings_of(after, wanted.config)
    if there["deleted_at"]:
        await provider_created(connection, SYSTEM, workspace_id, there["id"], KIND, now)
    else:
        was = settings_of({**there}, said.config if said else None)
        await provider_changed(connection, SYSTEM, workspace_id, there["id"], KIND, was, now)


async def _remove(connection: Connection) -> None:
    workspace_id = await connection.fetchval(queries.WORKSPACE_CALLED, DEFAULT_WORKSPACE)
    if workspace_id is None:
        return
    await connection.execute(queries.LOCK_WORKSPACE, workspace_id)
    there = await connection.fetchrow(queries.PROVIDER_FROM_ENVIRONMENT, workspace_id)
    if there is not None and there["deleted_at"] is None:
        await connection.execute(queries.REMOVE_PROVIDER, there["id"])
        await provider_removed(connection, SYSTEM, workspace_id, there["id"], KIND, settings_of({**there}, None))
        _log.info("MAIL_SERVER is gone: provider removed")


async def _put_first(connection: Connection, workspace_id: uuid.UUID, provider_id: uuid.UUID) -> None:
    order = [row["id"] for row in await connection.fetch(queries.IN_ROUTE, workspace_id)]
    order.remove(provider_id)
    await connection.execute(queries.PUT_IN_ORDER, workspace_id, [provider_id, *order])


def _wanted(settings: Settings) -> _Wanted | None:
    if settings.mail_server is None:
        return None
    security = "tls" if settings.mail_use_ssl else "starttls" if settings.mail_use_tls else "none"
    config: dict[str, object] = {"host": settings.mail_server, "security": security}
    if "mail_port" in settings.model_fields_set:
        config["port"] = settings.mail_port  # else the usual one of its security
    if settings.mail_username:
        config["username"] = settings.mail_username
    if settings.mail_password:
        config["password"] = settings.mail_password.get_secret_value()
    sender = _sender(settings.mail_default_sender)
    return _Wanted(_checked(config), sender.address if sender else None, sender.name if sender else None)


def _checked(config: dict[str, object]) -> dict[str, object]:
    try:
        return valid_config(KIND, config, sandbox=False)
    except InvalidInput as error:
        first = error.details[0]
        raise SettingsError(f"{VARIABLES.get(first.field, 'MAIL_*')}: {first.message}") from None


def _sender(text: str | None) -> Mailbox | None:
    try:
        return parse_mailbox(text) if text else None
    except InvalidAddress as error:
        raise SettingsError(f"MAIL_DEFAULT_SENDER: {error.reason}") from None


def _says(row: asyncpg.Record, secrets: SecretBox) -> _Wanted | None:
    try:
        return _Wanted(secrets.open(row["config"]), row["from_email"], row["from_name"])
    except UnreadableSecret:
        return None
