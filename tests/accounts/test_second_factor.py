"""The second factor: codes of an app and recovery codes, each good for one time."""

import asyncio
import base64
import uuid
from collections.abc import Iterator
from urllib.parse import unquote

import pyotp
import pytest
import time_machine
from cryptography.fernet import Fernet

from janus_mail.accounts import second_factor
from janus_mail.accounts.rotate import rotate_accounts
from janus_mail.accounts.second_factor import RECOVERY_CODES, take_code
from janus_mail.audit.actors import SYSTEM
from janus_mail.errors import Conflict, InvalidInput
from janus_mail.routing.rotate import Rotated
from janus_mail.storage.database import Database
from janus_mail.storage.secrets import SecretBox
from tests.accounts.blocked import until_blocked
from tests.conftest import TEST_KEY
from tests.people import add_person

NOON = 1_800_000_000  # on a full half minute
BOX = SecretBox([TEST_KEY])


@pytest.fixture
def clock() -> Iterator[time_machine.Traveller]:
    with time_machine.travel(NOON, tick=False) as traveller:
        yield traveller


class App:
    """Somebody with an app that shows codes."""

    def __init__(self, database: Database, user_id: uuid.UUID) -> None:
        self.database, self.user_id, self.secret = database, user_id, ""

    async def begin(self) -> None:
        async with self.database.transaction() as connection:
            await second_factor.begin(connection, BOX, self.user_id)
            told = await second_factor.pending(connection, BOX, self.user_id, "mara@example.com")
        assert told is not None
        self.secret = told.secret.replace(" ", "")

    async def confirm(self, code: str) -> list[str]:
        async with self.database.transaction() as connection:
            return await second_factor.confirm(connection, BOX, SYSTEM, self.user_id, code)

    async def take(self, code: str, box: SecretBox = BOX) -> bool:
        async with self.database.transaction() as connection:
            return await take_code(connection, box, self.user_id, code)

    def code(self, steps: int = 0) -> str:
        return pyotp.TOTP(self.secret).generate_otp(NOON // 30 + steps)


@pytest.fixture
async def app(database: Database, clock: time_machine.Traveller) -> App:
    """With a second factor in force whose first code was an old one."""
    app = App(database, await add_person(database, "mara@example.com"))
    await app.begin()
    await app.confirm(app.code(-1))
    return app


async def test_the_picture_is_one_that_the_pages_may_show_and_the_secret_can_be_typed(database: Database) -> None:
    user_id = await add_person(database, "mara@example.com")
    async with database.transaction() as connection:
        assert await second_factor.pending(connection, BOX, user_id, "mara@example.com") is None
        await second_factor.begin(connection, BOX, user_id)
        told = await second_factor.pending(connection, BOX, user_id, "mara@example.com")
    assert told is not None
    assert told.qr.startswith("data:image/svg+xml;")
    assert "style" not in unquote(told.qr)
    assert len(base64.b32decode(told.secret.replace(" ", ""))) >= 20


async def test_the_secret_is_stored_sealed_and_recovery_codes_as_digests(app: App) -> None:
    row = await app.database.pool.fetchrow("SELECT * FROM users WHERE id = $1", app.user_id)
    assert row is not None
    assert app.secret.encode() not in row["totp_secret"]
    digests = await app.database.pool.fetch("SELECT digest FROM recovery_codes WHERE user_id = $1", app.user_id)
    assert len(digests) == RECOVERY_CODES
    assert all(len(one["digest"]) == 32 for one in digests)


async def test_nothing_is_in_force_before_the_first_code(database: Database, clock: time_machine.Traveller) -> None:
    app = App(database, await add_person(database, "mara@example.com"))
    await app.begin()
    assert not await app.take(app.code())
    with pytest.raises(InvalidInput) as refused:
        await app.confirm("000000")
    assert refused.value.code == "wrong_code"
    codes = await app.confirm(app.code())
    assert len(set(codes)) == RECOVERY_CODES
    assert all(len(code.replace("-", "")) * 5 >= 64 for code in codes)
    assert not await app.take(app.code())  # the code that confirmed it is used up


async def test_a_second_secret_before_the_first_code_makes_the_first_worthless(
    database: Database, clock: time_machine.Traveller
) -> None:
    app = App(database, await add_person(database, "mara@example.com"))
    await app.begin()
    early = app.code()
    await app.begin()
    with pytest.raises(InvalidInput):
        await app.confirm(early)


async def test_a_secret_that_is_replaced_while_its_code_comes_is_not_confirmed(
    database: Database, clock: time_machine.Traveller
) -> None:
    app = App(database, await add_person(database, "mara@example.com"))
    await app.begin()
    async with database.transaction() as connection:
        await second_factor.begin(connection, BOX, app.user_id)
        late = asyncio.create_task(app.confirm(app.code()))
        await until_blocked(database, 1)
    with pytest.raises(InvalidInput):
        await late


async def test_what_is_in_force_is_not_replaced(app: App) -> None:
    with pytest.raises(Conflict):
        await app.begin()
    with pytest.raises(Conflict):
        await app.confirm(app.code())


@pytest.mark.parametrize(
    ("steps", "fits"), [(-2, False), (0, True), (1, True), (2, False)], ids=["old", "now", "next", "early"]
)
async def test_a_clock_may_be_half_a_minute_wrong(app: App, steps: int, fits: bool) -> None:
    assert await app.take(app.code(steps)) is fits


async def test_a_code_counts_once_and_none_before_it_afterwards(app: App) -> None:
    assert await app.take(app.code(1))
    assert not await app.take(app.code(1))
    assert not await app.take(app.code(0))


async def test_of_two_who_come_with_the_same_code_one_gets_in(app: App) -> None:
    assert sorted(await asyncio.gather(*(app.take(app.code()) for _ in range(4)))) == [False, False, False, True]


@pytest.mark.parametrize("way", ["{0} {1}", " {0}{1}\n", "{0}-{1}"], ids=["blank", "around", "hyphen"])
async def test_blanks_and_hyphens_in_a_code_do_not_matter(app: App, way: str) -> None:
    code = app.code()
    assert await app.take(way.format(code[:3], code[3:]))


@pytest.mark.parametrize(
    "code",
    ["", " ", "000000", "1", "0" * 100_000, "١٢٣٤٥٦", "\0", "\ud800", "-" * 40],
    ids=["none", "blank", "zeros", "short", "long", "digits of another script", "nul", "surrogate", "hyphens"],
)
async def test_what_is_no_code_opens_nothing(app: App, code: str) -> None:
    assert not await app.take(code)


async def test_a_recovery_code_stands_in_once_however_it_is_typed(app: App) -> None:
    async with app.database.transaction() as connection:
        codes = await second_factor.renew_codes(connection, SYSTEM, app.user_id)
    assert await app.take(codes[0].upper().replace("-", " "))
    assert not await app.take(codes[0])
    async with app.database.transaction() as connection:
        assert await take_code(connection, BOX, app.user_id, codes[1])
        second = asyncio.create_task(app.take(codes[1]))
        await until_blocked(app.database, 1)
    assert not await second
    async with app.database.transaction() as connection:
        assert (await second_factor.standing(connection, app.user_id)).codes_left == RECOVERY_CODES - 2


async def test_new_recovery_codes_end_the_old_ones(app: App) -> None:
    async with app.database.transaction() as connection:
        old = await second_factor.renew_codes(connection, SYSTEM, app.user_id)
        new = await second_factor.renew_codes(connection, SYSTEM, app.user_id)
    assert not await app.take(old[0])
    assert await app.take(new[0])


async def test_anothers_recovery_code_opens_nothing(app: App) -> None:
    other = App(app.database, await add_person(app.database, "other@example.com"))
    await other.begin()
    codes = await other.confirm(other.code())
    assert not await app.take(codes[0])


async def test_switched_off_no_code_is_taken_and_none_is_kept(app: App) -> None:
    async with app.database.transaction() as connection:
        codes = await second_factor.renew_codes(connection, SYSTEM, app.user_id)
        await second_factor.switch_off(connection, SYSTEM, app.user_id, name="mara@example.com")
        assert not (await second_factor.standing(connection, app.user_id)).in_force
    assert not await app.take(app.code())
    assert not await app.take(codes[0])
    assert await app.database.pool.fetchval("SELECT totp_secret FROM users WHERE id = $1", app.user_id) is None


async def test_where_the_key_of_the_secret_is_gone_a_recovery_code_still_opens(app: App) -> None:
    async with app.database.transaction() as connection:
        codes = await second_factor.renew_codes(connection, SYSTEM, app.user_id)
    other = SecretBox([base64.urlsafe_b64encode(bytes(32)).decode()])
    assert not await app.take(app.code(), other)
    assert await app.take(codes[0], other)


async def test_each_change_is_in_the_audit_log_without_a_secret(app: App) -> None:
    async with app.database.transaction() as connection:
        codes = await second_factor.renew_codes(connection, SYSTEM, app.user_id)
        await second_factor.switch_off(connection, SYSTEM, app.user_id, name="mara@example.com")
    rows = await app.database.pool.fetch("SELECT action, audit_log::text AS said FROM audit_log ORDER BY id")
    done = ["second_factor.switched_on", "second_factor.codes_renewed", "second_factor.switched_off"]
    assert [row["action"] for row in rows] == done
    assert not any(secret in row["said"] for row in rows for secret in (app.secret, *codes))


async def test_secrets_are_sealed_anew_with_the_first_key_and_open_the_same(app: App) -> None:
    new = Fernet.generate_key().decode()
    lost = await add_person(app.database, "lost@example.com")
    async with app.database.transaction() as connection:
        await second_factor.begin(connection, SecretBox([Fernet.generate_key().decode()]), lost)
    waiting = SecretBox([TEST_KEY]).seal({"recipient": "ann@example.org"})
    await app.database.pool.execute(
        """INSERT INTO system_mails (id, sealed, expires_at)
           VALUES (gen_random_uuid(), $1, clock_timestamp() + interval '1 day')""",
        waiting,
    )
    both, looked = SecretBox([new, TEST_KEY]), Rotated()
    await rotate_accounts(app.database, both, looked, dry_run=True)
    assert (looked.renewed, looked.already, [one[2] for one in looked.lost]) == (2, 0, [lost])
    assert await app.take(app.code(0))  # still under the old key
    done, again = Rotated(), Rotated()
    await rotate_accounts(app.database, both, done)
    await rotate_accounts(app.database, both, again)
    assert [(one.renewed, one.already) for one in (done, again)] == [(2, 0), (0, 2)]
    assert await app.take(app.code(1), SecretBox([new]))
    kept = await app.database.pool.fetchval("SELECT sealed FROM system_mails")
    assert SecretBox([new]).open(kept) == {"recipient": "ann@example.org"}
