"""Swagger UI at /docs and ReDoc at /redoc: from files in this package, with no inline script and no outside host."""

from pathlib import Path
from typing import Final

from fastapi import APIRouter, FastAPI, Request
from starlette.responses import FileResponse, RedirectResponse
from starlette.staticfiles import StaticFiles

_HERE: Final = Path(__file__).parent
_STATIC: Final = _HERE / "static"

# ReDoc makes its style sheets by script: <style> elements that are empty (the first hash) and filled through the CSSOM,
# and one whose text its bundle carries (the second hash, of this version). Its search runs in a worker made of a blob.
_REDOC_STYLES: Final = (
    "'sha256-47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU=' 'sha256-QMIg+bpjm3JdElJ388KYke01izlUW0UoNOeKjpMxdgc='"
)
_POLICY: Final = (
    "default-src 'none'; script-src 'self'; style-src 'self' {styles}; img-src 'self' data:; font-src 'self'; "
    "connect-src 'self'; worker-src {workers}; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)

_router = APIRouter(include_in_schema=False)


@_router.get("/docs")
async def swagger_ui() -> FileResponse:
    return _page("swagger.html", _POLICY.format(styles="", workers="'none'"))


@_router.get("/redoc")
async def redoc() -> FileResponse:
    return _page("redoc.html", _POLICY.format(styles=_REDOC_STYLES, workers="blob:"))


@_router.get("/api/docs")
async def where_the_docs_are(request: Request) -> RedirectResponse:
    return RedirectResponse(request.scope.get("root_path", "") + "/docs")


def install(app: FastAPI) -> None:
    """Add the pages and their files."""
    app.include_router(_router)
    app.mount("/docs/static", StaticFiles(directory=_STATIC))
    app.mount("/docs/vendor", StaticFiles(directory=_HERE / "vendor"))


def _page(name: str, policy: str) -> FileResponse:
    return FileResponse(_STATIC / name, headers={"Content-Security-Policy": policy})
