"""Asking a service whether it knows a provider's credentials, and keeping what it answered."""

import asyncio
import logging
import uuid

import asyncpg

from janus_mail.availability.allowances import Allowances, NotLent, adapter_of
from janus_mail.providers.contract import Adapter, Verified
from janus_mail.providers.outcomes import DeliveryError, Outcome, ProviderBroken, ProviderDown
from janus_mail.routing import queries
from janus_mail.routing.config import without_secrets
from janus_mail.routing.read import no_such_provider, shown
from janus_mail.routing.schemas import Provider
from janus_mail.storage.secrets import UnreadableSecret
from janus_mail.telemetry.boot_clock import boot_clock_s
from janus_mail.web.context import Context

MOST_S = 9.0
_GOODBYE_S = 1.0
_RESPONSE_MOST = 2000

_log = logging.getLogger(__name__)


async def verify_provider(context: Context, workspace_id: uuid.UUID, provider_id: uuid.UUID) -> Provider:
    """The provider, with what its service answered within `MOST_S`. No connection is held meanwhile.

    Raises `NotFound`, and nothing because of the service.
    """
    pool = context.database.pool
    row = await pool.fetchrow(queries.PROVIDER, workspace_id, provider_id)
    if row is None:
        raise no_such_provider()
    began_s = boot_clock_s()
    ended = await _ask(context, row)
    answer = None
    if ended is not None:
        ok = isinstance(ended, Verified)
        answer = {
            "ok": ok,
            "outcome": ended.outcome if isinstance(ended, DeliveryError) else Outcome.ACCEPTED,
            "code": _storable(ended.code),
            "response": _storable(ended.response),
            "latency_ms": round((boot_clock_s() - began_s) * 1000),
        }
    await pool.execute(queries.KEEP_VERIFICATION, workspace_id, provider_id, row["config"], answer)
    now = await pool.fetchrow(queries.PROVIDER, workspace_id, provider_id)
    if now is None:
        raise no_such_provider()
    return shown(now, context.secrets, context.settings.public_url)


async def _ask(context: Context, row: asyncpg.Record) -> Verified | DeliveryError | None:
    """What it answered, with none of its secrets in it."""
    try:
        config = context.secrets.open(row["config"])
        adapter = adapter_of(row, config, Allowances.of(context.settings))
    except NotLent as error:
        return ProviderBroken("not_lent", f"{error}.")
    except UnreadableSecret:
        return ProviderBroken("unreadable", "Its settings open with none of JANUS_SECRET_KEYS.")
    except Exception as error:  # stored by another version
        return ProviderBroken("unusable", f"Its settings cannot be used ({type(error).__name__}).")
    try:
        ended = await _answer_of(adapter)
    finally:
        await _close(adapter)
    if isinstance(ended, DeliveryError):
        ended.response = without_secrets(ended.response, row["kind"], config)
        return ended
    return ended and Verified(ended.code, without_secrets(ended.response, row["kind"], config))


async def _answer_of(adapter: Adapter) -> Verified | DeliveryError | None:
    try:
        async with asyncio.timeout(MOST_S):
            return await adapter.verify()
    except DeliveryError as error:
        return error
    except TimeoutError:
        return ProviderDown("timeout", f"No answer within {MOST_S:.0f} seconds.")
    except Exception:
        _log.exception("a provider could not be verified")
        return ProviderDown("internal_error", "The server's log says more.")


async def _close(adapter: Adapter) -> None:
    try:
        async with asyncio.timeout(_GOODBYE_S):
            await adapter.close()
    except TimeoutError:
        pass  # it had nothing to say that matters


def _storable(text: str) -> str:
    """PostgreSQL takes neither NUL nor a lone surrogate."""
    return text.replace("\0", "").encode("utf-8", "replace").decode()[:_RESPONSE_MOST]
