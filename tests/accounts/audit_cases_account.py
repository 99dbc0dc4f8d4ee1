"""The same of what people do with their own accounts, and administrators with all of them."""

import uuid

import httpx
import pyotp

from janus_mail.accounts import second_factor
from janus_mail.audit.actors import SYSTEM
from janus_mail.gate.passwords import digest_password
from janus_mail.models.states import LinkPurpose
from janus_mail.storage.secrets import SecretBox
from tests.accounts.audit_cases import OWNER, PASSWORD, Stage, case, simple
from tests.conftest import TEST_KEY
from tests.people import signed_in

NEW_PASSWORD = "five other words in rows"


async def known(stage: Stage) -> None:
    """The owner has a password, and administers the server; another administrator is there too."""
    await stage.database.pool.execute(
        "UPDATE users SET password_digest = $2, administrator = true WHERE id = $1",
        stage.owner_id, await digest_password(PASSWORD),
    )  # fmt: skip


async def with_second_factor(stage: Stage) -> list[str]:
    """Recovery codes."""
    await known(stage)
    box = SecretBox([TEST_KEY])
    async with stage.database.transaction() as connection:
        await second_factor.begin(connection, box, stage.owner_id)
        told = await second_factor.pending(connection, box, stage.owner_id, OWNER)
        assert told is not None
        code = pyotp.TOTP(told.secret.replace(" ", "")).now()
        return await second_factor.confirm(connection, box, SYSTEM, stage.owner_id, code)


@case("POST /account/name", "account.renamed")
async def _(stage: Stage) -> httpx.Response:
    return await stage.form("/account/name", name="Nora")


@case("POST /account/email", "email.change_asked")
async def _(stage: Stage) -> httpx.Response:
    await known(stage)
    return await stage.form("/account/email", email="nora@example.com", email_current=PASSWORD)


@case("POST /account/email/{secret}", "email.changed")
async def _(stage: Stage) -> httpx.Response:
    secret = await stage.link(LinkPurpose.CHANGE_EMAIL, stage.owner_id)
    return await stage.form(f"/account/email/{secret}", stage.stranger)


@case("POST /account/password", "password.changed")
async def _(stage: Stage) -> httpx.Response:
    await known(stage)
    return await stage.form("/account/password", password_current=PASSWORD, password_new=NEW_PASSWORD)


@case("POST /account/delete", "person.erased")
async def _(stage: Stage) -> httpx.Response:
    await stage.member()
    await stage.database.pool.execute("UPDATE memberships SET role = 'owner'")
    await stage.database.pool.execute(
        "UPDATE users SET password_digest = $2 WHERE id = $1", stage.owner_id, await digest_password(PASSWORD)
    )
    return await stage.form("/account/delete", delete_current=PASSWORD)


@case("POST /account/sessions/{session_id}/end", "session.revoked")
async def _(stage: Stage) -> httpx.Response:
    session_id: uuid.UUID = await stage.database.pool.fetchval("SELECT id FROM sessions")
    return await stage.form(f"/account/sessions/{session_id}/end")


@case("POST /account/sessions/end", "session.revoked")
async def _(stage: Stage) -> httpx.Response:
    async with signed_in(stage.app, stage.database, stage.owner_id):
        return await stage.form("/account/sessions/end")


@case("POST /account/programs/{family_id}/end", "tokens.revoked")
async def _(stage: Stage) -> httpx.Response:
    await stage.bearer()
    family_id: uuid.UUID = await stage.database.pool.fetchval("SELECT family_id FROM refresh_tokens")
    return await stage.form(f"/account/programs/{family_id}/end")


@case("POST /account/second-factor/confirm", "second_factor.switched_on")
async def _(stage: Stage) -> httpx.Response:
    await known(stage)
    await stage.form("/account/second-factor", factor_current=PASSWORD)
    async with stage.database.transaction() as connection:
        told = await second_factor.pending(connection, SecretBox([TEST_KEY]), stage.owner_id, OWNER)
    assert told is not None
    code = pyotp.TOTP(told.secret.replace(" ", "")).now()
    return await stage.form("/account/second-factor/confirm", code=code)


@case("POST /account/second-factor/codes", "second_factor.codes_renewed")
async def _(stage: Stage) -> httpx.Response:
    await with_second_factor(stage)
    return await stage.form("/account/second-factor/codes", current=PASSWORD)


@case("POST /account/second-factor/off", "second_factor.switched_off")
async def _(stage: Stage) -> httpx.Response:
    codes = await with_second_factor(stage)
    return await stage.form("/account/second-factor/off", off_current=PASSWORD, off_code=codes[0])


# ---- administration ----
@case("POST /administration/invite", "invitation.made")
async def _(stage: Stage) -> httpx.Response:
    await known(stage)
    return await stage.form("/administration/invite", email="new@example.com")


@case("POST /administration/people/{user_id}/reset-link", "password.link_made")
async def _(stage: Stage) -> httpx.Response:
    await known(stage)
    return await stage.form(f"/administration/people/{await stage.member()}/reset-link", name="Mara")


@case("POST /administration/people/{user_id}/email", "email.changed")
async def _(stage: Stage) -> httpx.Response:
    await known(stage)
    return await stage.form(f"/administration/people/{await stage.member()}/email", email="new@example.com")


async def _do(stage: Stage, doing: str, first: str = "") -> httpx.Response:
    """What a button on somebody's row does; `first` is SQL that makes it something to do."""
    await known(stage)
    user_id = await stage.member(confirmed=doing != "confirm")
    if first:
        await stage.database.pool.execute(f"UPDATE users SET {first} WHERE id = $1", user_id)
    return await stage.form(f"/administration/people/{user_id}/{doing}")


_PERSON = "POST /administration/people/{user_id}/"
simple(_PERSON + "confirm", "account.confirmed", lambda s: _do(s, "confirm"))
simple(_PERSON + "disable", "account.disabled", lambda s: _do(s, "disable"))
simple(_PERSON + "enable", "account.enabled", lambda s: _do(s, "enable", "disabled_at = now()"))
simple(_PERSON + "make-administrator", "account.changed", lambda s: _do(s, "make-administrator"))
simple(
    _PERSON + "revoke-administrator", "account.changed",
    lambda s: _do(s, "revoke-administrator", "administrator = true"),
)  # fmt: skip
simple(_PERSON + "sign-out", "sessions.ended", lambda s: _do(s, "sign-out"))
simple(
    _PERSON + "second-factor-off", "second_factor.switched_off",
    lambda s: _do(s, "second-factor-off", "totp_secret = '\\x00', totp_since = now()"),
)  # fmt: skip


@case("POST /administration/workspaces/{workspace_id}/quotas", "workspace.changed")
async def _(stage: Stage) -> httpx.Response:
    await known(stage)
    return await stage.form(
        f"/administration/workspaces/{stage.shop.workspace_id}/quotas", minute_quota="5", monthly_quota=""
    )
