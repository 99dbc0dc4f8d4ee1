"""How each service is told where to post what becomes of the mail, and which events to choose there."""

from collections.abc import Mapping
from typing import NamedTuple


class HookWords(NamedTuple):
    """`where` in the service's own console; `events` to choose; `proof`: what makes its posts believed."""

    where: str
    events: str
    proof: str


HOOKS: Mapping[str, HookWords] = {
    "ses": HookWords(
        "Amazon SNS: make a topic, subscribe this address to it over HTTPS, and name the topic in the event "
        "destination of the configuration set. Janus confirms the subscription itself.",
        "Send, Delivery, Delivery delay, Bounce, Complaint, Reject, Rendering failure, Open, Click, Subscription",
        "Amazon signs each post. Once the topic’s ARN is in the form, posts of other topics are refused.",
    ),
    "sendgrid": HookWords(
        "Settings, Mail Settings, Event Webhooks: make one with this address.",
        "all of them: Processed, Deferred, Delivered, Bounced, Dropped, Opened, Clicked, Spam reports, Unsubscribes",
        "Switch on “Signed Event Webhook” and put its verification key into the form.",
    ),
    "mailgun": HookWords(
        "Send, Webhooks: add this address for the domain.",
        "Accepted, Delivered, Opened, Clicked, Permanent failure, Temporary failure, Spam complaints, Unsubscribes",
        "Put the “HTTP webhook signing key” of the API security page into the form.",
    ),
    "mandrill": HookWords(
        "Settings, Webhooks: add one with this address.",
        "Sent, Delivered, Soft-Bounced, Bounced, Delayed, Opened, Clicked, Marked as Spam, Unsubscribed, Rejected",
        "Put the key that stands beside the webhook there into the form.",
    ),
    "mailtrap": HookWords(
        "Settings, Webhooks: make one with this address, as JSON.",
        "Delivery, Soft bounce, Bounce, Suspension, Reject, Open, Click, Spam complaint, Unsubscribe",
        "Put its signing secret into the form.",
    ),
    "postmark": HookWords(
        "Servers, your server, the message stream, Webhooks: add this address.",
        "Delivery, Bounce, Spam complaint, Open, Link click, Subscription change",
        "Postmark signs nothing: the secret is in the address. A password can be added, there and in the form.",
    ),
    "resend": HookWords(
        "Webhooks: add this address as an endpoint.",
        "all that begin with “email.”",
        "Put the endpoint’s signing secret, whsec_…, into the form.",
    ),
    "brevo": HookWords(
        "Transactional, Settings, Webhook: add this address.",
        "Sent, Delivered, Deferred, Soft bounce, Hard bounce, Blocked, Error, Complaint, First opening, Click, "
        "Unsubscribed",
        "Brevo signs nothing: the secret is in the address. A password or token can be added, there and in the form.",
    ),
}
BOUNCES = (
    "SMTP servers post nothing. Bounces come back as mail to the sender’s address: have its mailbox pass them on to "
    "this address, each as it is, as the body of a POST."
)
