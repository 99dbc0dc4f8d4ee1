"""What the mails of a measurement say: 5 kB of text and HTML, a little of it each mail's own."""

from collections.abc import Iterable
from dataclasses import dataclass

_WIDTH = 7
_SENTENCE = "Your order has left our house and is with the carrier now, who will bring it to you soon. "
_ROW = '<tr><td style="padding:4px 12px;color:#334155">A line of your order</td><td align="right">12.50 EUR</td></tr>\n'


@dataclass(frozen=True, slots=True)
class Letter:
    """Subject and bodies, with LF."""

    subject: str
    text: str
    html: str


def digits(number: int) -> str:
    """As wide for each mail, so that two mails differ in nothing but these."""
    return f"{number:0{_WIDTH}d}"


def recipient(number: int) -> str:
    return f"reader{digits(number)}@example.com"


def number_of(address: str) -> int:
    """Of a `recipient`."""
    return int(address.partition("@")[0][-_WIDTH:])


def letter(number: int) -> Letter:
    """The mail of one recipient, filled."""
    return _letter(f"Ann {digits(number)}", digits(number))


def letters(numbers: Iterable[int]) -> dict[str, tuple[int, Letter]]:
    """By recipient, with its number: what `checks.check_arrivals` is to find."""
    return {recipient(number): (number, letter(number)) for number in numbers}


def template() -> Letter:
    """The same with `{{name}}` and `{{order}}` for `variables`."""
    return _letter("{{name}}", "{{order}}")


def variables(number: int) -> dict[str, str]:
    return {"name": f"Ann {digits(number)}", "order": digits(number)}


def _letter(name: str, order: str) -> Letter:
    text = f"Hello {name},\n\n" + f"{_SENTENCE * 2}\n".replace(" \n", "\n") * 5 + f"\nOrder {order}\n"
    html = (
        f"<!doctype html>\n<html><body>\n<h1>Hello {name}</h1>\n"
        f"<p>{_SENTENCE.strip()}</p>\n<table>\n{_ROW * 30}</table>\n<p>Order {order}</p>\n</body></html>\n"
    )
    return Letter(f"Order {order} is on its way", text, html)
