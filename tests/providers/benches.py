"""The bench of each service over HTTP, and what the tests of the adapters' contract are written with."""

import importlib
from collections.abc import Awaitable, Callable

import pytest

from janus_mail.providers.contract import Accepted, Adapter, Fields
from janus_mail.providers.outcomes import DeliveryError
from janus_mail.providers.registry import KINDS

from .bench import Bench
from .conftest import Hold, fields_to, mail_of
from .fake_http import FakeHttp


def _bench(kind: str) -> Bench:
    bench: Bench = importlib.import_module(f"tests.providers.fake_{kind}").BENCH
    return bench


BENCHES = [_bench(kind) for kind in KINDS if kind != "smtp"]
each = pytest.mark.parametrize("bench", BENCHES, ids=lambda bench: bench.kind)

ServeHttp = Callable[..., Awaitable[FakeHttp]]
ConnectHttp = Callable[..., Adapter]


async def ended(adapter: Adapter, fields: Fields | None = None, hold: Hold | None = None) -> Accepted | DeliveryError:
    try:
        return await adapter.send(mail_of(fields or fields_to()), hold or Hold())
    except DeliveryError as error:
        return error


async def refused(adapter: Adapter, fields: Fields | None = None, hold: Hold | None = None) -> DeliveryError:
    error = await ended(adapter, fields, hold)
    assert isinstance(error, DeliveryError), error
    return error
