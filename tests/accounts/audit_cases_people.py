"""The same of workspaces, members, keys and accounts."""

from urllib.parse import urlsplit

import httpx
import pyotp

from janus_mail.accounts import second_factor
from janus_mail.audit.actors import SYSTEM
from janus_mail.models.states import LinkPurpose, Role
from janus_mail.storage.secrets import SecretBox
from tests.accounts.audit_cases import MARA, OWNER, PASSWORD, Stage, case, simple
from tests.conftest import TEST_KEY

# ---- the workspace ----
simple("PATCH /api/workspace", "workspace.changed", lambda s: s.api.patch("/api/workspace", json={"name": "Other"}))
simple("POST /api/workspace/pause", "workspace.paused", lambda s: s.api.post("/api/workspace/pause"))
simple("POST /pause", "workspace.paused", lambda s: s.form("/pause"))


@case("POST /api/workspace/resume", "workspace.resumed")
async def _(stage: Stage) -> httpx.Response:
    await stage.asked("POST", "/api/workspace/pause")
    return await stage.api.post("/api/workspace/resume")


@case("POST /resume", "workspace.resumed")
async def _(stage: Stage) -> httpx.Response:
    await stage.asked("POST", "/api/workspace/pause")
    return await stage.form("/resume")


@case("POST /workspace", "workspace.changed")
async def _(stage: Stage) -> httpx.Response:
    return await stage.form(
        "/workspace", name="Other", timezone="", language="", from_email="janus@example.com", from_name="Janus",
        allowed_senders="", on_uncertain="resend", retention_days="",
    )  # fmt: skip


@case("POST /api/workspaces", "workspace.created")
async def _(stage: Stage) -> httpx.Response:
    bearer = {"Authorization": f"Bearer {(await stage.bearer())['access_token']}"}
    return await stage.stranger.post("/api/workspaces", json={"name": "Another"}, headers=bearer)


@case("POST /workspaces/new", "workspace.created")
async def _(stage: Stage) -> httpx.Response:
    return await stage.form("/workspaces/new", name="Another", from_email=OWNER, timezone="UTC")


@case("POST /workspace/delete", "workspace.deleted")
async def _(stage: Stage) -> httpx.Response:
    await stage.another_workspace()
    return await stage.form("/workspace/delete", name="Another")


@case("POST /api/workspace/delete", "workspace.deleted")
async def _(stage: Stage) -> httpx.Response:
    another = str(await stage.another_workspace())
    tokens = await stage.bearer(workspace_id=another)
    bearer = {"Authorization": f"Bearer {tokens['access_token']}"}
    return await stage.stranger.post("/api/workspace/delete", json={"name": "Another"}, headers=bearer)


@case("POST /workspace/leave", "member.left")
async def _(stage: Stage) -> httpx.Response:
    await stage.member(Role.OWNER)
    return await stage.form("/workspace/leave")


@case("POST /api/workspace/leave", "member.left")
async def _(stage: Stage) -> httpx.Response:
    await stage.member(Role.OWNER)
    bearer = {"Authorization": f"Bearer {(await stage.bearer())['access_token']}"}
    return await stage.stranger.post("/api/workspace/leave", headers=bearer)


# ---- members and invitations ----
@case("PATCH /api/members/{user_id}", "member.role_changed")
async def _(stage: Stage) -> httpx.Response:
    return await stage.api.patch(f"/api/members/{await stage.member()}", json={"role": "viewer"})


@case("DELETE /api/members/{user_id}", "member.removed")
async def _(stage: Stage) -> httpx.Response:
    return await stage.api.delete(f"/api/members/{await stage.member()}")


@case("POST /members/{user_id}/role", "member.role_changed")
async def _(stage: Stage) -> httpx.Response:
    return await stage.form(f"/members/{await stage.member()}/role", role="viewer")


@case("POST /members/{user_id}/remove", "member.removed")
async def _(stage: Stage) -> httpx.Response:
    return await stage.form(f"/members/{await stage.member()}/remove")


simple(
    "POST /api/invitations", "invitation.made",
    lambda s: s.api.post("/api/invitations", json={"email": "new@example.com", "role": "viewer"}),
)  # fmt: skip
simple(
    "POST /members/invite", "invitation.made",
    lambda s: s.form("/members/invite", email="new@example.com", role="viewer"),
)  # fmt: skip


@case("POST /api/invitations/{invitation_id}/resend", "invitation.made")
async def _(stage: Stage) -> httpx.Response:
    made = await stage.invitation()
    return await stage.api.post(f"/api/invitations/{made['invitation']['id']}/resend")


@case("DELETE /api/invitations/{invitation_id}", "invitation.withdrawn")
async def _(stage: Stage) -> httpx.Response:
    made = await stage.invitation()
    return await stage.api.delete(f"/api/invitations/{made['invitation']['id']}")


