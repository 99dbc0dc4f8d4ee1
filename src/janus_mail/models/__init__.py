"""Every table, one file each. Importing this package makes them all known to `Base.metadata`."""

from janus_mail.models.account_link import AccountLink
from janus_mail.models.api_key import ApiKey
from janus_mail.models.attachment import Attachment
from janus_mail.models.attempt import Attempt
from janus_mail.models.audit_entry import AuditEntry
from janus_mail.models.captured_mail import CapturedMail
from janus_mail.models.circuit import Circuit
from janus_mail.models.duty import Duty
from janus_mail.models.event import Event
from janus_mail.models.event_dirty import EventDirty
from janus_mail.models.feedback_event import FeedbackEvent
from janus_mail.models.hook_post import HookPost
from janus_mail.models.idempotency_key import IdempotencyKey
from janus_mail.models.incident_notice import IncidentNotice
from janus_mail.models.invitation import Invitation
from janus_mail.models.membership import Membership
from janus_mail.models.message import Message
from janus_mail.models.message_recipient import MessageRecipient
from janus_mail.models.provider import Provider
from janus_mail.models.provider_incident import ProviderIncident
from janus_mail.models.provider_usage import ProviderUsage
from janus_mail.models.recovery_code import RecoveryCode
from janus_mail.models.refresh_token import RefreshToken
from janus_mail.models.session import Session
from janus_mail.models.suppression import Suppression
from janus_mail.models.system_mail import SystemMail
from janus_mail.models.user import User
from janus_mail.models.worker import Worker
from janus_mail.models.workspace import Workspace
from janus_mail.models.workspace_usage import WorkspaceUsage

__all__ = [
    "AccountLink",
    "ApiKey",
    "Attachment",
    "Attempt",
    "AuditEntry",
    "CapturedMail",
    "Circuit",
    "Duty",
    "Event",
    "EventDirty",
    "FeedbackEvent",
    "HookPost",
    "IdempotencyKey",
    "IncidentNotice",
    "Invitation",
    "Membership",
    "Message",
    "MessageRecipient",
    "Provider",
    "ProviderIncident",
    "ProviderUsage",
    "RecoveryCode",
    "RefreshToken",
    "Session",
    "Suppression",
    "SystemMail",
    "User",
    "Worker",
    "Workspace",
    "WorkspaceUsage",
]
