"""A worker's `GET /metrics`. In a thread of its own: it answers also while the event loop is busy or stuck."""

import asyncio
import logging
import threading
from collections.abc import Callable, Coroutine, Sequence
from functools import partial
from typing import Any, Final, TypeAlias
from wsgiref.simple_server import WSGIServer

from prometheus_client import Metric, start_http_server

from janus_mail.telemetry.metrics import APIS_OWN, registry_with

Read: TypeAlias = Callable[[], Coroutine[Any, Any, Sequence[Metric]]]

_PATIENCE_S: Final = 2.5
_RETRY_S: Final = 5.0

_log = logging.getLogger(__name__)


async def serve_metrics(host: str, port: int, read: Read) -> None:
    """Serve until cancelled: this process's metrics, and what `read` answers, awaited on this event loop.

    A port that is taken is tried again, so that of several workers with one port the next takes over when the first
    ends. In prometheus-client's multi-process mode the one that has it answers for all.
    """
    registry = registry_with(partial(_asked, asyncio.get_running_loop(), read), without=APIS_OWN)
    warned = False
    while True:
        try:
            server, thread = start_http_server(port, host, registry)
            break
        except OSError as error:
            if not warned:
                _log.warning("JANUS_METRICS_PORT: %d cannot be used (%s); trying again", port, error.strerror)
            warned = True
        await asyncio.sleep(_RETRY_S)
    try:
        await asyncio.Event().wait()
    finally:
        await asyncio.to_thread(_close, server, thread)


def _asked(loop: asyncio.AbstractEventLoop, read: Read) -> Sequence[Metric]:
    """In the server's thread."""
    asked = asyncio.run_coroutine_threadsafe(read(), loop)
    try:
        return asked.result(_PATIENCE_S)
    except TimeoutError:  # the event loop is stuck, which is when the process's own metrics are wanted most
        asked.cancel()
        return ()


def _close(server: WSGIServer, thread: threading.Thread) -> None:
    server.shutdown()
    thread.join()
    server.server_close()
