"""The bytes of the files that events carry: reading them, and removing those that no event refers to any more."""

from janus_mail.delivery.queries.clock import CLOCK

# $1 workspace, $2 bytea[] digests.
CONTENTS = "SELECT digest, content FROM attachments WHERE workspace_id = $1 AND digest = ANY($2::bytea[])"

# Of the next contents behind ($1 used at, $2 workspace, $3 digest) that came with no event for $4 seconds, up to $5 and
# $6 octets, those go that no event refers to; where the look has come to, null at the end.
#
# Who accepts or changes an event writes the content's `used_at` in the same transaction, or shares its lock where it
# was written within the hour. While that is open the lock makes us skip the content; once it is over, the row that we
# lock is young. So none goes that is being referred to, and who comes while we remove one waits and stores it anew.
REMOVE_UNUSED = f"""
    WITH {CLOCK},
    old AS MATERIALIZED (
        SELECT workspace_id, digest, used_at, size FROM attachments, clock
        WHERE used_at >= $1 AND (used_at, workspace_id, digest) > ($1::timestamptz, $2::uuid, $3::bytea)
          AND used_at < clock.now - $4 * interval '1 second'
        ORDER BY used_at, workspace_id, digest LIMIT $5
    ),
    measured AS (SELECT *, sum(size) OVER (ORDER BY used_at, workspace_id, digest) - size AS before FROM old),
    looked AS (SELECT * FROM measured WHERE before <= $6),
    unused AS MATERIALIZED (
        SELECT a.workspace_id, a.digest FROM looked JOIN attachments a USING (workspace_id, digest), clock
        WHERE a.used_at < clock.now - $4 * interval '1 second'
          AND NOT EXISTS (
              SELECT FROM events e
              WHERE e.workspace_id = a.workspace_id AND e.attachments <> '[]'
                AND e.attachments @> jsonb_build_array(jsonb_build_object('digest', encode(a.digest, 'hex'))))
        FOR UPDATE OF a SKIP LOCKED
    ),
    gone AS (
        DELETE FROM attachments a USING unused
        WHERE a.workspace_id = unused.workspace_id AND a.digest = unused.digest RETURNING a.digest
    )
    SELECT (SELECT count(*)::int FROM gone) AS removed, used_at, workspace_id, digest FROM looked
    ORDER BY used_at DESC, workspace_id DESC, digest DESC LIMIT 1
"""  # noqa: S608
