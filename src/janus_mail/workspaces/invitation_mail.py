"""What somebody reads who is invited."""

from janus_mail.notices.system_mail import SystemMail, worded


def invitation_mail(email: str, link: str, invited_by: str, workspace_name: str | None) -> SystemMail:
    """`workspace_name` is null where they are to make a workspace of their own."""
    if workspace_name is None:
        subject, what = "You are invited to Janus", f"{invited_by} invites you to send mail with Janus."
    else:
        subject = f"Invitation to {workspace_name}"
        what = f"{invited_by} invites you to the workspace “{workspace_name}” on Janus, which schedules and sends mail."
    return worded(
        email,
        subject,
        (
            what,
            "The link works once, within seven days. If you do not know what this is about, there is nothing to do.",
        ),
        button=("See the invitation", link),
    )
