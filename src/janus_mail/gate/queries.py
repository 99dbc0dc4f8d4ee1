"""The SQL of how people get in: accounts and links, and what is cleared away."""

from typing import Final

# -- accounts

# Who is not confirmed has proved nothing and has nothing: whoever registers the address anew comes in their place.
# $1 email.
DELETE_UNCONFIRMED: Final = """
    DELETE FROM users
    WHERE lower(email) = lower($1) AND confirmed_at IS NULL AND disabled_at IS NULL AND erased_at IS NULL
"""

# $1 id, $2 email, $3 name, $4 password digest, $5 confirmed?, $6 administrator?
INSERT_USER: Final = """
    INSERT INTO users (id, email, name, password_digest, password_changed_at, confirmed_at, administrator)
    VALUES ($1, $2, $3, $4, CASE WHEN $4::text IS NOT NULL THEN clock_timestamp() END,
            CASE WHEN $5 THEN clock_timestamp() END, $6)
    ON CONFLICT (lower(email)) DO NOTHING
    RETURNING id
"""

_USER: Final = """
    SELECT id, email, name, password_digest, confirmed_at IS NOT NULL AS confirmed, administrator,
           disabled_at IS NOT NULL AS disabled, erased_at IS NOT NULL AS erased, totp_since IS NOT NULL AS needs_code,
           confirmed_at IS NOT NULL AND disabled_at IS NULL AND erased_at IS NULL AS may_sign_in
    FROM users"""

USER_BY_EMAIL: Final = f"{_USER} WHERE lower(email) = lower($1) AND erased_at IS NULL"

USER: Final = f"{_USER} WHERE id = $1"

# Whoever changes an account's state holds it, so that two changes come one after the other.
USER_LOCKED: Final = f"{_USER} WHERE id = $1 FOR UPDATE"

USER_BY_EMAIL_LOCKED: Final = f"{USER_BY_EMAIL} FOR UPDATE"

LIST_USERS: Final = """
    SELECT u.email, u.name, u.created_at, u.confirmed_at, u.disabled_at, u.administrator,
           u.totp_since IS NOT NULL AS needs_code,
           (SELECT max(s.seen_at) FROM sessions s WHERE s.user_id = u.id) AS seen_at,
           (SELECT count(*) FROM memberships m WHERE m.user_id = u.id) AS workspaces
    FROM users u
    WHERE u.erased_at IS NULL
    ORDER BY u.created_at, u.id
"""

# Half-done registrations do not count: they must not keep the owner of the server out.
ANY_USER: Final = "SELECT EXISTS (SELECT FROM users WHERE confirmed_at IS NOT NULL)"

CONFIRM_USER: Final = """
    UPDATE users SET confirmed_at = clock_timestamp(), updated_at = clock_timestamp()
    WHERE id = $1 AND confirmed_at IS NULL AND disabled_at IS NULL AND erased_at IS NULL
    RETURNING id
"""

# $1 user, $2 digest. Who could set it has read the address's mail, so it is confirmed too.
STORE_DIGEST: Final = """
    UPDATE users
    SET password_digest = $2, password_changed_at = clock_timestamp(), updated_at = clock_timestamp(),
        confirmed_at = coalesce(confirmed_at, clock_timestamp())
    WHERE id = $1 AND disabled_at IS NULL AND erased_at IS NULL
    RETURNING id
"""

# The same password under today's parameters. $1 user, $2 the digest that it had, $3 the new one.
RENEW_DIGEST: Final = "UPDATE users SET password_digest = $3 WHERE id = $1 AND password_digest = $2"

# $1 user, $2 disabled?
SET_DISABLED: Final = """
    UPDATE users SET disabled_at = CASE WHEN $2 THEN clock_timestamp() END, updated_at = clock_timestamp()
    WHERE id = $1
"""

# $1 user, $2 administrator?
SET_ADMINISTRATOR: Final = "UPDATE users SET administrator = $2, updated_at = clock_timestamp() WHERE id = $1"

# $1 user.
END_SESSIONS: Final = """
    UPDATE sessions SET revoked_at = clock_timestamp() WHERE user_id = $1 AND revoked_at IS NULL
"""

