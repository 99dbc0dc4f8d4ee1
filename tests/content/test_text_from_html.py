"""The text made from HTML says what a reader sees, for any input and in time linear in it."""

import time

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from janus_mail.content.text_from_html import text_from_html


@pytest.mark.parametrize(
    ("html", "text"),
    [
        ("", ""),
        ("<img src=x>", ""),
        ("plain\n  words", "plain words\n"),
        ("<p>One</p><p>Two</p>", "One\n\nTwo\n"),
        ("<div>One</div><div><div>Two</div></div>three", "One\nTwo\nthree\n"),
        ("One<br>two<br/><br />three<br><br><br>four", "One\ntwo\n\nthree\n\nfour\n"),
        ("<h1>Title</h1>Text <b>bold</b><i>er</i> end", "Title\n\nText bolder end\n"),
        ("a <span> b </span> c", "a b c\n"),
        ("<head><title>No</title><style>p > a {}</style></head><script>if (a<b) '</p>'</script>Yes", "Yes\n"),
        ("<STYLE>x</STYLE><!-- no <p> -->Yes<![if !mso]>!<![endif]><?xml no?>", "Yes!\n"),
        ("Gr&uuml;&szlig;e &amp; &lt;b&gt; &#8364;&nbsp;5 &unknown;", "Grüße & <b> € 5 &unknown;\n"),
        ("1 < 2 & 3 > 2, a<b", "1 < 2 & 3 > 2, a\n"),
        (
            '<a href="https://x.example/?a=1&amp;b=2">Click <b>here</b></a>.',
            "Click here (https://x.example/?a=1&b=2).\n",
        ),
        ("<a href='https://x.example'>x.example</a>", "x.example\n"),
        ("<a href=https://x.example>https://x.example</a>", "https://x.example\n"),
        ("<a href='mailto:a@x.com'>a@x.com</a> <a href='#top'>up</a> <a name=x>there</a>", "a@x.com up there\n"),
        ("<a href='javascript:x()'>run</a>", "run\n"),
        ("<a href='https://x.example'><img src=x></a>", "https://x.example\n"),
        ("<a href='https://x.example'><img alt='A &quot;cat&quot;' src=x></a>", 'A "cat" (https://x.example)\n'),
        ("<a data-x='href=no' HREF = 'https://x.example' >link", "link (https://x.example)\n"),
        ("<p title=\"a > b\" don't>it's</p>", "it's\n"),
        (
            "Hi <ul><li>one</li><li>two<ol><li>x<li>y<br>z</ol></ul>bye",
            "Hi\n\n- one\n- two\n  1. x\n  2. y\n    z\n\nbye\n",
        ),
        ("<table><tr><th>A</th><th>B</th></tr><tr><td>1</td><td></td><td>3</td></tr></table>", "A | B\n1 | 3\n"),
        ("<table><tr><td><table><tr><td>in</td></tr></table></td></tr></table>out", "in\nout\n"),
        ("<blockquote><p>one</p><p>two</p></blockquote>three", "> one\n\n> two\n\nthree\n"),
        ("<pre>a\n  b\n\nc</pre>d", "a\n  b\n\nc\n\nd\n"),
        ("a<hr>b", "a\n--------------------\nb\n"),
        ("<p>Hello {{ name }}, <a href='{{url}}'>go</a></p>", "Hello {{ name }}, go ({{url}})\n"),
        ("</ul></blockquote></pre></a><p>still</li>", "still\n"),
        ("soft&shy;hyphen&#8203;", "softhyphen\n"),
    ],
)
def test_html_is_read_as_a_person_would(html: str, text: str) -> None:
    assert text_from_html(html) == text


TAGS = st.sampled_from(
    ["a", "b", "p", "pre", "ul", "ol", "li", "tr", "td", "br", "hr", "blockquote", "style", "img", "!--"]
)
PIECES = st.one_of(
    TAGS.map(lambda tag: f"<{tag}>"),
    TAGS.map(lambda tag: f"</{tag}>"),
    st.sampled_from(
        ["<", ">", "<a href=", '"', "'", "&", "&#", "&#x110000;", "&#xD800;", "&#0;", "<![", "]]>", "=", "\n", "\t"]
    ),
    st.text(max_size=5),
)


@given(st.lists(PIECES).map("".join))
@settings(max_examples=200, deadline=None)
def test_any_input_gives_text_with_sound_lines(html: str) -> None:
    text = text_from_html(html)
    assert text == "" or text.endswith("\n")
    assert all(line == line.rstrip() for line in text.split("\n"))


def test_a_reference_with_thousands_of_digits_is_left_as_it_is() -> None:
    assert text_from_html("&#" + "1" * 5_000 + ";").startswith("&#111")


HOSTILE_TAGS = ["<a ", "<!--", "<![", "<a href='", "</a ", "<", "<script>", "<style></style", "<a>b", "<a =", "<a x"]
HOSTILE_TEXT = ["&", "&#", "= ", "<blockquote>a", "<ul><li>a", "<pre>\n ", "<td>a"]


@pytest.mark.parametrize("piece", [*HOSTILE_TAGS, *HOSTILE_TEXT])
def test_hostile_input_takes_time_linear_in_its_length(piece: str) -> None:
    html = piece * (300_000 // len(piece))
    start = time.process_time()
    text = text_from_html(html)
    assert time.process_time() - start < 3
    assert len(text) < 20 * len(html)
