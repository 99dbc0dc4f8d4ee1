"""The settings of an account at Amazon SES: keys or the machine's own role, region, and what it hears back through."""

from typing import ClassVar, Self

from pydantic import ConfigDict, Field, model_validator

from janus_mail.providers.http_config import HttpConfig, Secret, reveal
from janus_mail.providers.webhook_keys import RsaCertificate

_KEYS = ("access_key_id", "secret_access_key")


class SesConfig(HttpConfig):
    """An account at Amazon SES, in one region."""

    model_config = ConfigDict(title="Amazon SES")
    needed: ClassVar[dict[str, str]] = {"region": "the region"}

    region: str = Field(
        "",
        title="Region",
        description="Where the sender is verified.",
        examples=["eu-west-1"],
        pattern=r"^([a-z]{2,5}(-[a-z]+)+-[0-9]+)?$",
        max_length=50,
    )
    access_key_id: Secret = Field(
        None,
        title="Access key ID",
        description="Of a user who may do ses:SendEmail and ses:SendRawEmail; with ses:GetAccount it can be checked.",
        examples=["AKIAIOSFODNN7EXAMPLE"],
        max_length=128,
    )
    secret_access_key: Secret = Field(
        None,
        title="Secret access key",
        description="What belongs to the access key ID.",
        examples=["wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY"],
        max_length=512,
    )
    session_token: Secret = Field(
        None,
        title="Session token",
        description="With temporary keys alone, which AWS takes back after some hours.",
        examples=["IQoJb3JpZ2luX2VjEJ…"],
        max_length=8192,
    )
    use_default_credentials: bool = Field(
        False,
        title="The machine's own role",
        description="Instead of keys: those that the machine has from its role in AWS, its environment or its files. "
        "Where whoever runs Janus lends them to all workspaces (JANUS_AWS_DEFAULT_CREDENTIALS).",
    )
    configuration_set: str | None = Field(
        None,
        title="Configuration set",
        description="Needed to hear what became of the mail, through the events that it publishes.",
        examples=["janus"],
        pattern=r"^[A-Za-z0-9_-]+$",
        max_length=64,
    )
    from_arn: str | None = Field(
        None,
        title="ARN of the identity",
        description="If the sender's address is verified in another account, which allows yours to use it.",
        examples=["arn:aws:ses:eu-west-1:123456789012:identity/example.com"],
        pattern=r"^arn:[a-z-]+:ses:[a-z0-9-]+:[0-9]{12}:identity/[!-~]+$",
        max_length=500,
    )
    topic_arn: str | None = Field(
        None,
        title="ARN of the SNS topic",
        description="Where the configuration set publishes its events: those of other topics are not believed.",
        examples=["arn:aws:sns:eu-west-1:123456789012:janus"],
        pattern=r"^arn:[a-z-]+:sns:[a-z0-9-]+:[0-9]{12}:[A-Za-z0-9_.-]+$",
        max_length=500,
    )
    signing_certificate: RsaCertificate = Field(
        None,
        title="Signing certificate of SNS",
        description="In PEM, if Janus cannot fetch it from Amazon itself.",
        examples=["-----BEGIN CERTIFICATE-----\n…\n-----END CERTIFICATE-----"],
        max_length=20_000,
    )

    def lacking(self) -> dict[str, str]:
        """And the keys, where no role stands in for them."""
        keys = () if self.use_default_credentials else _KEYS
        sentence = "both keys are needed, or use_default_credentials"
        return super().lacking() | {name: sentence for name in keys if not reveal(getattr(self, name))}

    @model_validator(mode="after")
    def _keys_or_role(self) -> Self:
        if self.use_default_credentials and any(reveal(getattr(self, name)) for name in (*_KEYS, "session_token")):
            raise ValueError("use_default_credentials: leave the keys out, or this off")
        return self
