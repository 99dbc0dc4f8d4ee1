"""Mail that bounced, in the words of ten servers. `{id}` is the local part of our Message-ID, `{to}` who it was to."""

from collections.abc import Mapping
from typing import NamedTuple

_ORIGINAL = """From: Janus <janus@example.com>
To: {to}
Subject: Hello
Date: Fri, 12 Jun 2026 10:00:00 +0000
Message-ID: <{id}@example.com>
MIME-Version: 1.0
Content-Type: multipart/alternative; boundary="=_inner"

--=_inner
Content-Type: text/plain; charset=utf-8

Hi there.
--=_inner
Content-Type: text/html; charset=utf-8

<p>Hi there.</p>
--=_inner--
"""


class Bounce(NamedTuple):
    """What it says, and what that means: type, status, reason, and a word of its details."""

    mail: str
    type: str
    status: str | None
    reason: str


POSTFIX = (
    """Return-Path: <>
Date: Fri, 12 Jun 2026 10:00:04 +0000 (UTC)
From: MAILER-DAEMON@mx.example.com (Mail Delivery System)
Subject: Undelivered Mail Returned to Sender
To: janus@example.com
Auto-Submitted: auto-replied
MIME-Version: 1.0
Content-Type: multipart/report; report-type=delivery-status;
	boundary="4Q1xyz.1750000000/mx.example.com"

This is a MIME-encapsulated message.

--4Q1xyz.1750000000/mx.example.com
Content-Description: Notification
Content-Type: text/plain; charset=us-ascii

This is the mail system at host mx.example.com.

<{to}>: host mx.example.org[192.0.2.1] said: 550 5.1.1 <{to}>: Recipient address
    rejected: User unknown in virtual mailbox table (in reply to RCPT TO command)

--4Q1xyz.1750000000/mx.example.com
Content-Description: Delivery report
Content-Type: message/delivery-status

Reporting-MTA: dns; mx.example.com
X-Postfix-Queue-ID: 4Q1xyz
X-Postfix-Sender: rfc822; janus@example.com
Arrival-Date: Fri, 12 Jun 2026 10:00:03 +0000 (UTC)

Final-Recipient: rfc822; {to}
Original-Recipient: rfc822;{to}
Action: failed
Status: 5.1.1
Remote-MTA: dns; mx.example.org
Diagnostic-Code: smtp; 550 5.1.1 <{to}>: Recipient address rejected: User
    unknown in virtual mailbox table

--4Q1xyz.1750000000/mx.example.com
Content-Description: Undelivered Message
Content-Type: message/rfc822

"""
    + _ORIGINAL
    + """
--4Q1xyz.1750000000/mx.example.com--
"""
)

POSTFIX_DELAYED = """From: MAILER-DAEMON@mx.example.com (Mail Delivery System)
Subject: Delayed Mail (still being retried)
To: janus@example.com
MIME-Version: 1.0
Content-Type: multipart/report; report-type=delivery-status; boundary="d1"

--d1
Content-Type: text/plain; charset=us-ascii

# THIS IS A WARNING ONLY. YOU DO NOT NEED TO RESEND YOUR MESSAGE. #

--d1
Content-Type: message/delivery-status

Reporting-MTA: dns; mx.example.com

Final-Recipient: rfc822; {to}
Action: delayed
Status: 4.4.1
Diagnostic-Code: X-Postfix; connect to mx.example.org[192.0.2.1]:25: Connection
    timed out
Will-Retry-Until: Wed, 17 Jun 2026 10:00:03 +0000 (UTC)

--d1
Content-Description: Message Headers
Content-Type: text/rfc822-headers

From: Janus <janus@example.com>
To: {to}
Message-ID: <{id}@example.com>

--d1--
"""

EXIM = (
    """Return-path: <>
From: Mail Delivery System <Mailer-Daemon@mail.example.com>
To: janus@example.com
References: <{id}@example.com>
X-Failed-Recipients: {to}
Content-Type: multipart/report; report-type=delivery-status; boundary=1750000000-eximdsn-1804289383
MIME-Version: 1.0
Subject: Mail delivery failed: returning message to sender

--1750000000-eximdsn-1804289383
Content-type: text/plain; charset=us-ascii

This message was created automatically by mail delivery software.

--1750000000-eximdsn-1804289383
Content-type: message/delivery-status

Reporting-MTA: dns; mail.example.com

Action: failed
Final-Recipient: rfc822;{to}
Status: 5.0.0
Remote-MTA: dns; mx.example.org
Diagnostic-Code: smtp; 550 No such person at this address.

--1750000000-eximdsn-1804289383
Content-type: message/rfc822

"""
    + _ORIGINAL
    + """
--1750000000-eximdsn-1804289383--
"""
)

