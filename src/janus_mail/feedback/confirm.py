"""Confirming that we want what a service is about to post, where it asks for that (Amazon SNS)."""

from janus_mail.feedback import sns


class NotConfirmed(Exception):
    """It has to be tried again; the sentence says why."""


async def confirm(url: str, fetch: sns.Load = sns.fetch) -> None:
    """Fetch the address that a verified post names. To do so twice changes nothing. Raises `NotConfirmed`."""
    if not sns.is_address(url):
        raise NotConfirmed("The address to confirm at is not one of Amazon SNS.")
    try:
        await fetch(url)
    except sns.Unreachable as error:
        raise NotConfirmed(str(error)) from None
