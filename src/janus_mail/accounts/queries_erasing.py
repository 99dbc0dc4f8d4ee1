"""The SQL that pseudonymises a person."""

from typing import Final

# The trigger of the audit log lets words be changed while this is on.
BEGIN_ERASING: Final = "SELECT set_config('janus.erasing', 'on', true)"
END_ERASING: Final = "SELECT set_config('janus.erasing', 'off', true)"

PERSON_TO_ERASE: Final = "SELECT email FROM users WHERE id = $1 AND erased_at IS NULL FOR UPDATE"

# Those that were theirs before, in lower case, as the audit log has them; not ones they only asked for.
# $1 user, $2 the address of now.
FORMER_ADDRESSES: Final = """
    SELECT coalesce(array_agg(DISTINCT lower(before ->> 'email')), '{}')
    FROM audit_log
    WHERE action = 'email.changed' AND object_id = $1 AND before ? 'email' AND lower(before ->> 'email') <> lower($2)
      AND NOT EXISTS (SELECT FROM users u WHERE lower(u.email) = lower(before ->> 'email'))
"""

# Everywhere below: $1 user, $2 addresses in lower case, $3 what stands there instead.

# Of the workspaces that they are in, or did something in. Held in the order in which others hold several.
ERASE_EVENTS: Final = """
    WITH theirs AS (
        SELECT id FROM events
        WHERE lower(created_by) = ANY($2::text[])
          AND workspace_id IN (SELECT workspace_id FROM memberships WHERE user_id = $1
                               UNION
                               SELECT workspace_id FROM audit_log WHERE actor_id = $1 OR object_id = $1)
        ORDER BY id FOR NO KEY UPDATE)
    UPDATE events SET created_by = $3 FROM theirs WHERE events.id = theirs.id RETURNING workspace_id
"""

GONE_WITH_A_PERSON: Final = (
    "DELETE FROM recovery_codes WHERE user_id = $1",
    "DELETE FROM account_links WHERE user_id = $1",
    "DELETE FROM sessions WHERE user_id = $1",
    "DELETE FROM refresh_tokens WHERE user_id = $1",
    "DELETE FROM memberships WHERE user_id = $1",
    # What they joined by: it may have gone to another address of theirs.
    """
    DELETE FROM invitations i USING audit_log a
    WHERE a.object_id = $1 AND a.action = 'member.joined' AND i.workspace_id = a.workspace_id
      AND i.accepted_at IS NOT NULL AND lower(i.email) = lower(a.after ->> 'invited_as')
    """,
)

# $1 user, $2 address instead, $3 name instead.
ERASE_USER: Final = """
    UPDATE users
    SET email = $2, name = $3, password_digest = NULL, password_changed_at = NULL, administrator = false,
        totp_secret = NULL, totp_since = NULL, totp_step = NULL,
        disabled_at = coalesce(disabled_at, clock_timestamp()), erased_at = clock_timestamp(),
        updated_at = clock_timestamp()
    WHERE id = $1
"""

# $1 addresses.
FORGET_INVITATIONS: Final = """
    DELETE FROM invitations WHERE lower(email) = ANY($1::text[]) AND accepted_at IS NULL
"""

# $1 addresses, $2 what stands there instead.
NAMED_IN_WORDS: Final = (
    "DELETE FROM account_links WHERE lower(email) = ANY($1::text[]) AND $2::text IS NOT NULL",
    "UPDATE invitations SET email = $2 WHERE lower(email) = ANY($1::text[])",
    # «Mara Lind (mara@example.com)» too.
    """
    UPDATE invitations SET invited_by = $2
    WHERE EXISTS (SELECT FROM unnest($1::text[]) AS a
                  WHERE lower(invited_by) = a OR right(lower(invited_by), length(a) + 2) = '(' || a || ')')
    """,
    """
    UPDATE audit_log SET after = jsonb_set(after, '{invited_by}', to_jsonb($2::text))
    WHERE EXISTS (SELECT FROM unnest($1::text[]) AS a
                  WHERE right(lower(after ->> 'invited_by'), length(a) + 2) = '(' || a || ')')
    """,
    "UPDATE api_keys SET created_by = $2 WHERE lower(created_by) = ANY($1::text[])",
    # «mara@example.com: import» too.
    """
    UPDATE suppressions SET source = $2 || substr(source, length(a) + 1) FROM unnest($1::text[]) AS a
    WHERE lower(source) = a OR starts_with(lower(source), a || ':')
    """,
    "UPDATE provider_incidents SET actor = $2 WHERE lower(actor) = ANY($1::text[])",
)

# $4 name instead. What they did, and what was done to them.
ERASE_AUDIT: Final = """
    UPDATE audit_log
    SET actor = CASE WHEN actor_id = $1 OR lower(actor) = ANY($2::text[]) THEN $3 ELSE actor END,
        address = CASE WHEN actor_id = $1 THEN NULL ELSE address END,
        object = CASE WHEN object IS NULL THEN NULL
                      WHEN object_id = $1 OR lower(object) = ANY($2::text[]) THEN $3 ELSE object END,
        before = CASE WHEN object_id = $1 AND before ? 'name' THEN jsonb_set(before, '{name}', to_jsonb($4::text))
                      ELSE before END,
        after = CASE WHEN object_id = $1
                     THEN after || CASE WHEN after ? 'name' THEN jsonb_build_object('name', $4::text) ELSE '{}' END
                                || CASE WHEN after ? 'invited_as' THEN jsonb_build_object('invited_as', $3::text)
                                        ELSE '{}' END
                     ELSE after END
    WHERE actor_id = $1 OR object_id = $1 OR lower(actor) = ANY($2::text[]) OR lower(object) = ANY($2::text[])
"""

# Values that are the address, at any depth and in any case. $1 the address as JSON, in lower case, $2 what stands
# there instead, as JSON.
ERASE_AUDITED_VALUES: Final = """
    UPDATE audit_log
    SET before = regexp_replace(before::text, '***=' || $1::text, $2::text, 'gi')::jsonb,
        after = regexp_replace(after::text, '***=' || $1::text, $2::text, 'gi')::jsonb
    WHERE strpos(lower(before::text), $1) > 0 OR strpos(lower(after::text), $1) > 0
"""