EXCHANGE = (
    """From: <postmaster@example.org>
To: <janus@example.com>
Date: Fri, 12 Jun 2026 10:00:09 +0000
Content-Type: multipart/report; report-type=delivery-status;
 boundary="c9a4f1c2-1f5d-4b43-9a3b-000000000000"
Content-Language: en-GB
Message-ID: <0f3f7a51-5c5b@AM6PR0001.example.org>
In-Reply-To: <{id}@example.com>
Subject: Undeliverable: Hello
Auto-Submitted: auto-replied

--c9a4f1c2-1f5d-4b43-9a3b-000000000000
Content-Type: multipart/alternative; differences=Content-Type;
 boundary="inner"

--inner
Content-Type: text/plain; charset="us-ascii"
Content-Transfer-Encoding: quoted-printable

Your message couldn't be delivered.=

--inner--

--c9a4f1c2-1f5d-4b43-9a3b-000000000000
Content-Type: message/delivery-status

Reporting-MTA: dns;AM6PR0001.example.org
Received-From-MTA: dns;mx.example.com
Arrival-Date: Fri, 12 Jun 2026 10:00:05 +0000

Final-Recipient: rfc822;{to}
Action: failed
Status: 5.1.10
Diagnostic-Code: smtp;550 5.1.10 RESOLVER.ADR.RecipientNotFound; Recipient {to} not found by SMTP address lookup


--c9a4f1c2-1f5d-4b43-9a3b-000000000000
Content-Type: message/rfc822

"""
    + _ORIGINAL
    + """
--c9a4f1c2-1f5d-4b43-9a3b-000000000000--
"""
)

GMAIL = (
    """From: Mail Delivery Subsystem <mailer-daemon@googlemail.com>
To: janus@example.com
Auto-Submitted: auto-replied
Subject: Delivery Status Notification (Failure)
References: <{id}@example.com>
In-Reply-To: <{id}@example.com>
X-Failed-Recipients: {to}
Message-ID: <6847f0.050a0220.1234.0000.GMR@mx.google.com>
Content-Type: multipart/report; boundary="00000000000012ab"; report-type=delivery-status

--00000000000012ab
Content-Type: multipart/related; boundary="0000000000001b2c"

--0000000000001b2c
Content-Type: text/html; charset="UTF-8"

<b>Address not found</b>

--0000000000001b2c--
--00000000000012ab
Content-Type: message/delivery-status

Reporting-MTA: dns; googlemail.com
Received-From-MTA: dns; janus@example.com
Arrival-Date: Fri, 12 Jun 2026 03:00:03 -0700 (PDT)
X-Original-Message-ID: <{id}@example.com>

Final-Recipient: rfc822; {to}
Action: failed
Status: 5.1.1
Remote-MTA: dns; gmail-smtp-in.l.google.com. (192.0.2.7, the server for the domain example.org.)
Diagnostic-Code: smtp; 550-5.1.1 The email account that you tried to reach does not exist.
 550 5.1.1 https://support.google.com/mail/?p=NoSuchUser
Last-Attempt-Date: Fri, 12 Jun 2026 03:00:04 -0700 (PDT)

--00000000000012ab
Content-Type: message/rfc822

"""
    + _ORIGINAL
    + """
--00000000000012ab--
"""
)

SENDMAIL_FULL = """From: Mail Delivery Subsystem <MAILER-DAEMON@mail.example.com>
To: <janus@example.com>
MIME-Version: 1.0
Content-Type: multipart/report; report-type=delivery-status;
	boundary="55CA0lZ.1750000000/mail.example.com"
Subject: Returned mail: see transcript for details

--55CA0lZ.1750000000/mail.example.com

The original message was received at Fri, 12 Jun 2026 10:00:00 GMT

--55CA0lZ.1750000000/mail.example.com
Content-Type: message/delivery-status

Reporting-MTA: dns; mail.example.com
Arrival-Date: Fri, 12 Jun 2026 10:00:00 GMT

Final-Recipient: RFC822; {to}
Action: failed
Status: 4.2.2
Diagnostic-Code: SMTP; 452 4.2.2 Mailbox full
Last-Attempt-Date: Wed, 17 Jun 2026 10:00:07 GMT

--55CA0lZ.1750000000/mail.example.com
Content-Type: text/rfc822-headers
Content-Transfer-Encoding: quoted-printable

Message-ID: <{id}@exam=
ple.com>
To: {to}

--55CA0lZ.1750000000/mail.example.com--
"""

DELIVERED = """From: postmaster@mx.example.org
To: janus@example.com
Subject: Successful Mail Delivery Report
MIME-Version: 1.0
Content-Type: multipart/report; report-type=delivery-status; boundary=ok

--ok
Content-Type: text/plain

Your message was successfully delivered to the destination(s) listed below.

--ok
Content-Type: message/delivery-status

Reporting-MTA: dns; mx.example.org

Original-Recipient: rfc822;{to}
Final-Recipient: rfc822; mailbox17@backend.example.org
Action: relayed (to non-DSN-aware mailer)
Status: 2.0.0

--ok
Content-Type: text/rfc822-headers

Message-ID: <{id}@example.com>

--ok--
"""

