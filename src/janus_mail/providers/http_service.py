"""The adapter of every service over HTTP: what one is told and answers is said by a `Service`, all data and pure
functions; how it is asked, at most once, is the same for all."""

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, Generic, TypeVar

import orjson

from janus_mail.providers.contract import Accepted, Adapter, Dispatch, Fields, Mail, Verified
from janus_mail.providers.http_client import HttpClient
from janus_mail.providers.http_client import Request as Request
from janus_mail.providers.http_config import HttpConfig
from janus_mail.providers.http_replies import Answer, Problem, Row, classify
from janus_mail.providers.kind import Kind
from janus_mail.providers.limits import Limits, keep_within
from janus_mail.providers.network import PUBLIC, Network
from janus_mail.providers.one_line import refuse_line_breaks
from janus_mail.providers.outcomes import DeliveryError, PolicyRejected, ProviderDown, Uncertain
from janus_mail.providers.timeouts import HttpTimeouts

C = TypeVar("C", bound=HttpConfig)

_LARGE_BYTES = 256 * 1024  # of files; encoding more takes long enough for others to notice


@dataclass(frozen=True, kw_only=True)
class Service(Generic[C]):
    """One email service over HTTP.

    `request` builds the request of a mail that is within `limits` (raises `PolicyRejected` for what else it cannot
    express); `accepted` reads the service's own success, or the refusal that it sends in a success's clothes, and is
    None for any other answer; `problems` reads its error body, and `rows` say what that means. `check` is its cheapest
    request that needs valid credentials, `verified` reads the answer to it and is None where that is no yes. With an
    `idempotent` service a request of which nobody knows what became is repeated under the same key.
    """

    kind: str
    label: str
    about: str
    config: type[C]
    base_url: Callable[[C], str]
    request: Callable[[C, Mail, Fields], Request]
    accepted: Callable[[C, Mail, Answer], Accepted | DeliveryError | None]
    problems: Callable[[Answer], Sequence[Problem]]
    rows: tuple[Row, ...] = ()
    limits: Limits = field(default_factory=Limits)
    reset_header: str = ""  # in lower case: when it takes requests again, where that is not Retry-After
    check: Callable[[C], Request]
    verified: Callable[[Answer], Verified | None]
    idempotent: bool = False

    def as_kind(self) -> Kind:
        return Kind(
            self.kind, self.label, self.about, self.config,
            lambda config, timeouts, network: HttpAdapter(self, config, timeouts=timeouts.http, network=network),
            self.limits,
        )  # fmt: skip


class HttpAdapter(Adapter, Generic[C]):
    """One account at one service. Made and used within one event loop."""

    def __init__(self, service: Service[C], config: C, *, timeouts: HttpTimeouts, network: Network = PUBLIC) -> None:
        self._service = service
        self._config = config
        self._again_after_s = timeouts.again_after_s
        self.base_url = config.endpoint or service.base_url(config)
        self._client = HttpClient(self.base_url, timeouts, network, max_connections=config.max_connections)

    async def send(self, mail: Mail, dispatch: Dispatch) -> Accepted:
        fields = mail.fields()
        whole_group(mail, fields)
        refuse_line_breaks(fields)
        keep_within(self._service.limits, mail, fields)
        request = await self._request_of(mail, fields)
        try:
            return await self._ask(request, mail, dispatch)
        except Uncertain as doubt:
            if not self._service.idempotent:
                raise
            return await self._ask_again(request, mail, dispatch, doubt)

    async def verify(self) -> Verified:
        service = self._service
        try:
            answer = await self._client.ask(service.check(self._config), NOTHING_LEAVES)
        except Uncertain as error:  # no mail is in it, so nothing is in doubt
            raise ProviderDown(error.code, error.response) from None
        found = service.verified(answer)
        if found is None:
            meaning = self._meaning(answer)
            raise ProviderDown(meaning.code, meaning.response) if isinstance(meaning, Uncertain) else meaning
        return found

    async def close(self) -> None:
        await self._client.close()

    async def _request_of(self, mail: Mail, fields: Fields) -> Request:
        """Of a large mail in a thread: other mail leaves meanwhile."""
        service = self._service
        if sum(len(file.content) for file in fields.attachments) > _LARGE_BYTES:
            request = await asyncio.to_thread(service.request, self._config, mail, fields)
        else:
            request = service.request(self._config, mail, fields)
        if service.limits.octets is not None and len(request.body) > service.limits.octets:
            raise PolicyRejected("too_large", f"{len(request.body)} bytes")
        return request

    async def _ask(self, request: Request, mail: Mail, dispatch: Dispatch) -> Accepted:
        answer = await self._client.ask(request, dispatch)
        ended = self._service.accepted(self._config, mail, answer) or self._meaning(answer)
        if isinstance(ended, Accepted):
            return ended
        raise ended

    async def _ask_again(self, request: Request, mail: Mail, dispatch: Dispatch, doubt: Uncertain) -> Accepted:
        """The service knows the key: it takes the mail if it has not, and else says again what it said. Whatever it
        says instead is about the repetition, and leaves the first request in doubt."""
        for pause_s in self._again_after_s:
            await asyncio.sleep(pause_s)
            try:
                return await self._ask(request, mail, _Begun(dispatch))
            except DeliveryError:
                pass  # the doubt stays
        raise doubt

    def _meaning(self, answer: Answer) -> DeliveryError:
        service = self._service
        return classify(answer, service.problems(answer), service.rows, reset_header=service.reset_header)


class _Begun(Dispatch):
    """Of a try that has begun: what follows in it is not begun again."""

    def __init__(self, dispatch: Dispatch) -> None:
        self._dispatch = dispatch

    def under_way(self) -> None:
        """It is."""

    async def begin_ahead(self) -> None:
        """It has begun."""

    async def before_dispatch(self) -> None:
        """It has begun."""

    def before_last_byte(self) -> None:
        self._dispatch.before_last_byte()


class _NothingLeaves(_Begun):
    """For requests without a mail."""

    def __init__(self) -> None:
        """Holds nothing."""

    def before_last_byte(self) -> None:
        """May be written."""


NOTHING_LEAVES = _NothingLeaves()


def whole_group(mail: Mail, fields: Fields) -> None:
    """Refuse a group some of whom have the mail already: these services write to everyone whom a mail names, and one
    that named only the rest would not be the same mail. Raises `PolicyRejected`."""
    unresolved = set(mail.recipients)
    if any(address.email not in unresolved for address in (*fields.to, *fields.cc, *fields.bcc)):
        raise PolicyRejected("group_partly_sent", "It cannot write to a part of a group.")


def json_of(answer: Answer) -> Any:
    """Its body as JSON; None where it is none, or is not whole."""
    try:
        return orjson.loads(answer.body) if answer.whole else None
    except orjson.JSONDecodeError:
        return None
