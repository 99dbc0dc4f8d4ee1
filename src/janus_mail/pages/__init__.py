"""The pages: Jinja templates over the same services as the API's. They work without JavaScript."""

from janus_mail.pages.site import install

__all__ = ["install"]
