"""What the contract of all adapters is tested with, for one service."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from janus_mail.providers.outcomes import Outcome

from .fake_http import FakeHttp, Reply


@dataclass(frozen=True, kw_only=True)
class Case:
    """An answer of the real service, and what it means. `said` is how the test calls it."""

    said: str
    reply: Reply
    outcome: Outcome
    scope: str | None = None  # of a broken provider: provider | sender
    retry_after_s: float | None = None


def case(said: str, reply: Reply, outcome: Outcome, scope: str | None = None, after_s: float | None = None) -> Case:
    """The same in one line."""
    return Case(said=said, reply=reply, outcome=outcome, scope=scope, retry_after_s=after_s)


@dataclass(frozen=True, kw_only=True)
class Bench:
    """One service.

    `config` is without the address, which is the fake's; `strange_config` has credentials that the fake does not know;
    `odd_successes` have a success's status and no mail behind them. `lacks` names what the service cannot carry:
    `inline_files`, `inline_names` (its Content-ID stands for such a file's name), `utf8_filenames`, `utf8_headers`,
    `several_reply_to`, `custom_headers`, `message_id` (it writes one of its own), `names` (of recipients), `text_only`
    (it adds an HTML part), `html_only` (a text part is added). With `partial_groups` it can write to a part of those
    whom a mail names.
    """

    kind: str
    fake: Callable[[], FakeHttp]
    config: Mapping[str, object]
    strange_config: Mapping[str, object]
    cases: Sequence[Case]
    odd_successes: Sequence[Reply] = ()
    lacks: frozenset[str] = frozenset()
    idempotent: bool = False
    checks_credentials: bool = True
    partial_groups: bool = False
    tags: tuple[str, ...] = ("welcome", "spring")  # as the service carries ("welcome", "spring")
