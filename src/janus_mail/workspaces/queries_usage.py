"""The SQL of what a workspace has scheduled in a month, named. $1 is the workspace."""

from typing import Final

# Of the transaction, in all of it the same, whatever midnight does. UUIDv7 begin with their time, by the clock of who
# made them: a day covers what clocks differ.
_MONTH: Final = """
    SELECT first, (first + interval '1 month')::date AS next,
           (lpad(to_hex((extract(epoch FROM first::timestamp AT TIME ZONE 'UTC' - interval '1 day') * 1000)::bigint),
                 12, '0') || repeat('0', 20))::uuid AS first_id
    FROM (SELECT date_trunc('month', now() AT TIME ZONE 'UTC')::date AS first) AS this
"""

_SCHEDULED: Final = """
    SELECT coalesce(sum(recipients_count), 0)::bigint FROM events
    WHERE workspace_id = $1 AND id >= month.first_id AND created_at >= month.first::timestamp AT TIME ZONE 'UTC'
      AND deleted_at IS NULL
"""

# Held until the transaction ends; no row where nothing was counted this month.
LOCK_USED: Final = f"""
    WITH month AS MATERIALIZED ({_MONTH})
    SELECT u.used, month.next FROM workspace_usage u JOIN month ON u.month = month.first
    WHERE u.workspace_id = $1 FOR NO KEY UPDATE OF u
"""  # noqa: S608

# Without a quota nothing is counted, so what was scheduled since the month began is counted now.
COUNT_MONTH: Final = f"""
    WITH month AS MATERIALIZED ({_MONTH})
    INSERT INTO workspace_usage AS u (workspace_id, month, used)
    SELECT $1, month.first, ({_SCHEDULED}) FROM month
    ON CONFLICT (workspace_id, month) DO UPDATE SET used = greatest(u.used, excluded.used)
"""  # noqa: S608

# $2 mails more.
ADD_USED: Final = f"""
    WITH month AS MATERIALIZED ({_MONTH})
    UPDATE workspace_usage u SET used = u.used + $2 FROM month WHERE u.workspace_id = $1 AND u.month = month.first
"""  # noqa: S608

# `used` is null where nothing was counted this month.
USAGE: Final = f"""
    WITH month AS MATERIALIZED ({_MONTH})
    SELECT w.minute_quota, w.monthly_quota, month.next, u.used
    FROM workspaces w CROSS JOIN month
         LEFT JOIN workspace_usage u ON u.workspace_id = w.id AND u.month = month.first
    WHERE w.id = $1
"""  # noqa: S608

SCHEDULED_THIS_MONTH: Final = f"WITH month AS MATERIALIZED ({_MONTH}) SELECT ({_SCHEDULED}) FROM month"  # noqa: S608
