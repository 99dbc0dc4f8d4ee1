"""Encoded-words (RFC 2047): text beyond ASCII in headers, as a row of ASCII words that decode to exactly that text."""

from binascii import b2a_base64
from collections.abc import Iterator

MAX_WORD = 75
_OVERHEAD = len("=?utf-8?b??=")
LEAST_ROOM = _OVERHEAD + len("=F0=9F=90=88")  # the longest character in Q
# Q leaves these as they are: the set for phrases (RFC 2047 5(3)), which is safe everywhere. A space becomes «_».
_AS_IS = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789!*+-/"
_Q = {chr(octet): chr(octet) if octet in _AS_IS else f"={octet:02X}" for octet in range(128)} | {" ": "_"}


def encode_words(text: str, first_room: int) -> Iterator[str]:
    """The encoded-words of `text`, in B or Q, whichever is shorter, none over 75 octets.

    The first is at most `first_room` octets, which must be LEAST_ROOM or more. White space between the words is no
    part of the text.
    """
    octets = text.encode()
    as_is = len(octets) - len(octets.translate(None, _AS_IS + b" "))
    room = min(first_room, MAX_WORD) - _OVERHEAD
    if 3 * len(octets) - 2 * as_is <= (len(octets) + 2) // 3 * 4:
        return _in_q(text, room)
    return _in_b(octets, room)


def _in_b(octets: bytes, room: int) -> Iterator[str]:
    start = 0
    while start < len(octets):
        end = min(start + room // 4 * 3, len(octets))
        while end < len(octets) and octets[end] & 0xC0 == 0x80:  # inside a character
            end -= 1
        yield f"=?utf-8?b?{b2a_base64(octets[start:end], newline=False).decode()}?="
        start, room = end, MAX_WORD - _OVERHEAD


def _in_q(text: str, room: int) -> Iterator[str]:
    payload: list[str] = []
    for character in text:
        encoded = _Q.get(character) or "".join(f"={octet:02X}" for octet in character.encode())
        if len(encoded) > room:
            yield f"=?utf-8?q?{''.join(payload)}?="
            payload, room = [], MAX_WORD - _OVERHEAD
        payload.append(encoded)
        room -= len(encoded)
    yield f"=?utf-8?q?{''.join(payload)}?="
