"""Runs in the peer's environment: `python -m benchmarks.peers.post_office_fill MAILS` queues them the bulk way."""

import sys

import django  # type: ignore[import-not-found]  # it is in the peer's environment only

from benchmarks.letters import letter, recipient

_AT_ONCE = 1_000


def main(mails: int) -> None:
    django.setup()
    from post_office import mail  # type: ignore[import-not-found]

    for start in range(0, mails, _AT_ONCE):
        entries = []
        for number in range(start, min(start + _AT_ONCE, mails)):
            says = letter(number)
            entries.append(
                {
                    "sender": "janus@example.com", "recipients": [recipient(number)], "subject": says.subject,
                    "message": says.text, "html_message": says.html,
                }
            )  # fmt: skip
        mail.send_many(entries)


if __name__ == "__main__":
    main(int(sys.argv[1]))
