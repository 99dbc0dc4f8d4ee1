"""Logging: structlog and the standard library's loggers in one stream, with the ids of what is being worked on.

At INFO and above a line may carry ids, counts and kinds; never an address, a subject, a body or a secret.
"""

import logging
import re
import sys
import traceback
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Literal, TextIO

import orjson
import structlog
from structlog.types import EventDict, ExcInfo, Processor

# An exception's text may quote data: PostgreSQL's DETAIL shows whole rows, parsers show what they could not read.
# It only begins where a word does, so that a word without end is looked through once.
_ADDRESS = re.compile(r"(?<![^\s@<>\"'(,:;=\[])[^\s@<>\"'(,:;=\[]++@[^\s@<>\"'),:;\]]+")
_DETAIL = re.compile(r"^(DETAIL|CONTEXT|\[parameters): .*$", re.MULTILINE)


def configure(format: Literal["json", "console"], level: str, stream: TextIO | None = None) -> None:  # noqa: A002
    """Send every log line to `stream` (default stderr). May be called again; other handlers are left alone."""
    shared: list[Processor] = [
        structlog.contextvars.merge_contextvars,
        structlog.stdlib.add_log_level,
        structlog.stdlib.add_logger_name,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
    ]
    structlog.configure(
        processors=[
            structlog.stdlib.filter_by_level,
            structlog.stdlib.PositionalArgumentsFormatter(),
            *shared,
            structlog.stdlib.ProcessorFormatter.wrap_for_formatter,
        ],
        logger_factory=structlog.stdlib.LoggerFactory(),
        wrapper_class=structlog.stdlib.BoundLogger,
        cache_logger_on_first_use=False,
    )
    handler = _Handler(stream or sys.stderr)
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=shared,
            processors=[
                structlog.stdlib.ProcessorFormatter.remove_processors_meta,
                structlog.processors.ExceptionRenderer(exception_text),
                _renderer(format),
            ],
        )
    )
    root = logging.getLogger()
    for former in [other for other in root.handlers if isinstance(other, _Handler)]:
        root.removeHandler(former)
    root.addHandler(handler)
    root.setLevel(level)
    _quieten_libraries()


class _Handler(logging.StreamHandler[TextIO]):
    """Ours, so that a second `configure` finds the first one's."""


def _quieten_libraries() -> None:
    for name in ("uvicorn", "uvicorn.error"):
        logger = logging.getLogger(name)
        logger.handlers.clear()
        logger.propagate = True
    # Its lines show the query string, where the form API has a TOKEN; web/request_log.py writes ours.
    logging.getLogger("uvicorn.access").disabled = True
    for name in ("arq", "httpx", "httpcore", "tzlocal", "alembic"):
        logging.getLogger(name).setLevel(logging.WARNING)
    # While PostgreSQL is away it prints a traceback a second; whoever asks for a connection says so once.
    logging.getLogger("asyncpg").setLevel(logging.CRITICAL)


def _renderer(format: Literal["json", "console"]) -> Processor:  # noqa: A002
    if format == "console":
        # The traceback is text already; the default, rich, would want the exception and show its local values.
        plain = structlog.dev.plain_traceback
        return structlog.dev.ConsoleRenderer(colors=sys.stderr.isatty(), exception_formatter=plain)
    return structlog.processors.JSONRenderer(serializer=_to_json)


def _to_json(event: EventDict, **_: Any) -> str:
    return orjson.dumps(event, default=str).decode()


def exception_text(exc_info: ExcInfo) -> str:
    """The traceback without local values, and without what its messages quote of people's data."""
    text = "".join(traceback.format_exception(*exc_info))
    return _ADDRESS.sub("<address>", _DETAIL.sub(r"\1: left out", text)).rstrip()


def bind(**ids: uuid.UUID | str) -> None:
    """From here on, every line of this task carries `ids`: request_id, workspace_id, event_id, message_id."""
    structlog.contextvars.bind_contextvars(**{name: str(id_) for name, id_ in ids.items()})


@contextmanager
def bound(**ids: uuid.UUID | str) -> Iterator[None]:
    """`bind` for a block."""
    with structlog.contextvars.bound_contextvars(**{name: str(id_) for name, id_ in ids.items()}):
        yield
