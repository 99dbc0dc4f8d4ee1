"""The SQL of mail of our own, and of telling owners that a provider takes no mail."""

from typing import Final

# -- mail of our own

# Whose names the setting may say.
PROVIDER_NAMES: Final = """
    SELECT p.id, p.name FROM providers p JOIN workspaces w ON w.id = p.workspace_id
    WHERE w.handle = 'default' AND p.deleted_at IS NULL
"""

# $1 id, $2 sealed, $3 seconds that it is of use.
INSERT_MAIL: Final = """
    INSERT INTO system_mails (id, sealed, expires_at)
    VALUES ($1, $2, clock_timestamp() + $3::float8 * interval '1 second')
"""

# The next one is put off before it is sent: a crash leaves it to whoever comes after that.
# $1 seconds until somebody else may try it.
CLAIM_MAIL: Final = """
    UPDATE system_mails
    SET next_try_at = clock_timestamp() + $1::float8 * interval '1 second', tries = least(tries + 1, 32000)
    WHERE id = (
        SELECT id FROM system_mails WHERE next_try_at <= clock_timestamp() AND expires_at > clock_timestamp()
        ORDER BY next_try_at LIMIT 1 FOR UPDATE SKIP LOCKED)
    RETURNING id, sealed, tries, created_at
"""

DELETE_MAIL: Final = "DELETE FROM system_mails WHERE id = $1"

# $1 id, $2 seconds until the next try, $3 why.
PUT_OFF_MAIL: Final = """
    UPDATE system_mails SET next_try_at = clock_timestamp() + $2::float8 * interval '1 second', last_error = $3
    WHERE id = $1
"""

DELETE_EXPIRED_MAIL: Final = """
    DELETE FROM system_mails WHERE id IN (
        SELECT id FROM system_mails WHERE expires_at <= clock_timestamp() LIMIT 1000 FOR UPDATE SKIP LOCKED)
    RETURNING id, tries, last_error
"""

# -- incidents

# Where a circuit opened that was closed, because it failed or refused us, and nobody was told yet, nor of one shortly
# before it. What a person did they know, and a rest that a provider asks for ends by itself.
# $1 the least id that one of the last hour can have, $2 seconds for which one mail is enough, $3 how many.
UNTOLD: Final = """
    SELECT i.id, i.workspace_id, i.provider_id, i.sender_domain, i.cause, i.reason, i.at, p.name, p.sandbox,
           w.name AS workspace
    FROM provider_incidents i JOIN providers p ON p.id = i.provider_id JOIN workspaces w ON w.id = i.workspace_id
    WHERE i.id >= $1 AND i.at > clock_timestamp() - interval '1 hour' AND i.state = 'open'
      AND i.cause IN ('failures', 'broken') AND p.deleted_at IS NULL
      AND NOT EXISTS (SELECT FROM incident_notices n WHERE n.incident_id = i.id)
      AND NOT EXISTS (
          SELECT FROM incident_notices n JOIN provider_incidents told ON told.id = n.incident_id
          WHERE told.provider_id = i.provider_id AND told.sender_domain = i.sender_domain
            AND n.created_at > i.at - $2 * interval '1 second')
      AND NOT EXISTS (
          SELECT FROM provider_incidents b
          WHERE b.provider_id = i.provider_id AND b.sender_domain = i.sender_domain AND b.number = i.number - 1
            AND b.state <> 'closed')
    ORDER BY i.id LIMIT $3
"""

# $1 workspace.
OWNERS: Final = """
    SELECT u.email, u.name FROM memberships m JOIN users u ON u.id = m.user_id
    WHERE m.workspace_id = $1 AND m.role = 'owner'
      AND u.confirmed_at IS NOT NULL AND u.disabled_at IS NULL AND u.erased_at IS NULL
    ORDER BY m.created_at, u.id
"""

# The first of the route that takes mail now and has a sender, with the sender; a sandbox only for one's like, since
# what it catches reaches nobody. $1 workspace, $2 the provider that takes none, $3 whether that is a sandbox.
STAND_IN: Final = """
    SELECT p.id, coalesce(p.from_email, w.from_email) AS from_email
    FROM providers p JOIN workspaces w ON w.id = p.workspace_id
    WHERE p.workspace_id = $1 AND p.id <> $2 AND p.deleted_at IS NULL AND p.enabled AND (NOT p.sandbox OR $3)
      AND coalesce(p.from_email, w.from_email) IS NOT NULL
      AND NOT EXISTS (
          SELECT FROM circuits c WHERE c.provider_id = p.id AND c.sender_domain = '' AND c.state <> 'closed')
    ORDER BY p.position, p.id LIMIT 1
"""

# Of several who tell at once, one notes it. $1 incident, $2 workspace, $3 the mail's event, null where none was made.
TOLD: Final = """
    INSERT INTO incident_notices (incident_id, workspace_id, event_id) VALUES ($1, $2, $3)
    ON CONFLICT (incident_id) DO NOTHING RETURNING incident_id
"""
