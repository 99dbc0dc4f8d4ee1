"""What whoever runs the server allows its workspaces, and an adapter that keeps to it."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

import asyncpg

from janus_mail.providers.contract import Adapter
from janus_mail.providers.network import ANY, PUBLIC, Network
from janus_mail.providers.registry import adapter_for, borrows_credentials
from janus_mail.providers.timeouts import Timeouts
from janus_mail.settings import Settings

LENDS_NOTHING: Final = "JANUS_AWS_DEFAULT_CREDENTIALS is off: the server lends its own AWS credentials to no workspace"


class NotLent(Exception):
    """The provider would take credentials of the server's own."""


@dataclass(frozen=True, slots=True)
class Allowances:
    """Nothing, unless it is said."""

    own_credentials: bool = False  # to send, and have the server pay, with those that the machine has at AWS
    private_hosts: bool = False  # to have the server connect to addresses that are not public

    @classmethod
    def of(cls, settings: Settings) -> "Allowances":
        return cls(settings.aws_default_credentials, settings.allow_private_hosts)

    @property
    def network(self) -> Network:
        return ANY if self.private_hosts else PUBLIC


NOTHING: Final = Allowances()


def adapter_of(
    row: asyncpg.Record, config: Mapping[str, object], allowed: Allowances, timeouts: Timeouts | None = None
) -> Adapter:
    """The adapter of a provider's row. Raises `NotLent`, and what `adapter_for` does.

    The one that MAIL_* settings make is the operator's own, and may lead anywhere.
    """
    if not (allowed.own_credentials or row["sandbox"]) and borrows_credentials(row["kind"], config):
        raise NotLent(LENDS_NOTHING)
    return adapter_for(
        row["kind"], config, sandbox=row["sandbox"], sandbox_mode=row["sandbox_mode"],
        sandbox_failure_rate=row["sandbox_failure_rate"], timeouts=timeouts,
        network=ANY if row["from_environment"] else allowed.network,
    )  # fmt: skip
