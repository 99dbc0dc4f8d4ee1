"""AWS's own library says, signs and reads what passes between us and SES; what carries it is our wire.

botocore asks who will send a request before it sends one itself: we do, at most once, and know to the byte what left.
The library is large, so it is imported when the first account is used and not before.
"""

import asyncio
import logging
from collections.abc import Callable, Mapping
from contextlib import AsyncExitStack
from contextvars import ContextVar
from dataclasses import dataclass, field
from functools import cache
from types import SimpleNamespace
from typing import Any

from janus_mail.providers.contract import Dispatch
from janus_mail.providers.http_client import HttpClient, Request
from janus_mail.providers.http_replies import Answer
from janus_mail.providers.network import Network
from janus_mail.providers.outcomes import DeliveryError, ProviderBroken, ProviderDown
from janus_mail.providers.ses_body import DIGEST_HEADER, Data, filled
from janus_mail.providers.timeouts import HttpTimeouts

SERVICE = "sesv2"
_OURS = frozenset({"content-length", "user-agent"})  # our wire writes them itself; neither is signed


@dataclass(frozen=True, slots=True)
class Account:
    """What AWS needs to know of who asks. Without keys the machine's own are looked for, as AWS's programs do."""

    region: str
    access_key_id: str = field(default="", repr=False)
    secret_access_key: str = field(default="", repr=False)
    session_token: str = field(default="", repr=False)
    endpoint: str = ""


@dataclass(frozen=True, slots=True)
class Heard:
    """An answer, and what AWS's library reads in it: the fields of a success, or the name of an error and its text."""

    answer: Answer
    fields: Mapping[str, Any] = field(default_factory=dict)
    code: str = ""
    message: str = ""


class SesClient:
    """One account. Made and used within one event loop."""

    def __init__(self, account: Account, timeouts: HttpTimeouts, network: Network, *, max_connections: int) -> None:
        self._account = account
        self._timeouts = timeouts
        self._network = network
        self._max_connections = max_connections
        self._opening: asyncio.Task[_Opened] | None = None

    async def call(
        self, operation: str, parameters: Mapping[str, Any], dispatch: Dispatch, large: Data | None = None
    ) -> Heard:
        """Ask for an operation by botocore's name of it (`send_email`). `large` is put where the `PLACEHOLDER` stands.

        Raises `ProviderBroken` or `ProviderDown` where there are no credentials to sign with, what `HttpClient.ask`
        raises, and `dispatch`'s errors.
        """
        opened = await self._open()
        if opened.credentials is not None:
            await _fresh(opened.credentials, self._timeouts.connect_s)
        exchange = _Exchange(dispatch, large)
        token = _current.set(exchange)
        try:
            return await _hear(getattr(opened.client, operation), parameters, exchange)
        finally:
            _current.reset(token)
            del exchange.dispatch, exchange.large  # timers and transports keep the context, and nothing of the mail

    async def close(self) -> None:
        """Close kept connections."""
        if self._opening is None:
            return
        try:
            opened = await asyncio.shield(self._opening)
        except Exception:  # there is nothing to close, and who waited for it knows why
            return
        await opened.wire.close()
        await opened.kept.aclose()

    async def _open(self) -> "_Opened":
        """Once for all who wait; if it fails, again for the next who asks."""
        if self._opening is None or (self._opening.done() and _failed(self._opening)):
            opening = _open(self._account, self._timeouts, self._network, self._max_connections)
            self._opening = asyncio.create_task(opening)
            self._opening.add_done_callback(_failed)  # it may be that nobody waits for it any more
        return await asyncio.shield(self._opening)


def _failed(opening: "asyncio.Task[_Opened]") -> bool:
    return opening.cancelled() or opening.exception() is not None


@dataclass(slots=True)
class _Exchange:
    """One request under way."""

    dispatch: Dispatch
    large: Data | None = None
    answer: Answer | None = None


_current: ContextVar[_Exchange] = ContextVar("current_ses_exchange")


@dataclass(frozen=True, slots=True)
class _Opened:
    """`credentials` are those that expire and are fetched again, else null."""

    client: Any
    credentials: Any
    wire: HttpClient
    kept: AsyncExitStack


@cache
def load_library() -> SimpleNamespace:
    """AWS's library with what it knows of SES. It takes half a second: a thread is the place."""
    import aioboto3
    import aiobotocore.awsrequest
    import aiobotocore.session
    import botocore.config
    import botocore.exceptions
    import botocore.loaders

    for name in ("aioboto3", "aiobotocore", "boto3", "botocore"):  # their finer lines quote whole requests
        logging.getLogger(name).setLevel(logging.WARNING)
    loader = botocore.loaders.create_loader()  # one for all accounts: what it has read it keeps
    loader.load_service_model(SERVICE, "service-2")
    loader.load_data("endpoints")
    return SimpleNamespace(
        Session=aioboto3.Session,
        CoreSession=aiobotocore.session.AioSession,
        Response=aiobotocore.awsrequest.AioAWSResponse,
        Config=botocore.config.Config,
        errors=botocore.exceptions,
        loader=loader,
    )


