"""The SQL of suppressions, named. Every statement keeps to one workspace, which is $1, but for ADD, whose rows each
have their own. An address is compared in lower case, and PostgreSQL alone makes it so: Python's idea of it differs."""

from collections.abc import Iterable

from janus_mail.models.states import SuppressionReason

# The stronger reason stays. A person may take back what a person said; what the recipient asked for weighs most.
_STRENGTH = (
    SuppressionReason.MANUAL,
    SuppressionReason.HARD_BOUNCE,
    SuppressionReason.UNSUBSCRIBE,
    SuppressionReason.COMPLAINT,
)
_WEIGHT = f"array_position(ARRAY[{', '.join(repr(reason.value) for reason in _STRENGTH)}], {{}})"

# In the order of the addresses, so that two of these never wait for one another in a ring. Answers how many addresses
# are new to the list. One array a column; where `since` is null it is now.
ADD = f"""
    WITH given AS (
        SELECT DISTINCT ON (workspace_id, lower(address)) id, workspace_id, lower(address) AS address, reason, source,
               message_id, coalesce(since, clock_timestamp()) AS since
        FROM unnest($1::uuid[], $2::uuid[], $3::text[], $4::text[], $5::text[], $6::uuid[], $7::timestamptz[])
             WITH ORDINALITY AS g (id, workspace_id, address, reason, source, message_id, since, place)
        ORDER BY workspace_id, lower(address), {_WEIGHT.format("reason")} DESC, place
    ),
    put AS (
        INSERT INTO suppressions AS s (id, workspace_id, address, reason, source, message_id, since)
        SELECT given.* FROM given JOIN workspaces w ON w.id = given.workspace_id
        ORDER BY given.workspace_id, given.address
        ON CONFLICT (workspace_id, address) DO UPDATE
        SET reason = excluded.reason, source = excluded.source, message_id = excluded.message_id, since = excluded.since
        WHERE {_WEIGHT.format("excluded.reason")} > {_WEIGHT.format("s.reason")}
        RETURNING xmax = 0 AS added
    )
    SELECT count(*) FILTER (WHERE added)::int FROM put
"""  # noqa: S608

# A worker plans its claims once, and must not plan for the short list that this was.
ANALYZE = "ANALYZE suppressions"

# $2 text[] addresses in wire form.
LISTED_AMONG = """
    SELECT asked.address, s.reason FROM unnest($2::text[]) AS asked (address)
    JOIN suppressions s ON s.workspace_id = $1 AND s.address = lower(asked.address)
"""

# With the event of the mail that led to it, as long as that is kept.
_SUPPRESSION = """
    SELECT s.id, s.address, s.reason, s.source, s.message_id, m.event_id, s.since
    FROM suppressions s LEFT JOIN messages m ON m.id = s.message_id AND m.workspace_id = s.workspace_id
    WHERE s.workspace_id = $1 AND """

BY_ID = _SUPPRESSION + "s.id = $2"
BY_ADDRESS = _SUPPRESSION + "s.address = lower($2)"

# $2 text[] addresses in wire form, in whose order they are answered.
_ASKED = "ARRAY(SELECT lower(address) FROM unnest($2::text[]) AS asked (address))"
BY_ADDRESSES = f"{_SUPPRESSION} s.address = ANY({_ASKED}) ORDER BY array_position({_ASKED}, s.address)"

REMOVE = "DELETE FROM suppressions WHERE workspace_id = $1 AND id = $2"

_FILTERS = {
    "before": "s.id < {}",
    "after": "s.id > {}",
    "q": "strpos(s.address, lower({})) > 0",
    "reason": "s.reason = {}",
}


def list_suppressions(filters: Iterable[str]) -> str:
    """The newest $2 that pass the filters, whose values are $3, $4, …"""
    return f"{_SUPPRESSION} true {_conditions(filters)} ORDER BY s.id DESC LIMIT $2"


def list_oldest(filters: Iterable[str]) -> str:
    """The same from the other end."""
    return f"{_SUPPRESSION} true {_conditions(filters)} ORDER BY s.id LIMIT $2"


def count_suppressions(filters: Iterable[str]) -> str:
    """How many pass the filters, whose values are $3, $4, …; counted up to $2."""
    return f"""
        SELECT count(*)::int FROM (
            SELECT FROM suppressions s WHERE s.workspace_id = $1 {_conditions(filters)} LIMIT $2
        ) counted
    """  # noqa: S608


def _conditions(filters: Iterable[str]) -> str:
    return " ".join(f"AND {_FILTERS[name].format(f'${number}')}" for number, name in enumerate(filters, 3))
