"""The SQL of invitations. Making and taking one begins with LOCK_WORKSPACE, or LOCK_SERVER where it is to none."""

from typing import Final

# Who invites, and those who accept, take turns where there is no workspace's row to hold.
LOCK_SERVER: Final = "SELECT pg_advisory_xact_lock(hashtext('janus.invitations'))"

# It stands while whoever made it may still invite: an owner, or for a place on the server an administrator; and what a
# key made until that is revoked, not when it merely ends, as it does after a rotation. The audit log says who that was;
# its entry was written right after the invitation, so that it is near in the order of ids.
_STANDS: Final = """
    i.accepted_at IS NULL AND i.revoked_at IS NULL AND i.expires_at > clock_timestamp()
    AND NOT EXISTS (
        SELECT FROM (SELECT a.actor_kind, a.actor_id FROM audit_log a
                     WHERE a.id > i.id AND a.object_id = i.id AND a.action = 'invitation.made'
                     ORDER BY a.id LIMIT 1) made
        WHERE made.actor_kind = 'user' AND NOT EXISTS (
            SELECT FROM users u LEFT JOIN memberships m ON m.user_id = u.id AND m.workspace_id = i.workspace_id
            WHERE u.id = made.actor_id AND u.disabled_at IS NULL AND u.erased_at IS NULL
              AND CASE WHEN i.workspace_id IS NULL THEN u.administrator ELSE m.role = 'owner' END)
           OR made.actor_kind = 'api_key' AND EXISTS (
            SELECT FROM api_keys k WHERE k.id = made.actor_id AND k.revoked_at IS NOT NULL))
"""

# $1 id, $2 workspace, $3 address, $4 role, $5 digest, $6 who invites, $7 seconds.
INSERT_INVITATION: Final = """
    INSERT INTO invitations (id, workspace_id, email, role, digest, invited_by, expires_at)
    VALUES ($1, $2, $3, $4, $5, $6, clock_timestamp() + $7 * interval '1 second')
    RETURNING created_at, expires_at
"""

# $1 workspace (null: to the server), $2 address.
REPLACE_INVITATION: Final = """
    UPDATE invitations SET revoked_at = clock_timestamp()
    WHERE workspace_id IS NOT DISTINCT FROM $1 AND lower(email) = lower($2)
      AND accepted_at IS NULL AND revoked_at IS NULL
"""

# $1 workspace, $2 below this id (null: the newest), $3 limit (null: none).
INVITATIONS: Final = f"""
    SELECT i.id, i.email, i.role, i.invited_by, i.created_at, i.expires_at
    FROM invitations i
    WHERE i.workspace_id = $1 AND ($2::uuid IS NULL OR i.id < $2) AND {_STANDS}
    ORDER BY i.id DESC LIMIT $3
"""  # noqa: S608

# However it stands. $1 workspace, $2 id.
INVITATION_MADE: Final = """
    SELECT i.id, i.email, i.role, i.invited_by, i.created_at, i.expires_at FROM invitations i
    WHERE i.workspace_id = $1 AND i.id = $2
"""
INVITATION: Final = f"{INVITATION_MADE} AND i.accepted_at IS NULL AND i.revoked_at IS NULL"
REVOKE_INVITATION: Final = "UPDATE invitations SET revoked_at = clock_timestamp() WHERE workspace_id = $1 AND id = $2"

# Whoever opens the link. $1 digest.
INVITATION_SHOWN: Final = f"""
    SELECT i.id, i.email, i.role, i.invited_by, i.workspace_id, w.name AS workspace_name
    FROM invitations i LEFT JOIN workspaces w ON w.id = i.workspace_id
    WHERE i.digest = $1 AND {_STANDS}
"""  # noqa: S608
ACCEPT_INVITATION: Final = f"""
    UPDATE invitations i SET accepted_at = clock_timestamp() WHERE i.id = $1 AND {_STANDS} RETURNING i.id
"""  # noqa: S608

# An address with an account, and whether it is in the workspace. $1 workspace, $2 address.
ACCOUNT_OF: Final = """
    SELECT u.id, m.user_id IS NOT NULL AS member
    FROM users u LEFT JOIN memberships m ON m.user_id = u.id AND m.workspace_id = $1
    WHERE lower(u.email) = lower($2) AND u.confirmed_at IS NOT NULL AND u.erased_at IS NULL
"""

# How many stand open, and for how many seconds this address is to be left alone. $1 workspace, $2 address, $3 seconds.
OPEN_INVITATIONS: Final = """
    SELECT count(*) FILTER (WHERE accepted_at IS NULL AND revoked_at IS NULL) AS many,
           ceil(extract(epoch FROM
               max(created_at) FILTER (WHERE lower(email) = lower($2) AND accepted_at IS NULL)
               + $3 * interval '1 second' - clock_timestamp()))::int AS rests_s
    FROM invitations
    WHERE workspace_id IS NOT DISTINCT FROM $1 AND expires_at > clock_timestamp()
"""