END_REFRESH_TOKENS: Final = """
    UPDATE refresh_tokens SET revoked_at = clock_timestamp() WHERE user_id = $1 AND revoked_at IS NULL
"""

# From where they have signed in, in a browser or with a program. $1 user.
ADDRESSES_OF: Final = """
    SELECT address FROM sessions WHERE user_id = $1
    UNION SELECT address FROM refresh_tokens WHERE user_id = $1
    LIMIT 1000
"""

# $1 user, $2 role, $3 handle or id of the workspace.
JOIN_WORKSPACE: Final = """
    INSERT INTO memberships (workspace_id, user_id, role)
    SELECT id, $1, $2 FROM workspaces WHERE handle = $3 OR id::text = $3
    ON CONFLICT (workspace_id, user_id) DO UPDATE SET role = excluded.role
    RETURNING workspace_id
"""

# -- links

# Held until the transaction ends. $1 purpose and person.
LOCK_LINKS: Final = "SELECT pg_advisory_xact_lock(hashtextextended('janus links ' || $1, 0))"

# $1 purpose, $2 user or null.
DELETE_LINKS: Final = "DELETE FROM account_links WHERE purpose = $1 AND user_id IS NOT DISTINCT FROM $2"

# $1 id, $2 purpose, $3 user, $4 email, $5 digest, $6 seconds that it lasts.
INSERT_LINK: Final = """
    INSERT INTO account_links (id, purpose, user_id, email, digest, expires_at)
    VALUES ($1, $2, $3, $4, $5, clock_timestamp() + $6::float8 * interval '1 second')
"""

# $1 digest, $2 purpose.
FIND_LINK: Final = """
    SELECT id, user_id, email FROM account_links
    WHERE digest = $1 AND purpose = $2 AND used_at IS NULL AND expires_at > clock_timestamp()
"""

TAKE_LINK: Final = """
    UPDATE account_links SET used_at = clock_timestamp()
    WHERE digest = $1 AND purpose = $2 AND used_at IS NULL AND expires_at > clock_timestamp()
    RETURNING id, user_id, email
"""

# -- what is cleared away, a thousand rows at a time

# A used or expired link opens nothing; its row is kept for a day, to tell a person which it is.
CARE_LINKS: Final = """
    DELETE FROM account_links WHERE id IN (
        SELECT id FROM account_links WHERE expires_at < clock_timestamp() - interval '1 day'
        LIMIT 1000 FOR UPDATE SKIP LOCKED)
    RETURNING 1
"""

# They say from where somebody signs in (see sign_in.py), so they stay for a while.
CARE_SESSIONS: Final = """
    DELETE FROM sessions WHERE id IN (
        SELECT id FROM sessions WHERE expires_at < clock_timestamp() - interval '90 days'
        LIMIT 1000 FOR UPDATE SKIP LOCKED)
    RETURNING 1
"""

# By then no access token that came with it lives any more.
CARE_REFRESH_TOKENS: Final = """
    DELETE FROM refresh_tokens WHERE id IN (
        SELECT id FROM refresh_tokens WHERE expires_at < clock_timestamp() - interval '7 days'
        LIMIT 1000 FOR UPDATE SKIP LOCKED)
    RETURNING 1
"""

# Long enough to be asked about. Without its right an invitation is not over: that may come back.
CARE_INVITATIONS: Final = """
    DELETE FROM invitations WHERE id IN (
        SELECT id FROM invitations
        WHERE least(accepted_at, revoked_at, expires_at) < clock_timestamp() - interval '30 days'
        LIMIT 1000 FOR UPDATE SKIP LOCKED)
    RETURNING 1
"""

CARE_REGISTRATIONS: Final = """
    DELETE FROM users WHERE id IN (
        SELECT id FROM users
        WHERE confirmed_at IS NULL AND disabled_at IS NULL AND erased_at IS NULL
          AND created_at < clock_timestamp() - interval '7 days'
        LIMIT 1000 FOR UPDATE SKIP LOCKED)
    RETURNING 1
"""
