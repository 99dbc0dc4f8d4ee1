"""The SQL of the older form API, named. One row a message, whoever scheduled it and how."""

# $1 workspace.
COUNT = "SELECT count(*) FROM messages WHERE workspace_id = $1"

# Newest first. Where nothing was tried yet, `kind` is that of the provider the event prefers. $1 workspace, $2 limit,
# $3 offset.
SENT_EMAILS = """
    SELECT m.id, m.recipient, m.recipient_name, m.variables, m.state, m.last_error, e.created_at,
           e.subject, e.text, e.html,
           coalesce(e.from_email, used.from_email, w.from_email) AS from_email,
           coalesce(tried.provider_kind, wished.kind) AS kind
    FROM (SELECT id FROM messages WHERE workspace_id = $1 ORDER BY id DESC LIMIT $2 OFFSET $3) page
    JOIN messages m ON m.id = page.id
    JOIN events e ON e.id = m.event_id
    JOIN workspaces w ON w.id = m.workspace_id
    LEFT JOIN LATERAL (
        SELECT t.provider_id, t.provider_kind FROM attempts t WHERE t.message_id = m.id ORDER BY t.number DESC LIMIT 1
    ) tried ON true
    LEFT JOIN providers used ON used.id = tried.provider_id
    LEFT JOIN LATERAL (
        SELECT p.kind FROM providers p
        WHERE p.workspace_id = $1 AND p.deleted_at IS NULL
          AND lower(e.provider) IN (p.id::text, lower(p.name), p.kind)
        ORDER BY p.position LIMIT 1
    ) wished ON true
    ORDER BY m.id DESC
"""

# What became of a message. $1 workspace, $2 event.
OUTCOME = """
    SELECT m.id, m.state, m.last_error,
           (SELECT t.outcome FROM attempts t WHERE t.message_id = m.id ORDER BY t.number DESC LIMIT 1) AS outcome
    FROM messages m WHERE m.workspace_id = $1 AND m.event_id = $2
"""
