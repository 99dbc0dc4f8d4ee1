"""What HTML shows of its own mail's files."""

import pytest

from janus_mail.content.inline_images import shown_in


@pytest.mark.parametrize(
    ("html", "shown"),
    [
        (None, []),
        ("<p>acid: no, cid: neither, and cid:not-this one</p>", []),
        ("<img src=\"cid:dot.gif\"><img src='CID:b@c'><img src=cid:d>", ["dot.gif", "b@c", "d"]),
        ('<p style="background:url(cid:e)"><img src="cid:e"><img src="cid:a%20b">', ["e", "a b"]),
        ('<img src="cid:{{name}}">', []),
    ],
)
def test_the_ids_that_html_shows_are_found_once_each(html: str | None, shown: list[str]) -> None:
    assert shown_in(html) == shown
