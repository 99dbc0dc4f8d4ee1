"""What a browser or a program calls itself, in words: «Firefox on Windows». A hint for a person, no proof."""

import re
from collections.abc import Sequence
from typing import Final

# The first that fits: most browsers also say that they are others.
_BROWSERS: Final = (
    ("Edg(e|A|iOS)?/", "Edge"), ("OPR/|Opera", "Opera"), ("SamsungBrowser/", "Samsung Internet"),
    ("Vivaldi/", "Vivaldi"), ("Firefox/|FxiOS/", "Firefox"), ("CriOS/|Chrome/|Chromium/", "Chrome"),
    ("Safari/", "Safari"), ("^curl/", "curl"), ("python", "a Python program"), ("okhttp|Java/", "a Java program"),
    ("Go-http-client", "a Go program"), ("node|axios|undici", "a JavaScript program"), ("Postman", "Postman"),
)  # fmt: skip
_SYSTEMS: Final = (
    ("iPhone", "an iPhone"), ("iPad", "an iPad"), ("Android", "Android"), ("Windows", "Windows"), ("CrOS", "ChromeOS"),
    ("Macintosh|Mac OS X", "a Mac"), ("Linux|X11", "Linux"),
)  # fmt: skip


def in_words(user_agent: str) -> str:
    """«Safari on an iPhone», «curl», «an unknown program»."""
    browser = _first(_BROWSERS, user_agent) or (
        "an unknown browser" if "Mozilla/" in user_agent else "an unknown program"
    )
    system = _first(_SYSTEMS, user_agent)
    return f"{browser} on {system}" if system else browser


def _first(table: Sequence[tuple[str, str]], text: str) -> str | None:
    return next((word for pattern, word in table if re.search(pattern, text, re.IGNORECASE)), None)
