"""The pages' own files, at addresses that change with their content, so that browsers may keep them for good."""

from functools import cache
from hashlib import sha256
from pathlib import Path

from starlette.responses import Response
from starlette.staticfiles import StaticFiles
from starlette.types import Scope

MOUNTED_AT = "/static"
_FOLDER = Path(__file__).parent / "static"
_FOR_GOOD = "public, max-age=31536000, immutable"


class Assets(StaticFiles):
    """Serves `/static/<version>/<file>`; another version's address gets today's file, to be asked for again."""

    def __init__(self) -> None:
        super().__init__(directory=_FOLDER)

    async def get_response(self, path: str, scope: Scope) -> Response:
        asked_version, _, file = path.partition("/")
        response = await super().get_response(file, scope)
        response.headers["Cache-Control"] = _FOR_GOOD if asked_version == version() else "no-cache"
        response.headers["X-Content-Type-Options"] = "nosniff"
        return response


@cache
def version() -> str:
    """One for all files: a stylesheet names its font relative to itself."""
    digest = sha256()
    for path in sorted(path for path in _FOLDER.rglob("*") if path.is_file()):
        digest.update(path.relative_to(_FOLDER).as_posix().encode() + b"\0" + path.read_bytes())
    return digest.hexdigest()[:12]


def address(file: str) -> str:
    """Where a page finds `file` of the folder `static`."""
    return f"{MOUNTED_AT}/{version()}/{file}"