async def _open(account: Account, timeouts: HttpTimeouts, network: Network, max_connections: int) -> _Opened:
    aws = await asyncio.to_thread(load_library)
    session = _session(aws, account)
    credentials = None if account.access_key_id else await _machines_own(session, timeouts.connect_s)
    config = aws.Config(
        retries={"total_max_attempts": 1, "mode": "standard"},  # a hidden retry is a hidden double
        ignore_configured_endpoint_urls=True,
        use_fips_endpoint=False,
        use_dualstack_endpoint=False,
    )
    kept = AsyncExitStack()
    try:
        client = await kept.enter_async_context(
            session.client(SERVICE, endpoint_url=account.endpoint or None, config=config)
        )
    except (aws.errors.BotoCoreError, ValueError) as error:
        raise ProviderBroken("aws_configuration", str(error)) from None
    base_url = client.meta.endpoint_url.rstrip("/")
    wire = HttpClient(base_url, timeouts, network, max_connections=max_connections)
    client.meta.events.register(f"before-call.{SERVICE}", _put_in_large)
    client.meta.events.register(f"before-send.{SERVICE}", _sender(wire, base_url, aws.Response))
    return _Opened(client, credentials, wire, kept)


def _session(aws: SimpleNamespace, account: Account) -> Any:
    """With keys of our own nothing that the environment or a file says about AWS counts."""
    variables = aws.CoreSession.SESSION_VARIABLES
    unseen = {name: (None, None, default, cast) for name, (_, _, default, cast) in variables.items()}
    unseen |= dict.fromkeys(("config_file", "credentials_file"), (None, None, None, None))
    core = aws.CoreSession(unseen if account.access_key_id else None)
    core.register_component("data_loader", aws.loader)
    return aws.Session(
        aws_access_key_id=account.access_key_id or None,
        aws_secret_access_key=account.secret_access_key or None,
        aws_session_token=account.session_token or None,
        region_name=account.region,
        botocore_session=core,
    )


async def _machines_own(session: Any, within_s: float) -> Any:
    """The credentials of this machine's role, its environment or its files."""
    found = await _asked_for(session.get_credentials, within_s)
    if found is None:
        raise ProviderBroken("no_credentials", "This machine has no AWS credentials of its own.")
    return found


async def _fresh(credentials: Any, within_s: float) -> None:
    """Fetch them again where they are about to expire."""
    await _asked_for(credentials.get_frozen_credentials, within_s)


async def _asked_for(fetch: Callable[[], Any], within_s: float) -> Any:
    errors = load_library().errors
    try:
        async with asyncio.timeout(within_s):
            return await fetch()
    except TimeoutError:
        raise ProviderDown("credentials_timeout", "AWS did not give us credentials in time.") from None
    except (errors.HTTPClientError, errors.MetadataRetrievalError, errors.CredentialRetrievalError) as error:
        raise ProviderDown("credentials_unreachable", str(error)) from None
    except Exception as error:  # each of AWS's many sources has errors of its own
        said = str(error) if isinstance(error, errors.BotoCoreError | errors.ClientError) else ""
        raise ProviderBroken("credentials_refused", said) from None


async def _put_in_large(params: dict[str, Any], **_: object) -> None:
    """The handler that sees a request when botocore has written it and has not signed it."""
    large = _current.get().large
    if large is not None:
        params["body"], digest = await asyncio.to_thread(filled, params["body"], large)
        params["headers"][DIGEST_HEADER] = digest


def _sender(wire: HttpClient, base_url: str, response_type: Callable[..., Any]) -> Callable[..., Any]:
    """The handler that sends what botocore has prepared and signed."""

    async def send(request: Any, **_: object) -> Any:
        exchange = _current.get()
        headers = {name: _text(value) for name, value in request.headers.items() if name.lower() not in _OURS}
        asked = Request(request.url.removeprefix(base_url), headers, request.body or b"", request.method)
        exchange.answer = answer = await wire.ask(asked, exchange.dispatch)
        return response_type(request.url, answer.status, dict(answer.headers), _Body(answer.body))

    return send


class _Body:
    """As botocore reads one."""

    def __init__(self, whole: bytes) -> None:
        self._whole = whole

    async def read(self) -> bytes:
        return self._whole


async def _hear(operation: Callable[..., Any], parameters: Mapping[str, Any], exchange: _Exchange) -> Heard:
    errors = load_library().errors
    try:
        return _heard(exchange, await operation(**parameters))
    except errors.ClientError as error:
        told = error.response["Error"]
        code = str(told.get("Code", ""))
        # A mere status is botocore's own word for an answer in which SES says nothing.
        return _heard(exchange, {}, "" if code.isdecimal() else code, str(told.get("Message", "")))
    except DeliveryError:
        raise
    except Exception as error:
        if exchange.answer is not None:
            return _heard(exchange, {})  # what came cannot be read
        if isinstance(error, errors.BotoCoreError):  # it would not even be asked for
            raise ProviderBroken("aws_configuration", str(error)) from None
        raise


def _heard(exchange: _Exchange, fields: Mapping[str, Any], code: str = "", message: str = "") -> Heard:
    if exchange.answer is None:
        raise RuntimeError("AWS's library has answered without our wire.")
    return Heard(exchange.answer, fields, code, message)


def _text(value: str | bytes) -> str:
    return value.decode("latin-1") if isinstance(value, bytes) else value
