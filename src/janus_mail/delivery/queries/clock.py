"""What several statements share: the one way to read the clock, and what a pause keeps back."""

CLOCK = "clock AS MATERIALIZED (SELECT clock_timestamp() AS now)"

# Nothing of a paused workspace is claimed or begun from the moment on in which its pause has committed.
PAUSED_ONES = "ALL (ARRAY(SELECT id FROM workspaces WHERE paused_at IS NOT NULL))"
NOT_PAUSED = f"m.workspace_id <> {PAUSED_ONES}"
