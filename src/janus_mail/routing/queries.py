"""The SQL of a workspace's providers, named. Changes run in one transaction that begins with LOCK_WORKSPACE."""

# Whoever changes a route holds its workspace's row: names and positions are decided one change at a time.
# NO KEY, because accepting an event refers to the row meanwhile. $1 workspace.
LOCK_WORKSPACE = "SELECT FROM workspaces WHERE id = $1 FOR NO KEY UPDATE"

# $1 id, $2 name, $3 from_email, $4 from_name; a workspace that is there stays as it is.
MAKE_WORKSPACE = """
    INSERT INTO workspaces (id, name, from_email, from_name) VALUES ($1, $2, $3, $4)
    ON CONFLICT (name) DO NOTHING"""

WORKSPACE_NAMED = "SELECT id FROM workspaces WHERE name = $1"

# $1 workspace, $2 from_email, $3 from_name.
SET_MISSING_SENDER = """
    UPDATE workspaces SET from_email = $2, from_name = $3, updated_at = clock_timestamp()
    WHERE id = $1 AND from_email IS NULL"""

_SHOWN = """
    SELECT id, kind, name, enabled, position, sandbox, sandbox_mode, sandbox_failure_rate, from_email, from_name,
           sender_domains, rate_per_second, daily_quota, config, from_environment, version, created_at, updated_at,
           deleted_at
    FROM providers"""

# In the order of the route. $1 workspace, $2 the provider to begin behind (null: the top), $3 limit (null: none).
ROUTE = f"""{_SHOWN}
    WHERE workspace_id = $1 AND deleted_at IS NULL
      AND ($2::uuid IS NULL
           OR (position, id) > (SELECT position, id FROM providers WHERE workspace_id = $1 AND id = $2))
    ORDER BY position, id LIMIT $3"""  # noqa: S608

# $1 workspace, $2 provider.
PROVIDER = f"{_SHOWN} WHERE workspace_id = $1 AND id = $2 AND deleted_at IS NULL"

# The one row that MAIL_* settings ever made, removed or not. $1 workspace.
PROVIDER_FROM_ENVIRONMENT = f"{_SHOWN} WHERE workspace_id = $1 AND from_environment"

# Removed ones count too. $1 workspace.
HAS_PROVIDERS_OF_ITS_OWN = "SELECT EXISTS (SELECT FROM providers WHERE workspace_id = $1 AND NOT from_environment)"

# At the end of the route. $1 id, $2 workspace, $3 kind, $4 name, $5 sandbox, $6 config, $7 from_email, $8 from_name,
# $9 sender_domains, $10 from_environment.
INSERT_PROVIDER = """
    INSERT INTO providers (id, workspace_id, kind, name, sandbox, config, from_email, from_name, sender_domains,
                           from_environment, position)
    SELECT $1, $2, $3, $4, $5, $6, $7, $8, $9, $10, coalesce(max(position), 0) + 1
    FROM providers WHERE workspace_id = $2 AND deleted_at IS NULL"""

# What a person may change. $1 workspace, $2 provider.
UPDATE_PROVIDER = """
    UPDATE providers
    SET name = $3, enabled = $4, from_email = $5, from_name = $6, sender_domains = $7, sandbox_mode = $8,
        sandbox_failure_rate = $9, version = version + 1, updated_at = clock_timestamp()
    WHERE workspace_id = $1 AND id = $2"""

# What MAIL_* settings say; also puts a removed one back. $1 provider, $2 config, $3 from_email, $4 from_name.
KEEP_IN_STEP = """
    UPDATE providers
    SET config = $2, from_email = $3, from_name = $4, deleted_at = NULL, version = version + 1,
        updated_at = clock_timestamp()
    WHERE id = $1"""

# Out of the route; the row stays for its attempts' sake. $1 provider.
REMOVE_PROVIDER = """
    UPDATE providers
    SET deleted_at = clock_timestamp(), version = version + 1, updated_at = clock_timestamp()
    WHERE id = $1"""

IN_ROUTE = "SELECT id FROM providers WHERE workspace_id = $1 AND deleted_at IS NULL ORDER BY position, id"

# $1 workspace, $2 all its providers' ids, first to last.
PUT_IN_ORDER = """
    UPDATE providers p SET position = o.position, version = version + 1, updated_at = clock_timestamp()
    FROM unnest($2::uuid[]) WITH ORDINALITY AS o (id, position)
    WHERE p.workspace_id = $1 AND p.id = o.id AND p.position <> o.position"""

# The first of a kind that the route would use for mail which names no provider: as soon as there is a real one, a
# sandbox must not catch mail that is meant for the world. $1 workspace, $2 kind.
FIRST_OF_KIND = """
    SELECT p.id FROM providers p
    WHERE p.workspace_id = $1 AND p.kind = $2 AND p.enabled AND p.deleted_at IS NULL
      AND NOT (p.sandbox AND EXISTS (
          SELECT FROM providers r WHERE r.workspace_id = $1 AND NOT r.sandbox AND r.deleted_at IS NULL))
    ORDER BY p.position, p.id LIMIT 1"""
