"""Mails about a person's account: what was changed, and what to do if it was not them."""

from typing import Final

from janus_mail.gate.links import public_address
from janus_mail.notices.system_mail import SystemMail, worded
from janus_mail.settings import Settings

NOTICE_LASTS_S: Final = 259_200.0  # a notice is worth sending for three days
EMAIL_LINK_LASTS_S: Final = 86_400.0


def password_changed(settings: Settings, email: str) -> SystemMail:
    return _notice(
        settings, email, "Your password was changed",
        "The password of your Janus account was changed. All other browsers and programs were signed out.",
    )  # fmt: skip


def confirm_new_email(settings: Settings, new_email: str, secret: str) -> SystemMail:
    """To the new address."""
    return worded(
        new_email, "Confirm your new address",
        [
            "Somebody asked to use this address for their Janus account. If that was you, follow the link within a day "
            "and press the button there.",
            "If it was not you, do nothing: then nothing changes.",
        ],
        button=("Use this address", public_address(settings, f"/account/email/{secret}")),
    )  # fmt: skip


def address_in_use(settings: Settings, email: str) -> SystemMail:
    """To an address that has an account already; who asked is told the same as always."""
    return worded(
        email, "This address has an account already",
        [
            "Somebody asked to use this address for another Janus account. It has an account already, so nothing was "
            "changed.",
            "If that was you, sign in with this address, or delete that account first.",
        ],
        button=("Sign in", public_address(settings, "/login")),
    )  # fmt: skip


def email_change_asked(settings: Settings, email: str) -> SystemMail:
    """To the old address, which learns of it before anything is changed."""
    return _notice(
        settings, email, "Your address is about to be changed",
        "Somebody who knows your password asked to use another address for your Janus account. It is changed as soon "
        "as the link that was sent there is followed.",
    )  # fmt: skip


def email_changed(settings: Settings, old_email: str) -> SystemMail:
    """To the old address."""
    return worded(
        old_email, "Your address was changed",
        [
            "Your Janus account has another address from now on. You sign in with that, and mails about the account go "
            "there.",
            "If this was not you, somebody has taken your account: ask an administrator of the server at once to "
            "disable it.",
        ],
    )  # fmt: skip


def second_factor_changed(settings: Settings, email: str, *, on: bool) -> SystemMail:
    return _notice(
        settings, email, f"Your second factor was switched {'on' if on else 'off'}",
        "Signing in to Janus needs a code of your app from now on." if on
        else "Signing in to Janus needs your password alone from now on.",
    )  # fmt: skip


def tokens_reused(settings: Settings, email: str, program: str, address: str) -> SystemMail:
    return _notice(
        settings, email, "A program of yours was signed out",
        f"A token of a program of yours ({program}) was used a second time, from {address}. Each is good for one use, "
        "so either the program lost an answer, or somebody else has the token. To be safe it was signed out.",
        "Sign in with it again if you know it. If you do not, set a new password, which signs out everything else.",
    )  # fmt: skip


def reset_by_administrator(email: str, link: str) -> SystemMail:
    return worded(
        email, "Set a new password",
        [
            "An administrator of this server sends you a link with which you set a new password for your account.",
            "The link works once, within three days. Until then your password stays as it is.",
        ],
        button=("Choose a password", link),
    )  # fmt: skip


def account_deleted(email: str) -> SystemMail:
    return worded(
        email, "Your account was deleted",
        [
            "Your Janus account was deleted, and your name and address are gone from it.",
            "If this was not you, tell an administrator of the server.",
        ],
    )  # fmt: skip


def _notice(settings: Settings, email: str, subject: str, what: str, advice: str = "") -> SystemMail:
    usual = (
        "If this was not you, somebody knows your password: set a new one at once, and look through the browsers and "
        "programs that are signed in."
    )
    return worded(
        email, subject, [what, advice or usual], button=("Set a new password", public_address(settings, "/forgot"))
    )
