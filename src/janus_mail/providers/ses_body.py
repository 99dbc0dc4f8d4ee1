"""The body of a request with a large mail in it, made in a thread: botocore would encode and hash it in the event loop,
and all other mail would wait.

botocore is given a placeholder instead, and signs with the hash that it finds in the headers.
"""

import secrets
from base64 import b64encode
from binascii import b2a_base64
from collections.abc import Callable, Iterator
from hashlib import sha256
from io import BytesIO
from itertools import chain
from typing import Final

LARGE_BYTES: Final = 256 * 1024
PLACEHOLDER: Final = secrets.token_bytes(24)  # 32 characters in base64, which nobody can guess and put elsewhere
DIGEST_HEADER: Final = "X-Amz-Content-SHA256"

_STEP_BYTES = 3 * 64 * 1024  # whole groups of three; some 0.2 ms, after which other threads have their turn

Data = Callable[[], bytes]


def filled(body: bytes, data: Data) -> tuple[bytes, str]:
    """The body with the data in base64 (RFC 4648 section 4) where the placeholder stood, and its SHA-256 in hex.

    Base64 has no sign that JSON escapes.
    """
    before, placeholder, after = body.partition(b64encode(PLACEHOLDER))
    if not placeholder:
        raise RuntimeError("AWS's library has not written what it was given.")
    whole, digest = BytesIO(), sha256()
    for piece in chain((before,), _encoded(data()), (after,)):
        whole.write(piece)
        digest.update(piece)
    return whole.getvalue(), digest.hexdigest()


def _encoded(content: bytes) -> Iterator[bytes]:
    view = memoryview(content)
    for start in range(0, len(content), _STEP_BYTES):
        yield b2a_base64(view[start : start + _STEP_BYTES], newline=False)
