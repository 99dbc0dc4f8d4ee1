"""The SQL that erases a recipient. Every statement keeps to one workspace, which is $1; $2 is the address, compared in
lower case. What is said once of many rows is said a few hundred at a time."""

from collections.abc import Sequence
from typing import Final

# The trigger of the audit log lets words be changed in a transaction that says so.
BEGIN_ERASING: Final = "SELECT set_config('janus.erasing', 'on', true)"

# A group's recipients, one a row, who are them.
_IN_GROUP: Final = """
    EXISTS (SELECT FROM jsonb_each(e.group_recipients) AS role (name, people), jsonb_array_elements(role.people) AS p
            WHERE lower(p ->> 'email') = lower($2))
"""
_THEIRS: Final = f"(lower(m.recipient) = lower($2) OR e.group_recipients IS NOT NULL AND {_IN_GROUP})"

# What waits to leave, to them or to a group with them, behind $3, up to $4.
WAITING: Final = f"""
    SELECT m.id, m.event_id, e.send_as FROM messages m JOIN events e ON e.id = m.event_id
    WHERE m.workspace_id = $1 AND m.id > $3 AND m.state IN ('scheduled', 'leased') AND {_THEIRS}
    ORDER BY m.id LIMIT $4 FOR UPDATE OF m
"""  # noqa: S608

# What is leaving, or of which nobody knows whether it left.
IN_FLIGHT: Final = f"""
    SELECT count(*)::int FROM messages m JOIN events e ON e.id = m.event_id
    WHERE m.workspace_id = $1 AND m.state IN ('sending', 'uncertain') AND {_THEIRS}
"""  # noqa: S608

# $2 uuid[] events.
GROUPS: Final = """
    SELECT id, group_recipients, first_recipients FROM events
    WHERE workspace_id = $1 AND id = ANY($2::uuid[]) ORDER BY id FOR UPDATE
"""

# $2 event. Workers keep contents by their version.
SET_GROUP: Final = """
    UPDATE events SET group_recipients = $3, first_recipients = $4, version = version + 1
    WHERE workspace_id = $1 AND id = $2
"""

# Events that were for them alone, behind $3, up to $4.
THEIR_EVENTS: Final = """
    SELECT DISTINCT m.event_id FROM messages m
    WHERE m.workspace_id = $1 AND lower(m.recipient) = lower($2) AND m.event_id > $3
    ORDER BY m.event_id LIMIT $4
"""

# $2 uuid[] events, $3 what stands there instead. Tags may name them too.
ERASE_CONTENT: Final = """
    WITH erased AS (
        UPDATE events
        SET subject = $3, text = $3, html = NULL, headers = '{}', metadata = '{}', tags = '{}', attachments = '[]',
            warnings = '{}', version = version + 1
        WHERE workspace_id = $1 AND id = ANY($2::uuid[]) AND recipients_count = 1
        RETURNING id
    )
    SELECT count(*)::int FROM erased
"""

# $3 at most so many. What a service told of them in its own words says more than the address.
ERASE_FEEDBACK: Final = """
    WITH erased AS (
        UPDATE feedback_events SET raw = '{}', details = '{}'
        WHERE id = ANY(ARRAY(
            SELECT f.id FROM feedback_events f LEFT JOIN messages m ON m.id = f.message_id
            WHERE f.workspace_id = $1 AND (f.raw <> '{}' OR f.details <> '{}')
              AND lower($2) IN (lower(f.recipient), lower(m.recipient))
            LIMIT $3 FOR UPDATE OF f))
        RETURNING id
    )
    SELECT count(*)::int FROM erased
"""

# $3 at most so many. The bytes of a mail cannot be changed and be the mail.
REMOVE_CAPTURED: Final = """
    WITH gone AS (
        DELETE FROM captured_mails WHERE id = ANY(ARRAY(
            SELECT id FROM captured_mails c
            WHERE workspace_id = $1
              AND (EXISTS (SELECT FROM unnest(recipients) AS r (address) WHERE lower(r.address) = lower($2))
                   OR position(convert_to($2, 'UTF8') IN content) > 0)
            LIMIT $3 FOR UPDATE))
        RETURNING id
    )
    SELECT count(*)::int FROM gone
"""

