"""The `smtp` kind: any SMTP server, over kept connections."""

import ssl

from janus_mail.providers.contract import Accepted, Adapter, Dispatch, Mail, Verified
from janus_mail.providers.kind import Kind
from janus_mail.providers.limits import Limits
from janus_mail.providers.network import PUBLIC, Network
from janus_mail.providers.smtp_config import SmtpConfig
from janus_mail.providers.smtp_letter import Letter, letter_from
from janus_mail.providers.smtp_opening import SmtpTimeouts, open_wire
from janus_mail.providers.smtp_pool import GOODBYE_S, SmtpPool
from janus_mail.providers.smtp_replies import enhanced_code
from janus_mail.providers.smtp_session import LostBeforeBody, SmtpSession

RFC_TIMEOUTS = SmtpTimeouts()


class SmtpAdapter(Adapter):
    """Made and used within one event loop."""

    def __init__(self, config: SmtpConfig, *, timeouts: SmtpTimeouts = RFC_TIMEOUTS, network: Network = PUBLIC) -> None:
        self._config = config
        self._network = network
        self._timeouts = timeouts
        self._tls: ssl.SSLContext | None = None
        self._pool = SmtpPool(
            size=config.max_connections,
            mails_per_session=config.max_mails_per_connection,
            idle_timeout_s=config.idle_timeout_s,
            wait_s=timeouts.pool_s,
        )

    async def send(self, mail: Mail, dispatch: Dispatch) -> Accepted:
        letter = letter_from(mail)
        await self._pool.acquire(meanwhile=dispatch.begin_ahead)
        dispatch.under_way()
        try:
            kept = self._pool.take_idle()
            if kept is not None:
                try:
                    return await self._deliver(kept, letter, dispatch)
                except LostBeforeBody:
                    pass  # the end of an old connection says nothing about the provider: once more on a fresh one
            try:
                return await self._deliver(await self._open(), letter, dispatch)
            except LostBeforeBody as lost:
                raise lost.error from None
        finally:
            self._pool.release()

    async def verify(self) -> Verified:
        """Up to where MAIL would come, on a connection of its own: connect, EHLO, TLS, AUTH; then QUIT."""
        wire, _ = await open_wire(self._config, self._timeouts, self._tls_context, self._network)
        said = wire.said
        assert said is not None  # noqa: S101  (it greeted us)
        try:
            wire.quit()
            await wire.wait_closed(GOODBYE_S)
        finally:
            wire.abort()
        return Verified(f"{said.code} {enhanced_code(said.text)}".rstrip(), " ".join(said.text.split()))

    async def close(self) -> None:
        await self._pool.close()

    async def _deliver(self, session: SmtpSession, letter: Letter, dispatch: Dispatch) -> Accepted:
        try:
            return await session.deliver(letter, dispatch)
        finally:
            self._pool.put_back(session)

    async def _open(self) -> SmtpSession:
        wire, offers = await open_wire(self._config, self._timeouts, self._tls_context, self._network)
        return SmtpSession(wire, offers, self._timeouts)

    def _tls_context(self) -> ssl.SSLContext:
        """Made when first needed, and once: reading the certificate authorities takes tens of milliseconds."""
        if self._tls is None:
            self._tls = ssl.create_default_context()
            if not self._config.verify_certificate:
                self._tls.check_hostname = False
                self._tls.verify_mode = ssl.CERT_NONE
        return self._tls


KIND = Kind(
    "smtp",
    "SMTP",
    "Any server that speaks SMTP: your own, Gmail, Microsoft 365, or a service's.",
    SmtpConfig,
    lambda config, timeouts, network: SmtpAdapter(config, timeouts=timeouts.smtp, network=network),
    Limits(utf8_mailboxes=True),  # where the server offers it, which it says itself
    destination=frozenset({"preset", "host", "port", "security", "verify_certificate"}),
)
