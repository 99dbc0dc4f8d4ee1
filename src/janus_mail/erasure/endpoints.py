"""The route that erases a recipient."""

from janus_mail.accounts.access import Erase
from janus_mail.erasure.recipient import erase_recipient
from janus_mail.erasure.schemas import Erased, ErasureRequest
from janus_mail.web.context import ContextDep
from janus_mail.web.errors import responses
from janus_mail.web.routes import api_router

router = api_router("/api/erasures", ["Audit log"])


@router.post("", summary="Erase a recipient", responses=responses(409))
async def post_erasure(context: ContextDep, caller: Erase, wanted: ErasureRequest) -> Erased:
    """Puts a pseudonym wherever this workspace has the address, and removes the contents of what was for them alone.

    What waits for them is canceled first; of a mail to several they are taken out. While a mail to them is leaving: 409
    `mail_in_flight`. It cannot be taken back. With much mail it takes a while; a request that was cut off has erased
    some of it, and may be sent again.
    """
    return await erase_recipient(context.database, context.list_cache, caller, caller.workspace_id, wanted)
