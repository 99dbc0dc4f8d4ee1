"""What became of each recipient of a group's mail: one mail, several answers. Pure."""

from collections.abc import Sequence
from dataclasses import dataclass

from janus_mail.delivery.hold import Hold
from janus_mail.delivery.letters import Group, named
from janus_mail.models.states import RecipientState
from janus_mail.providers.contract import Accepted, Mail, Refused
from janus_mail.providers.outcomes import DeliveryError, Outcome

_LATER = frozenset({Outcome.RECIPIENT_DEFERRED, Outcome.POLICY_REJECTED})  # by this provider, or never


@dataclass(frozen=True, slots=True)
class RecipientResult:
    """As `message_recipients` keeps it."""

    address: str
    role: str  # to | cc | bcc
    state: RecipientState
    code: str
    response: str

    @property
    def resolved(self) -> bool:
        return self.state is not RecipientState.DEFERRED


def results(
    group: Group | None, hold: Hold, mail: Mail, ended: Accepted | DeliveryError
) -> tuple[RecipientResult, ...]:
    """Of those this try went to and an answer came for, and of those whom it left out; none where the mail is no
    group's."""
    if group is None:
        return ()
    refused = {one.address: one for one in ended.refused}
    answered: Sequence[str] = mail.recipients if isinstance(ended, Accepted) else list(refused)
    roles = _roles(group)
    answers = (_result(address, roles[address], refused.get(address), ended) for address in answered)
    return (*answers, *suppressed(group, hold))


def suppressed(group: Group, hold: Hold) -> tuple[RecipientResult, ...]:
    """Those of the group who must not be mailed, but for who has it or was refused before."""
    roles = _roles(group)
    return tuple(
        RecipientResult(address, roles[address], RecipientState.SUPPRESSED, "suppressed", why)
        for address, why in hold.suppressed.items() if address not in hold.resolved
    )  # fmt: skip


def nobody_left(group: Group, hold: Hold) -> bool:
    """Whether everyone whom the mail could still go to must not be mailed, or needs no mail any more."""
    if not hold.suppressed and not hold.resolved:
        return False
    left = named(group, hold)
    return all(mailbox.address in hold.resolved for part in left for mailbox in part)


def without_a_mail(group: Group, hold: Hold) -> tuple[RecipientResult, ...]:
    """How it ends for the others where `nobody_left`: the suppressed ones, and blind copies of what has no others."""
    why = "nobody is left whom the mail could name, and it would show the one to the others"
    over = {*hold.suppressed, *hold.resolved}
    return (*suppressed(group, hold), *(
        RecipientResult(address, role, RecipientState.SUPPRESSED, "suppressed", why)
        for address, role in _roles(group).items() if address not in over
    ))  # fmt: skip


def _roles(group: Group) -> dict[str, str]:
    return {mailbox.address: role for role in reversed(Group._fields) for mailbox in getattr(group, role)}


def _result(address: str, role: str, refused: Refused | None, ended: Accepted | DeliveryError) -> RecipientResult:
    if refused is None:
        return RecipientResult(address, role, RecipientState.SENT, ended.code, ended.response)
    state = RecipientState.DEFERRED if refused.error.outcome in _LATER else RecipientState.FAILED
    return RecipientResult(address, role, state, refused.error.code, refused.error.response)