@case("POST /members/invitations/{invitation_id}/again", "invitation.made")
async def _(stage: Stage) -> httpx.Response:
    made = await stage.invitation()
    return await stage.form(f"/members/invitations/{made['invitation']['id']}/again")


@case("POST /members/invitations/{invitation_id}/withdraw", "invitation.withdrawn")
async def _(stage: Stage) -> httpx.Response:
    made = await stage.invitation()
    return await stage.form(f"/members/invitations/{made['invitation']['id']}/withdraw")


@case("POST /invitations/{secret}", "account.registered", "member.joined", "session.begun")
async def _(stage: Stage) -> httpx.Response:
    made = await stage.invitation()
    path = urlsplit(made["link"]).path
    return await stage.form(path, stage.stranger, name="Nora", password=PASSWORD)


# ---- keys ----
simple("POST /api/keys", "key.created",
       lambda s: s.api.post("/api/keys", json={"name": "ci", "scopes": ["events:read"]}))  # fmt: skip
simple("POST /keys", "key.created", lambda s: s.form("/keys", name="ci", scopes="events:read", expires="90"))


@case("PATCH /api/keys/{key_id}", "key.changed")
async def _(stage: Stage) -> httpx.Response:
    return await stage.api.patch(f"/api/keys/{await stage.key()}", json={"name": "other"})


@case("DELETE /api/keys/{key_id}", "key.revoked")
async def _(stage: Stage) -> httpx.Response:
    return await stage.api.delete(f"/api/keys/{await stage.key()}")


@case("POST /api/keys/{key_id}/rotate", "key.created", "key.rotated")
async def _(stage: Stage) -> httpx.Response:
    return await stage.api.post(f"/api/keys/{await stage.key()}/rotate")


@case("POST /keys/{key_id}/rotate", "key.created", "key.rotated")
async def _(stage: Stage) -> httpx.Response:
    return await stage.form(f"/keys/{await stage.key()}/rotate", overlap_hours="24")


@case("POST /keys/{key_id}/revoke", "key.revoked")
async def _(stage: Stage) -> httpx.Response:
    return await stage.form(f"/keys/{await stage.key()}/revoke")


# ---- accounts ----
@case("POST /login", "session.begun")
async def _(stage: Stage) -> httpx.Response:
    await stage.member()
    return await stage.form("/login", stage.stranger, email=MARA, password=PASSWORD)


@case("POST /login/code", "session.begun")
async def _(stage: Stage) -> httpx.Response:
    user_id, box = await stage.member(), SecretBox([TEST_KEY])
    async with stage.database.transaction() as connection:
        await second_factor.begin(connection, box, user_id)
        told = await second_factor.pending(connection, box, user_id, MARA)
        assert told is not None
        code = pyotp.TOTP(told.secret.replace(" ", "")).now()
        recovery = await second_factor.confirm(connection, box, SYSTEM, user_id, code)
    await stage.form("/login", stage.stranger, email=MARA, password=PASSWORD)
    return await stage.form("/login/code", stage.stranger, code=recovery[0])


simple("POST /logout", "session.ended", lambda s: s.form("/logout"))


@case("POST /forgot", "password.reset_asked")
async def _(stage: Stage) -> httpx.Response:
    await stage.member()
    return await stage.form("/forgot", stage.stranger, email=MARA)


@case("POST /reset/{secret}", "password.reset")
async def _(stage: Stage) -> httpx.Response:
    secret = await stage.link(LinkPurpose.RESET, await stage.member())
    return await stage.form(f"/reset/{secret}", stage.stranger, password="five other words in rows")


@case("POST /register", "account.registered")
async def _(stage: Stage) -> httpx.Response:
    stage.open_registration()
    return await stage.form("/register", stage.stranger, email=MARA, name="Mara", password=PASSWORD)


@case("POST /confirm/{secret}", "account.confirmed", "session.begun")
async def _(stage: Stage) -> httpx.Response:
    secret = await stage.link(LinkPurpose.CONFIRM, await stage.member(confirmed=False))
    return await stage.form(f"/confirm/{secret}", stage.stranger, password=PASSWORD)


@case("POST /set-up/{secret}", "account.made", "member.added", "session.begun")
async def _(stage: Stage) -> httpx.Response:
    await stage.database.pool.execute("DELETE FROM users")
    secret = await stage.link(LinkPurpose.SET_UP, None)
    return await stage.form(f"/set-up/{secret}", stage.stranger, email=MARA, name="Mara", password=PASSWORD)


@case("POST /api/auth/token", "tokens.begun")
async def _(stage: Stage) -> httpx.Response:
    await stage.member()
    given = {"grant_type": "password", "username": MARA, "password": PASSWORD}
    return await stage.stranger.post("/api/auth/token", data=given)


@case("POST /api/auth/revoke", "tokens.revoked")
async def _(stage: Stage) -> httpx.Response:
    tokens = await stage.bearer()
    return await stage.stranger.post("/api/auth/revoke", json={"refresh_token": tokens["refresh_token"]})
