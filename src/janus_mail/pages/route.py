"""The providers of a workspace as the engine sees them, for showing the routes they make."""

from collections.abc import Sequence

from janus_mail.availability.allowances import Allowances
from janus_mail.availability.provider_book import ConfiguredProvider, ProviderBook
from janus_mail.pages.visit import Visit
from janus_mail.providers.timeouts import Timeouts


async def providers_of(visit: Visit) -> Sequence[ConfiguredProvider]:
    """In the order of the route, the disabled ones too, but none that was removed; nothing is opened."""
    # A fresh book: a kept one may be a second behind, and what is made of this may be cached.
    context = visit.context
    allowed = Allowances.of(context.settings)
    book = ProviderBook(context.database, context.secrets, Timeouts(), allowed=allowed)
    return [provider for provider in await book.of(visit.caller.workspace_id) if not provider.removed]
