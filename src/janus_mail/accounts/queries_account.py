"""The SQL of a person's own account: second factor, name, password, address, sessions, programs."""

from typing import Final

# -- second factor

SECOND_FACTOR: Final = "SELECT totp_secret, totp_since FROM users WHERE id = $1 AND erased_at IS NULL"

# Each step counts once, and none before it afterwards. $1 user, $2 step.
TAKE_STEP: Final = """
    UPDATE users SET totp_step = $2
    WHERE id = $1 AND totp_since IS NOT NULL AND (totp_step IS NULL OR totp_step < $2)
    RETURNING id
"""

RECOVERY_CODES_LEFT: Final = "SELECT id, digest FROM recovery_codes WHERE user_id = $1 AND used_at IS NULL"

TAKE_RECOVERY_CODE: Final = """
    UPDATE recovery_codes SET used_at = clock_timestamp() WHERE user_id = $1 AND id = $2 AND used_at IS NULL
    RETURNING id
"""

BEGIN_SECOND_FACTOR: Final = """
    UPDATE users SET totp_secret = $2, totp_step = NULL, updated_at = clock_timestamp()
    WHERE id = $1 AND totp_since IS NULL
    RETURNING id
"""

# $1 user, $2 step, $3 the sealed secret that its code was checked with.
CONFIRM_SECOND_FACTOR: Final = """
    UPDATE users SET totp_since = clock_timestamp(), totp_step = $2, updated_at = clock_timestamp()
    WHERE id = $1 AND totp_since IS NULL AND totp_secret = $3
    RETURNING id
"""

FORGET_SECOND_FACTOR: Final = """
    UPDATE users SET totp_secret = NULL, totp_since = NULL, totp_step = NULL, updated_at = clock_timestamp()
    WHERE id = $1
"""

FORGET_RECOVERY_CODES: Final = "DELETE FROM recovery_codes WHERE user_id = $1"

# $1 user, $2 ids, $3 digests.
INSERT_RECOVERY_CODES: Final = """
    INSERT INTO recovery_codes (user_id, id, digest)
    SELECT $1, code.id, code.digest FROM unnest($2::uuid[], $3::bytea[]) AS code (id, digest)
"""

# -- name, password, address

NAME_LOCKED: Final = "SELECT name FROM users WHERE id = $1 FOR UPDATE"

SET_NAME: Final = "UPDATE users SET name = $2, updated_at = clock_timestamp() WHERE id = $1"

SET_EMAIL: Final = "UPDATE users SET email = $2, updated_at = clock_timestamp() WHERE id = $1"

# As its owner writes it.
TAKEN_ADDRESS: Final = "SELECT email FROM users WHERE lower(email) = lower($1) AND confirmed_at IS NOT NULL"

# What was mailed to an address, or under a password, that is theirs no more.
FORGET_LINKS: Final = "DELETE FROM account_links WHERE user_id = $1"

# -- sessions and programs

# $1 user, $2 the session that stays.
END_OTHER_SESSIONS: Final = """
    UPDATE sessions SET revoked_at = clock_timestamp() WHERE user_id = $1 AND id <> $2 AND revoked_at IS NULL
    RETURNING id
"""

LIST_SESSIONS: Final = """
    SELECT id, created_at, seen_at, address, user_agent FROM sessions
    WHERE user_id = $1 AND revoked_at IS NULL AND expires_at > clock_timestamp()
    ORDER BY seen_at DESC, id DESC LIMIT 200
"""

# Families of refresh tokens by their newest.
LIST_PROGRAMS: Final = """
    SELECT * FROM (
        SELECT DISTINCT ON (r.family_id) r.family_id, r.begun_at, r.created_at AS seen_at, r.address, r.user_agent,
               w.name AS workspace_name
        FROM refresh_tokens r JOIN workspaces w ON w.id = r.workspace_id
        WHERE r.user_id = $1 AND r.expires_at > clock_timestamp()
          AND NOT EXISTS (SELECT FROM refresh_tokens kin
                          WHERE kin.family_id = r.family_id AND kin.revoked_at IS NOT NULL)
        ORDER BY r.family_id, r.created_at DESC) AS newest
    ORDER BY seen_at DESC LIMIT 200
"""

# -- deleting an account

# So that nobody leaves one of them meanwhile. A statement of its own: what is read next must be younger than the locks.
HOLD_WORKSPACES: Final = """
    SELECT w.id FROM memberships m JOIN workspaces w ON w.id = m.workspace_id WHERE m.user_id = $1
    ORDER BY w.id FOR UPDATE OF w
"""

# `servers`: settings and commands call it by its handle. An owner who cannot sign in is none. $1 user.
THEIR_WORKSPACES: Final = """
    SELECT w.id, w.name, w.handle IS NOT NULL AS servers,
           m.role = 'owner' AND NOT EXISTS (
               SELECT FROM memberships o JOIN users u ON u.id = o.user_id
               WHERE o.workspace_id = w.id AND o.user_id <> $1 AND o.role = 'owner'
                 AND u.disabled_at IS NULL AND u.erased_at IS NULL) AS last_owner,
           NOT EXISTS (SELECT FROM memberships o WHERE o.workspace_id = w.id AND o.user_id <> $1) AS alone
    FROM memberships m JOIN workspaces w ON w.id = m.workspace_id
    WHERE m.user_id = $1
    ORDER BY w.name, w.id
"""

# Whoever makes one more or one less holds them all.
HOLD_ADMINISTRATORS: Final = "SELECT id FROM users WHERE administrator ORDER BY id FOR UPDATE"

# One who could still see to the server, besides them. $1 user.
ANOTHER_ADMINISTRATOR: Final = """
    SELECT EXISTS (SELECT FROM users WHERE administrator AND id <> $1 AND confirmed_at IS NOT NULL
                   AND disabled_at IS NULL AND erased_at IS NULL)
"""

# -- who calls

OWN_WORKSPACES: Final = """
    SELECT w.id, w.name, m.role FROM memberships m JOIN workspaces w ON w.id = m.workspace_id
    WHERE m.user_id = $1 ORDER BY m.created_at, w.id
"""

# -- another key

# $1 after this id, $2 limit.
SEALED_SECOND_FACTORS: Final = """
    SELECT id, 'second factor of ' || email AS name, totp_secret AS sealed
    FROM users WHERE totp_secret IS NOT NULL AND id > $1
    ORDER BY id LIMIT $2 FOR NO KEY UPDATE
"""

RESEAL_SECOND_FACTOR: Final = "UPDATE users SET totp_secret = $2 WHERE id = $1"

# Mail of our own that has not left yet.
SEALED_MAILS: Final = """
    SELECT id, 'a mail of our own' AS name, sealed FROM system_mails WHERE id > $1
    ORDER BY id LIMIT $2 FOR NO KEY UPDATE
"""

RESEAL_MAIL: Final = "UPDATE system_mails SET sealed = $2 WHERE id = $1"
