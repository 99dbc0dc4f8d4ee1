"""From nothing to a session: TCP, banner, EHLO, TLS, EHLO again, AUTH."""

import asyncio
import base64
import hmac
import ipaddress
import socket
import ssl
from collections.abc import Callable
from dataclasses import dataclass

from janus_mail.providers.network import Network
from janus_mail.providers.outcomes import ProviderBroken
from janus_mail.providers.smtp_config import SmtpConfig
from janus_mail.providers.smtp_replies import Step, classify, classify_cut
from janus_mail.providers.smtp_wire import Cut, Reply, Wire

TlsContext = Callable[[], ssl.SSLContext]


@dataclass(frozen=True, slots=True)
class SmtpTimeouts:
    """How long each wait may last. The defaults are RFC 5321 4.5.3.2's where it names one."""

    connect_s: float = 30.0  # name look-up and TCP; and the TLS handshake
    greeting_s: float = 300.0  # banner, EHLO, STARTTLS and AUTH, each
    mail_s: float = 300.0
    rcpt_s: float = 300.0
    data_s: float = 120.0  # the 354
    block_s: float = 180.0  # one block of the body
    dot_s: float = 600.0  # the final reply
    pool_s: float = 30.0  # waiting for a connection while all are busy; then the provider is down for that mail


@dataclass(frozen=True, slots=True)
class Offers:
    """What the server's EHLO offered."""

    pipelining: bool = False
    smtputf8: bool = False
    eightbitmime: bool = False
    starttls: bool = False
    size: int | None = None  # RFC 1870: None where the server sets no limit or says none
    takes_size: bool = False
    auth: frozenset[str] = frozenset()


async def open_wire(
    config: SmtpConfig, timeouts: SmtpTimeouts, tls: TlsContext, network: Network
) -> tuple[Wire, Offers]:
    """A connection ready for MAIL. Raises `ProviderDown` or `ProviderBroken`."""
    wire = await _connect(config, timeouts, network)
    opening = _Opening(wire, config, timeouts, tls)
    try:
        return wire, await opening.run()
    except Cut as cut:
        raise classify_cut(opening.step, cut.code, cut.response) from None
    finally:
        if not opening.done:  # also when it was canceled
            wire.abort()


async def _connect(config: SmtpConfig, timeouts: SmtpTimeouts, network: Network) -> Wire:
    try:
        async with asyncio.timeout(timeouts.connect_s):
            connected = await network.connect(config.host, config.port)
            _, wire = await asyncio.get_running_loop().create_connection(Wire, sock=connected)
    except TimeoutError:
        raise classify_cut(Step.CONNECT, "timeout") from None
    except ConnectionRefusedError:
        raise classify_cut(Step.CONNECT, "connection_refused") from None
    except (socket.gaierror, UnicodeError) as error:
        raise classify_cut(Step.CONNECT, "host_not_found", str(error)) from None
    except OSError as error:
        raise classify_cut(Step.CONNECT, "connect_failed", str(error)) from None
    return wire


