"""The SQL that reads the audit log. $1 is the workspace; null for what is about accounts and the server."""

from collections.abc import Iterable
from typing import Final

_ENTRY: Final = """
    SELECT id, at, actor_kind, actor_id, actor, address, request_id, action, object_kind, object_id, object, before,
           after
    FROM audit_log
"""
_OF_WORKSPACE: Final = "workspace_id = $1"
_OF_SERVER: Final = "workspace_id IS NULL AND $1::uuid IS NULL"

_FILTERS: Final = {
    "before": "id < {}",
    "after": "id > {}",
    "actor": "(actor_id::text = lower({0}) OR strpos(lower(actor), lower({0})) > 0)",
    "action": "action = {}",
    "action_prefix": "starts_with(action, {})",
    "object_kind": "object_kind = {}",
    "object_id": "object_id = {}",
    "q": "strpos(lower(concat_ws(' ', action, actor, address, object, before::text, after::text)), lower({})) > 0",
    "since": "at >= {}",
    "until": "at < {}",
}

# Of these ids, which are of an event, a message (with its event) or a provider that is still there.
# $1 workspace, $2 uuid[] ids.
STILL_THERE: Final = """
    SELECT id, 'event' AS kind, id AS event_id FROM events
    WHERE workspace_id = $1 AND id = ANY($2::uuid[]) AND deleted_at IS NULL
    UNION ALL
    SELECT id, 'message', event_id FROM messages WHERE workspace_id = $1 AND id = ANY($2::uuid[])
    UNION ALL
    SELECT id, 'provider', NULL FROM providers
    WHERE workspace_id = $1 AND id = ANY($2::uuid[]) AND deleted_at IS NULL
"""


def list_entries(filters: Iterable[str], *, server: bool, oldest_first: bool = False) -> str:
    """The $2 newest that pass the filters, whose values are $3, $4, …"""
    where = _OF_SERVER if server else _OF_WORKSPACE
    conditions = " ".join(f"AND {_FILTERS[name].format(f'${number}')}" for number, name in enumerate(filters, 3))
    return f"{_ENTRY} WHERE {where} {conditions} ORDER BY id {'ASC' if oldest_first else 'DESC'} LIMIT $2"
