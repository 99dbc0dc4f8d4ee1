"""Who signs what Amazon SES is asked: keys of ours and nothing else, or the machine's own role where it was chosen."""

import asyncio
import json
from collections.abc import AsyncIterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from janus_mail.providers.network import ANY
from janus_mail.providers.outcomes import ProviderBroken, ProviderDown
from janus_mail.providers.ses import SesAdapter
from janus_mail.providers.ses_config import SesConfig

from .conftest import SHORT_HTTP, Hold, fields_to, mail_of
from .fake_ses import BENCH, KEY_ID, REGION, SECRET_KEY, FakeSes
from .served import served

ROLE = {"access_key_id": None, "secret_access_key": None, "use_default_credentials": True}


class WithToken(FakeSes):
    session_token = "IQoJb3JpZ2luX2VjEJ"


OF_A_ROLE = replace(BENCH, fake=WithToken)


class Role:
    """Where a machine asks for the credentials of its role."""

    def __init__(self) -> None:
        self.lasts = timedelta(hours=6)
        self.asked = 0
        self.refuses = False
        self.hangs = False

    async def start(self) -> str:
        self._server = await asyncio.start_server(self._answer, "127.0.0.1", 0)
        return f"http://127.0.0.1:{self._server.sockets[0].getsockname()[1]}/role"

    async def _answer(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            await reader.readuntil(b"\r\n\r\n")
        except asyncio.IncompleteReadError:  # it gave up before it asked
            return
        self.asked += 1
        until = (datetime.now(UTC) + self.lasts).isoformat(timespec="seconds")
        body = json.dumps(
            {
                "AccessKeyId": KEY_ID,
                "SecretAccessKey": SECRET_KEY,
                "Token": WithToken.session_token,
                "Expiration": until,
            }
        )
        if self.refuses:
            body = "{}"
        if self.hangs:
            await reader.read()
        writer.write(f"HTTP/1.1 200 OK\r\nContent-Length: {len(body)}\r\nConnection: close\r\n\r\n{body}".encode())
        await writer.drain()
        writer.close()

    def stop(self) -> None:
        self._server.close()


@pytest.fixture
async def role(monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Role]:
    """The machine has nothing else to show to AWS."""
    found = Role()
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN", "AWS_PROFILE"):
        monkeypatch.delenv(name, raising=False)
    for name in ("AWS_CONFIG_FILE", "AWS_SHARED_CREDENTIALS_FILE", "BOTO_CONFIG"):
        monkeypatch.setenv(name, "/nowhere/at/all")
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    monkeypatch.setenv("AWS_CONTAINER_CREDENTIALS_FULL_URI", await found.start())
    yield found
    found.stop()


async def test_a_session_token_goes_along_and_is_signed() -> None:
    async with served(OF_A_ROLE, session_token=WithToken.session_token) as (server, adapter):
        await adapter.send(mail_of(fields_to()), Hold())
        assert "x-amz-security-token" in server.requests[0].headers["authorization"]
    async with served(OF_A_ROLE) as (_, adapter):
        with pytest.raises(ProviderBroken):
            await adapter.send(mail_of(fields_to()), Hold())


async def test_with_keys_of_ours_what_the_machine_says_about_aws_counts_for_nothing(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    said = {
        "ACCESS_KEY_ID": "AKIAOFTHEMACHINE", "SECRET_ACCESS_KEY": "other", "SESSION_TOKEN": "other", "PROFILE": "none",
        "ENDPOINT_URL": "http://127.0.0.1:9", "REGION": "us-east-1", "USE_FIPS_ENDPOINT": "true",
        "CONFIG_FILE": __file__, "SHARED_CREDENTIALS_FILE": __file__, "MAX_ATTEMPTS": "5",
    }  # fmt: skip
    for name, value in said.items():
        monkeypatch.setenv(f"AWS_{name}", value)
    async with served(BENCH) as (server, adapter):
        await adapter.send(mail_of(fields_to()), Hold())
        assert len(server.ledger) == 1


async def test_the_machines_own_role_signs_where_it_is_asked_to(role: Role) -> None:
    async with served(OF_A_ROLE, **ROLE) as (server, adapter):
        for _ in range(3):
            await adapter.send(mail_of(fields_to()), Hold())
        assert (len(server.ledger), role.asked) == (3, 1)


async def test_a_role_that_is_about_to_end_is_asked_for_again(role: Role) -> None:
    role.lasts = timedelta(minutes=5)
    async with served(OF_A_ROLE, **ROLE) as (server, adapter):
        for _ in range(2):
            await adapter.send(mail_of(fields_to()), Hold())
        assert len(server.ledger) == 2
        assert role.asked >= 3


async def test_without_any_role_nothing_leaves_until_there_is_one(role: Role, monkeypatch: pytest.MonkeyPatch) -> None:
    async with served(OF_A_ROLE, **ROLE) as (server, adapter):
        role.refuses = True
        sends = (adapter.send(mail_of(fields_to()), Hold()) for _ in range(10))
        ended = await asyncio.gather(*sends, return_exceptions=True)
        assert {type(one) for one in ended} == {ProviderBroken}
        assert role.asked == 1  # for all of them together
        with monkeypatch.context() as without:
            without.delenv("AWS_CONTAINER_CREDENTIALS_FULL_URI")
            with pytest.raises(ProviderBroken) as raised:
                await adapter.send(mail_of(fields_to()), Hold())
        assert (raised.value.code, raised.value.scope) == ("no_credentials", "provider")
        assert server.connections == 0
        role.refuses = False
        await adapter.send(mail_of(fields_to()), Hold())
        assert len(server.ledger) == 1


async def test_a_role_that_does_not_answer_means_that_the_provider_is_down(role: Role) -> None:
    role.hangs = True
    config = SesConfig(region=REGION, use_default_credentials=True)
    adapter = SesAdapter(config, timeouts=replace(SHORT_HTTP, connect_s=0.3), network=ANY)
    with pytest.raises(ProviderDown):
        await adapter.send(mail_of(fields_to()), Hold())
    await adapter.close()