class _Opening:
    """The dialogue before the first mail; `step` tells where it is."""

    def __init__(self, wire: Wire, config: SmtpConfig, timeouts: SmtpTimeouts, tls: TlsContext) -> None:
        self._wire = wire
        self._config = config
        self._timeouts = timeouts
        self._tls = tls
        self.step = Step.CONNECT
        self.done = False

    async def run(self) -> Offers:
        if self._config.security == "tls":
            await self._start_tls()
        banner = await self._wire.reply(self._timeouts.greeting_s)
        if not banner.positive:
            raise classify(Step.CONNECT, banner.code, banner.text)
        offers = await self._hello()
        if self._config.security == "starttls":
            await self._upgrade(offers)
            offers = await self._hello()  # what was said before TLS may be forged, so it is forgotten
        if self._config.login is not None:
            self.step = Step.AUTH
            await self._authenticate(offers, *self._config.login)
        self.done = True
        return offers

    async def _hello(self) -> Offers:
        self.step = Step.EHLO
        name = self._config.local_hostname or _own_name(self._wire.local_address)
        reply = await self._ask(f"EHLO {name}")
        if reply.code >= 500:
            reply = await self._ask(f"HELO {name}")
            if reply.positive:
                return Offers()
        if not reply.positive:
            raise classify(Step.EHLO, reply.code, reply.text)
        return _offers_in(reply)

    async def _upgrade(self, offers: Offers) -> None:
        self.step = Step.STARTTLS
        if not offers.starttls:
            raise ProviderBroken("starttls_not_offered")
        reply = await self._ask("STARTTLS")
        if not reply.positive:
            raise classify(Step.STARTTLS, reply.code, reply.text)
        await self._start_tls()

    async def _start_tls(self) -> None:
        await self._wire.start_tls(self._tls(), self._config.host, self._timeouts.connect_s)

    async def _authenticate(self, offers: Offers, username: str, password: str) -> None:
        # Readable on the wire (security «none», chosen by a person) a challenge is better than the password itself.
        preferred = (
            ("CRAM-MD5", "PLAIN", "LOGIN") if self._config.security == "none" else ("PLAIN", "LOGIN", "CRAM-MD5")
        )
        mechanism = next((name for name in preferred if name in offers.auth), None)
        if mechanism is None:
            raise ProviderBroken("auth_not_offered", " ".join(sorted(offers.auth)))
        command, answers = _exchange(mechanism, username, password)
        reply = await self._ask(command)
        for answer in answers:
            if reply.code != 334:
                break
            reply = await self._ask(answer(reply.text))
        if not reply.positive:
            raise classify(Step.AUTH, reply.code, _without_secrets(reply.text, username, password))

    async def _ask(self, line: str) -> Reply:
        self._wire.send(line.encode() + b"\r\n", 1)
        return await self._wire.reply(self._timeouts.greeting_s)


def _offers_in(reply: Reply) -> Offers:
    words = [line.upper().replace("AUTH=", "AUTH ").split() for line in reply.text.split("\n")[1:]]
    found = {line[0]: line[1:] for line in words if line}
    limit = found["SIZE"][0] if found.get("SIZE") else ""
    auth = frozenset(name for line in words if line and line[0] == "AUTH" for name in line[1:])
    return Offers(
        pipelining="PIPELINING" in found,
        smtputf8="SMTPUTF8" in found,
        eightbitmime="8BITMIME" in found,
        starttls="STARTTLS" in found,
        size=(int(limit) or None) if limit.isascii() and limit.isdigit() else None,
        takes_size="SIZE" in found,
        auth=auth,
    )


def _own_name(address: str) -> str:
    """RFC 5321 4.1.4: a full name, or else an address literal."""
    name = socket.gethostname()
    if "." in name and name.isascii():
        return name
    ip = ipaddress.ip_address(address.partition("%")[0])
    return f"[IPv6:{ip}]" if ip.version == 6 else f"[{ip}]"


def _exchange(mechanism: str, username: str, password: str) -> tuple[str, list[Callable[[str], str]]]:
    """The AUTH command and what is answered to each 334 (RFC 4616, RFC 4954, RFC 2195)."""
    if mechanism == "PLAIN":
        response = _base64(f"\0{username}\0{password}")
        return f"AUTH PLAIN {response}", []
    if mechanism == "LOGIN":
        return "AUTH LOGIN", [lambda _: _base64(username), lambda _: _base64(password)]

    def answer(challenge: str) -> str:
        try:
            digest = hmac.digest(password.encode(), base64.b64decode(challenge), "md5").hex()
        except ValueError:
            raise Cut("bad_reply", challenge) from None
        return _base64(f"{username} {digest}")

    return "AUTH CRAM-MD5", [answer]


def _base64(text: str) -> str:
    return base64.b64encode(text.encode()).decode()


def _without_secrets(text: str, username: str, password: str) -> str:
    """Some servers repeat the line that they did not like."""
    for secret in (_base64(f"\0{username}\0{password}"), _base64(password), password):
        text = text.replace(secret, "••••")
    return text