# RFC 6533: the report and the mail beyond ASCII.
INTERNATIONAL = """From: postmaster@mx.example.org
To: janus@example.com
Subject: Undelivered
MIME-Version: 1.0
Content-Type: multipart/report; report-type=delivery-status; boundary=u8

--u8
Content-Type: text/plain; charset=utf-8
Content-Transfer-Encoding: 8bit

Das Postfach für {to} gibt es nicht.

--u8
Content-Type: message/global-delivery-status
Content-Transfer-Encoding: 8bit

Reporting-MTA: dns; mx.example.org

Original-Recipient: utf-8; ann@ex\\x{{E4}}mple.org
Final-Recipient: utf-8; ann@exämple.org
Action: failed
Status: 5.1.1
Diagnostic-Code: smtp; 550 5.1.1 Gibt es nicht: exämple

--u8
Content-Type: message/global-headers

Subject: Grüße
Message-ID: <{id}@example.com>

--u8--
"""

# Encoded on its way by a server that may not pass 8 bits on.
ENCODED = (
    """From: postmaster@mx.example.org
To: janus@example.com
Subject: Undelivered
MIME-Version: 1.0
Content-Type: multipart/report; report-type=delivery-status; boundary=b64

--b64
Content-Type: text/plain

Not delivered.
--b64
Content-Type: message/delivery-status
Content-Transfer-Encoding: base64

UmVwb3J0aW5nLU1UQTogZG5zOyBteC5leGFtcGxlLm9yZw0KDQpGaW5hbC1SZWNpcGllbnQ6IHJm
YzgyMjsgYW5uQGV4YW1wbGUub3JnDQpBY3Rpb246IGZhaWxlZA0KU3RhdHVzOiA1LjcuMQ0KRGlh
Z25vc3RpYy1Db2RlOiBzbXRwOyA1NTAgNS43LjEgUmVmdXNlZA0K
--b64
Content-Type: message/rfc822

"""
    + _ORIGINAL
    + """
--b64--
"""
)

# Without the mail that it is about: only what it answers to tells.
HEADLESS = """From: postmaster@mx.example.org
To: janus@example.com
In-Reply-To: <{id}@example.com>
Subject: failure notice
Content-Type: multipart/report; report-type=delivery-status; boundary=hl

--hl
Content-Type: message/delivery-status

Reporting-MTA: dns; mx.example.org

Final-Recipient: rfc822; {to}
Action: failed

--hl--
"""

BOUNCES: Mapping[str, Bounce] = {
    "Postfix": Bounce(
        POSTFIX, "bounced_hard", "5.1.1",
        "550 5.1.1 <ann@example.org>: Recipient address rejected: User unknown in virtual mailbox table",
    ),
    "Postfix, delayed": Bounce(
        POSTFIX_DELAYED, "deferred", "4.4.1", "connect to mx.example.org[192.0.2.1]:25: Connection timed out"
    ),
    "Exim": Bounce(EXIM, "bounced_hard", "5.0.0", "550 No such person at this address."),
    "Exchange": Bounce(
        EXCHANGE, "bounced_hard", "5.1.10",
        "550 5.1.10 RESOLVER.ADR.RecipientNotFound; Recipient ann@example.org not found by SMTP address lookup",
    ),
    "Gmail": Bounce(
        GMAIL, "bounced_hard", "5.1.1",
        "550-5.1.1 The email account that you tried to reach does not exist. 550 5.1.1 "
        "https://support.google.com/mail/?p=NoSuchUser",
    ),
    "sendmail, full": Bounce(SENDMAIL_FULL, "bounced_soft", "4.2.2", "452 4.2.2 Mailbox full"),
    "delivered": Bounce(DELIVERED, "delivered", "2.0.0", "2.0.0"),
    "international": Bounce(INTERNATIONAL, "bounced_hard", "5.1.1", "550 5.1.1 Gibt es nicht: exämple"),
    "encoded": Bounce(ENCODED, "bounced_hard", "5.7.1", "550 5.7.1 Refused"),
    "headless": Bounce(HEADLESS, "bounced_hard", None, "failed"),
}  # fmt: skip

QMAIL = (
    """From: MAILER-DAEMON@mx.example.org
To: janus@example.com
Subject: failure notice

Hi. This is the qmail-send program at mx.example.org.
I'm afraid I wasn't able to deliver your message to the following addresses.

<{to}>:
Sorry, no mailbox here by that name. (#5.1.1)

--- Below this line is a copy of the message.

"""
    + _ORIGINAL
)

AWAY = """From: {to}
To: janus@example.com
Subject: Out of office
Auto-Submitted: auto-replied
In-Reply-To: <{id}@example.com>
Content-Type: text/plain

I am back on Monday.
"""

# A person sends a bounce on: it is about that person's mail.
FORWARDED = (
    """From: ben@example.net
To: janus@example.com
Subject: Fwd: what is this?
MIME-Version: 1.0
Content-Type: multipart/mixed; boundary=fw

--fw
Content-Type: text/plain

See below.
--fw
Content-Type: message/rfc822

"""
    + POSTFIX
    + """
--fw--
"""
)
