"""Placeholders are found, filled once, and refused where they cannot be filled."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from janus_mail.content.addresses import Mailbox
from janus_mail.content.variables import (
    InvalidVariable,
    Template,
    check_header_values,
    placeholders,
    values_for,
)


@pytest.mark.parametrize(
    ("text", "filled"),
    [
        ("no placeholder", "no placeholder"),
        ("{{name}}", "Ann"),
        ("Dear {{ name }}, {{\tname}}", "Dear Ann, Ann"),
        ("{{name}}{{_x1}}", "Ann{{name}}"),  # what is filled in is not filled again
        ("{{{name}}}", "{Ann}"),
        ("{{user.name}} {{1}} {{na me}} {{}} {{name} {{ {name}} {{na\nme}}", None),
        ("{{\nname}} {{näme}} {{#if}} {{% x %}} {{name|upper}}", None),
    ],
)
def test_only_names_in_double_braces_are_replaced(text: str, filled: str | None) -> None:
    assert Template(text).fill({"name": "Ann", "_x1": "{{name}}"}) == (text if filled is None else filled)


@given(st.lists(st.one_of(st.just("{{a}}"), st.text("{} a\n")), max_size=10).map("".join), st.text())
@settings(deadline=None)
def test_filling_is_the_same_as_replacing(text: str, value: str) -> None:
    template = Template(text)
    assert template.names == placeholders(text)
    marked = template.fill(dict.fromkeys(template.names, "\0"))
    assert template.fill(dict.fromkeys(template.names, value)) == marked.replace("\0", value)
    assert Template(text, frozenset()).fill({}) == text


def test_the_names_of_several_texts_are_found() -> None:
    assert placeholders("{{a}} {{b}}", None, "{{ b }} {{c}}") == {"a", "b", "c"}


def test_name_and_email_come_from_the_mailbox_unless_the_caller_gave_them() -> None:
    assert values_for(Mailbox("a@x.com", "Ann"), {}) == {"email": "a@x.com", "name": "Ann"}
    assert values_for(Mailbox("a@x.com", "Ann"), {"name": "Bo", "email": "e"}) == {"email": "e", "name": "Bo"}


def test_a_missing_variable_is_named_when_it_is_needed_after_all() -> None:
    with pytest.raises(InvalidVariable) as refused:
        Template("{{ code }}").fill({})
    assert refused.value.name == "code"


@pytest.mark.parametrize("value", ["a\nb", "a\rb", "\0", "\x85", "\u2028"])
def test_a_value_with_a_line_break_cannot_stand_in_a_header(value: str) -> None:
    with pytest.raises(InvalidVariable) as refused:
        check_header_values(["name"], {"name": value})
    assert refused.value.name == "name"
    check_header_values(["name"], {"name": "a\tb", "other": value})
