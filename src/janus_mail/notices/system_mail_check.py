"""Whether mail of our own can leave, in a line, for the person who sets Janus up."""

from janus_mail.notices import queries
from janus_mail.notices.system_mail import provider_names, unknown_words
from janus_mail.settings import Settings
from janus_mail.storage.check import Finding
from janus_mail.storage.database import Database


async def check_system_mail(settings: Settings) -> Finding:
    """The database is there and migrated."""
    names = provider_names(settings)
    if not names:
        return Finding(
            True,
            "System mail: JANUS_SYSTEM_PROVIDER is not set: nobody gets mail about their account; "
            "`janus users confirm` and `janus users reset-link` work without it",
        )
    database = await Database.open(settings.database_dsn, pool_size=1)
    try:
        rows = await database.pool.fetch(queries.PROVIDER_NAMES)
    finally:
        await database.close()
    known = {said.casefold() for row in rows for said in (row["name"], str(row["id"]))}
    missing = [name for name in names if name.casefold() not in known]
    if missing:
        return Finding(False, unknown_words(missing))
    return Finding(True, f"System mail: through {', '.join(names)}")
