"""The SQL of who may be asked: providers, circuits, quotas."""

# In route order, those that are off or removed too. $1 workspace.
PROVIDERS = """
    SELECT p.id, p.kind, p.name, p.enabled, p.position, p.sandbox, p.sandbox_mode, p.sandbox_failure_rate,
           coalesce(p.from_email, w.from_email) AS from_email,
           CASE WHEN p.from_email IS NULL THEN w.from_name ELSE p.from_name END AS from_name,
           p.sender_domains, p.config, p.version, p.deleted_at IS NOT NULL AS removed
    FROM providers p JOIN workspaces w ON w.id = p.workspace_id
    WHERE p.workspace_id = $1
    ORDER BY p.position, p.id
"""
