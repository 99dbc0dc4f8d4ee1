"""The same network as httpcore wants it."""

import asyncio
from collections.abc import Iterable

import httpcore
from anyio.abc import SocketStream
from httpcore._backends.anyio import AnyIOStream  # which it does not export, and makes of names alone

from janus_mail.providers.network import Network


class HttpNetwork(httpcore.AnyIOBackend):
    """Opens connections to what may be reached. Raises `ProviderBroken` for what may not, besides httpcore's errors."""

    def __init__(self, network: Network) -> None:
        self._network = network

    async def connect_tcp(
        self,
        host: str,
        port: int,
        timeout: float | None = None,
        local_address: str | None = None,
        socket_options: Iterable[httpcore.SOCKET_OPTION] | None = None,
    ) -> httpcore.AsyncNetworkStream:
        try:
            async with asyncio.timeout(timeout):
                connected = await self._network.connect(host, port)
        except TimeoutError as error:
            raise httpcore.ConnectTimeout(str(error)) from error
        except (OSError, UnicodeError) as error:
            raise httpcore.ConnectError(str(error)) from error
        return AnyIOStream(await SocketStream.from_socket(connected))
