"""What HTML shows of its own mail's files: `cid:` addresses (RFC 2392)."""

import re
from urllib.parse import unquote

# As an attribute or in CSS; prose that speaks of «cid:» shows nothing.
# Possessive (`*+`): a mebibyte of blanks is looked at once and not for each of them.
_SHOWN = re.compile(r"""(?:[=(]\s*+["']?|["'])\s*+cid:([^"'\s<>)]+)""", re.IGNORECASE)


def shown_in(html: str | None) -> list[str]:
    """The Content-IDs that it names, each once, in its order. What a placeholder makes is not known yet."""
    if not html or "cid:" not in html.lower():
        return []
    named = (unquote(match[1]) for match in _SHOWN.finditer(html) if "{{" not in match[1])
    return list(dict.fromkeys(named))
