"""A service on loopback and an adapter to it, for tests of one kind."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any, NamedTuple

from janus_mail.providers.contract import Adapter
from janus_mail.providers.network import ANY
from janus_mail.providers.registry import adapter_for
from janus_mail.providers.timeouts import Timeouts

from .bench import Bench
from .conftest import SHORT_HTTP
from .fake_http import FakeHttp, Step


class Served(NamedTuple):
    server: FakeHttp
    adapter: Adapter


@asynccontextmanager
async def served(bench: Bench, *steps: Step, **config: Any) -> AsyncIterator[Served]:
    """Both, until the block ends. `steps` is the service's script, `config` what the adapter's differs in."""
    server = bench.fake()
    server.script(*steps)
    await server.start()
    given = {**bench.config, "endpoint": server.url, **config}
    adapter = adapter_for(bench.kind, given, timeouts=Timeouts(http=SHORT_HTTP), network=ANY)
    try:
        yield Served(server, adapter)
    finally:
        await adapter.close()
        await server.stop()
