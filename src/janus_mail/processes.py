"""Processes of ours, `janus …`: started, watched, started again when they die, and stopped together."""

import logging
import os
import signal
import socket
import subprocess
import sys
import tempfile
import time
import uuid
from collections.abc import Callable, Iterable, Sequence
from contextlib import ExitStack
from typing import Final, NoReturn

from uuid_utils.compat import uuid7

from janus_mail.settings import Settings
from janus_mail.storage.child_process import start_child, stop_children

# prometheus-client's own variable: with it, whichever process is asked answers for all (telemetry/metrics.py).
METRICS_FOLDER: Final = "PROMETHEUS_MULTIPROC_DIR"
API_FINISH_S: Final = 5  # for the requests under way

_CLOSE_S: Final = 4.0  # after what is under way has ended: connections are given back, leases and duties left
_POLL_S: Final = 0.1
_STEADY_S: Final = 10.0  # who lived that long did not die of its start
_PAUSE_CAP_S: Final = 30.0

_log = logging.getLogger(__name__)


class CannotStart(Exception):
    """One line that says why, and what to do."""


class Watched:
    """What is to run for as long as we do: started again whenever it ends, at once and then ever more slowly."""

    def __init__(
        self, name: str, start: Callable[[], None], ending: Callable[[], str | None], tell: Callable[[str], None]
    ) -> None:
        """`ending` says how it ended, None while it runs; `tell` is told of it."""
        self._name = name
        self._start = start
        self._ending = ending
        self._tell = tell
        self._started_at = 0.0
        self._quick_ends = 0
        self._start_at: float | None = None

    def tend(self, now: float) -> None:
        """`now` in seconds of any clock that only goes forward."""
        if self._start_at is None and (how := self._ending()) is not None:
            self._quick_ends = self._quick_ends + 1 if now - self._started_at < _STEADY_S else 0
            pause_s = min(2.0 ** (self._quick_ends - 2), _PAUSE_CAP_S) if self._quick_ends > 1 else 0.0
            self._tell(f"{self._name} {how}; it starts again" + (f" in {pause_s:.0f} s" if pause_s else ""))
            self._start_at = now + pause_s
        if self._start_at is not None and now >= self._start_at:
            self._start_at = None
            self._started_at = now
            self._start()


class Child:
    """A process of ours, `janus …`."""

    def __init__(self, environment: dict[str, str], command: Callable[[], Sequence[str]]) -> None:
        self._environment = environment
        self._command = command
        self.process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        command = [sys.executable, "-m", "janus_mail.cli", *self._command()]
        self.process = start_child(command, env=self._environment)

    def ending(self) -> str | None:
        if self.process is None:
            return "never started"
        code = self.process.poll()
        if code is None:
            return None
        return f"was killed by {signal.Signals(-code).name}" if code < 0 else f"ended with code {code}"


class WorkerCommand:
    """Each worker process has an id of its own, and is told which one's end we saw."""

    def __init__(self) -> None:
        self._id: uuid.UUID | None = None

    def __call__(self) -> Sequence[str]:
        former, self._id = self._id, uuid7()
        return ["worker", "--id", str(self._id), *(["--succeeds", str(former)] if former else [])]


def run_workers(settings: Settings, many: int) -> None:
    """That many `janus worker`, until SIGTERM or Ctrl-C; then each finishes what is sending."""
    _run_all("worker", many, lambda environment: Child(environment, WorkerCommand()), settings.shutdown_seconds)


def run_apis(settings: Settings, many: int) -> None:
    """That many `janus api` on one port, until SIGTERM or Ctrl-C. Raises `CannotStart`.

    Each listens on a socket of its own, and the kernel spreads the connections: on one socket for all, 32 connections
    at once went to one of two processes. Who dies has no part any more, so that new ones go to the others.
    """
    check_port(settings.host, settings.port)
    with shared_socket(settings.host, settings.port):  # nobody else takes the port while all of them are away
        _run_all("API process", many, lambda environment: Child(environment, lambda: ["api", "--shared-port"]),
                 API_FINISH_S)  # fmt: skip


def _run_all(name: str, many: int, make: Callable[[dict[str, str]], Child], finish_s: float) -> None:
    def work(stack: ExitStack) -> None:
        environment = {**os.environ}
        if not environment.get(METRICS_FOLDER):
            environment[METRICS_FOLDER] = stack.enter_context(tempfile.TemporaryDirectory(prefix="janus-metrics-"))
        children = [make(environment) for _ in range(many)]
        stack.callback(stop, children, finish_s + _CLOSE_S)
        for child in children:
            child.start()
        watch_until(
            lambda: False,
            [Watched(f"{name} {place} of {many}", child.start, child.ending, _log.warning)
             for place, child in enumerate(children, 1)],
        )  # fmt: skip

    run_until_signal(work, _log.info)


def run_until_signal(work: Callable[[ExitStack], None], tell: Callable[[str], None]) -> None:
    """Until Ctrl-C, SIGTERM or SIGHUP interrupts `work`; then what it laid on the stack is undone, undisturbed."""
    # Also SIGINT: a shell starts what is in its background with that ignored.
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, _interrupt)
    if signal.getsignal(signal.SIGHUP) is not signal.SIG_IGN:  # as under nohup
        signal.signal(signal.SIGHUP, _interrupt)
    with ExitStack() as stack:
        try:
            work(stack)
        except KeyboardInterrupt:
            tell("Stopping")
        finally:
            for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
                signal.signal(number, signal.SIG_IGN)


def watch_until(done: Callable[[], bool], watched: Sequence[Watched]) -> None:
    """Keep them running until `done` says so."""
    while not done():
        now = time.monotonic()
        for each in watched:
            each.tend(now)
        time.sleep(_POLL_S)


def stop(children: Iterable[Child], timeout_s: float) -> None:
    """SIGTERM to all, and SIGKILL to who has not obeyed in that time."""
    processes = [child.process for child in children if child.process is not None]
    stop_children(processes, signal.SIGTERM, timeout_s=timeout_s)


def check_port(host: str, port: int) -> None:
    """Raises `CannotStart` where somebody listens already."""
    _bound(host, port).close()


def shared_socket(host: str, port: int) -> socket.socket:
    """Bound beside others of ours, and not yet listening. Raises `CannotStart`."""
    return _bound(host, port, socket.SO_REUSEPORT)


def _bound(host: str, port: int, *options: int) -> socket.socket:
    bound = socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET)
    for option in (socket.SO_REUSEADDR, *options):
        bound.setsockopt(socket.SOL_SOCKET, option, 1)
    try:
        bound.bind((host, port))
    except OSError as error:
        bound.close()
        raise CannotStart(f"PORT: {port} cannot be used ({error.strerror}); set another, such as PORT=8001") from None
    return bound


def _interrupt(*_: object) -> NoReturn:
    raise KeyboardInterrupt
