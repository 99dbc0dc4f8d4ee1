"""Which senders a workspace may use."""

import pytest

from janus_mail.errors import InvalidInput
from janus_mail.workspaces.senders import check_sender


@pytest.mark.parametrize(
    ("address", "allowed"),
    [
        ("anyone@anywhere.example", None),
        ("ann@example.com", ["ann@example.com"]),
        ("Ann@example.com", ["ANN@Example.COM"]),
        ("ann@example.com", ["bob@example.org", "example.com"]),
        ("ann@example.com", ["@example.com"]),
        ("ann@xn--bcher-kva.example", ["bücher.example"]),
        ("ann@xn--bcher-kva.example", ["ann@bücher.example"]),
        ("ann@xn--bcher-kva.example", ["xn--bcher-kva.example"]),
    ],
)
def test_an_allowed_address_or_domain_passes(address: str, allowed: list[str] | None) -> None:
    check_sender(address, allowed)


@pytest.mark.parametrize(
    ("address", "allowed"),
    [
        ("ann@example.com", []),
        ("bob@example.com", ["ann@example.com"]),
        ("ann@mail.example.com", ["example.com"]),
        ("ann@example.com.evil.example", ["example.com"]),
        ("ann@notexample.com", ["example.com"]),
    ],
)
def test_another_is_refused_with_its_field(address: str, allowed: list[str]) -> None:
    with pytest.raises(InvalidInput) as caught:
        check_sender(address, allowed)
    assert caught.value.code == "sender_not_allowed"
    assert [detail.field for detail in caught.value.details] == ["from_email"]