# $3 the pseudonym, $4 at most so many.
ERASE_MESSAGES: Final = """
    WITH erased AS (
        UPDATE messages SET recipient = $3, recipient_name = NULL, variables = '{}', version = version + 1
        WHERE id = ANY(ARRAY(
            SELECT id FROM messages WHERE workspace_id = $1 AND lower(recipient) = lower($2)
            ORDER BY id LIMIT $4 FOR UPDATE))
        RETURNING id
    )
    SELECT count(*)::int FROM erased
"""

# $3 the pseudonym, $4 uuid[] events.
ERASE_MESSAGES_OF: Final = """
    UPDATE messages SET recipient = $3, recipient_name = NULL, variables = '{}', version = version + 1
    WHERE workspace_id = $1 AND lower(recipient) = lower($2) AND event_id = ANY($4::uuid[])
"""

# One mail has an address once, but for the case of its letters; both would get the same pseudonym.
REMOVE_DOUBLES: Final = """
    DELETE FROM message_recipients r
    WHERE workspace_id = $1 AND lower(address) = lower($2)
      AND address > (SELECT min(address) FROM message_recipients o
                     WHERE o.message_id = r.message_id AND lower(o.address) = lower($2))
"""

# What services posted and nobody has worked on yet, behind $2, up to $3.
HOOK_POSTS: Final = """
    SELECT id, body FROM hook_posts WHERE workspace_id = $1 AND id > $2 ORDER BY id LIMIT $3 FOR UPDATE
"""
SET_HOOK_POST: Final = "UPDATE hook_posts SET body = $3 WHERE workspace_id = $1 AND id = $2"

IS_SUPPRESSED: Final = "SELECT EXISTS (SELECT FROM suppressions WHERE workspace_id = $1 AND address = lower($2))"
UNSUPPRESS: Final = "DELETE FROM suppressions WHERE workspace_id = $1 AND address = lower($2)"


def named_in(table: str, key: Sequence[str], columns: Sequence[str], texts: Sequence[str], *, behind: bool) -> str:
    """The next $2 rows whose `texts`, which are expressions of text, have one of the forms $3 in them; behind the key
    $4, … where there is one."""
    keys, named = ", ".join(key), ", ".join(dict.fromkeys([*key, *columns]))
    values = ", ".join(f"${number}" for number, _ in enumerate(key, 4))
    after = f"AND ({keys}) > ({values})" if behind else ""
    return f"""
        SELECT {named} FROM {table} CROSS JOIN LATERAL (
            SELECT lower(concat_ws(E'\\n', {", ".join(texts)})) AS hay OFFSET 0  -- made once a row, not for each form
        ) h
        WHERE workspace_id = $1 {after}
          AND EXISTS (SELECT FROM unnest($3::text[]) AS f (form) WHERE strpos(h.hay, lower(f.form)) > 0)
        ORDER BY {keys} LIMIT $2 FOR UPDATE OF {table}
    """  # noqa: S608


def set_columns(table: str, key: Sequence[str], columns: Sequence[str]) -> str:
    """$1 workspace, then the key, then the columns' values."""
    where = " AND ".join(f"{name} = ${number}" for number, name in enumerate(key, 2))
    values = ", ".join(f"{name} = ${number}" for number, name in enumerate(columns, 2 + len(key)))
    more = ", version = version + 1" if table == "events" else ""  # workers keep contents by their version
    return f"UPDATE {table} SET {values}{more} WHERE workspace_id = $1 AND {where}"  # noqa: S608


# Somebody with an account, by their address $1.
PERSON: Final = "SELECT id FROM users WHERE lower(email) = lower($1) AND erased_at IS NULL"
