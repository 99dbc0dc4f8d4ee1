"""A server process that one process of ours owns, in a folder of its own.

It listens on a Unix socket in a folder that only this user may enter, so it needs no password and no port.
"""

import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from abc import ABC, abstractmethod
from collections.abc import Callable
from pathlib import Path
from typing import Any, ClassVar, Self

from janus_mail.storage.child_process import start_child, stop_children
from janus_mail.storage.folder_lock import FolderInUse, FolderLock, left_state

_SOCKET_PATH_LIMIT = 100  # bytes; Linux allows 107, macOS 103
_START_S = 60.0
_STOP_S = 5.0
_POLL_S = 0.02
_LOG_TAIL_LINES = 3


class EmbeddedServerError(Exception):
    """The server cannot be used; the message is one line that says what to do."""


class OwnedServer(ABC):
    """`start` and `stop`, or a context manager. A server that died may be started again; its URL stays."""

    name: ClassVar[str]
    socket_name: ClassVar[str]
    stop_signals: ClassVar[tuple[signal.Signals, ...]]

    def __init__(self, folder: Path, progress: Callable[[str], None] | None = None) -> None:
        self.folder = folder.absolute()
        self._progress = progress or (lambda _: None)
        self._lock = FolderLock(self.folder)
        self._process: subprocess.Popen[bytes] | None = None
        self._temporary_sockets: Path | None = None

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    def start(self, *, wait_s: float = 10) -> None:
        """Own the folder and run the server in it. Raises `EmbeddedServerError`, also when another process owns it."""
        try:
            if not self._lock.held:
                self._lock.take(wait_s=wait_s)
            self._end_leftover()
            self._prepare()
            self._run()
        except FolderInUse as error:
            raise EmbeddedServerError(f"{self.name} does not start: {error}") from None
        except (OSError, subprocess.CalledProcessError) as error:
            self.stop()
            raise EmbeddedServerError(f"{self.name} does not start in {self.folder}: {error}") from error
        except BaseException:
            self.stop()
            raise

    def stop(self) -> None:
        """End the server and give the folder free. Does nothing when it does not run."""
        if self._process is not None:
            stop_children([self._process], *self.stop_signals, timeout_s=_STOP_S)
            self._process = None
        if self._temporary_sockets is not None:
            shutil.rmtree(self._temporary_sockets, ignore_errors=True)
            self._temporary_sockets = None
        self._lock.release()

    @property
    def pid(self) -> int | None:
        """The process id while the server lives."""
        alive = self._process is not None and self._process.poll() is None
        return self._process.pid if self._process and alive else None

    @abstractmethod
    def _prepare(self) -> None:
        """Make what the server needs before it is first started."""

    @abstractmethod
    def _command(self) -> list[str]: ...

    @abstractmethod
    def _is_ready(self) -> bool: ...

    @abstractmethod
    def _base_url(self) -> str: ...

    @abstractmethod
    def _leftover_pid(self) -> int | None: ...

    def _working_folder(self) -> Path:
        return self.folder

    def _child_options(self) -> dict[str, Any]:
        """More options of `subprocess.Popen`."""
        return {}

    def _sockets(self) -> Path:
        """Where the socket lies: in the folder, or under the system's temporary folder where that path is too long."""
        place = self.folder / "socket"
        if len(os.fsencode(place / self.socket_name)) > _SOCKET_PATH_LIMIT:
            if self._temporary_sockets is None:
                self._temporary_sockets = Path(tempfile.mkdtemp(prefix="janus-"))
            return self._temporary_sockets
        place.mkdir(mode=0o700, exist_ok=True)
        return place

    def _end_leftover(self) -> None:
        """A server whose owner was killed may still run, or be on its way down."""
        pid = self._leftover_pid()
        for number in (*self.stop_signals, signal.SIGKILL):
            if pid is None or not self._is_ours(pid):
                break
            os.kill(pid, number)
            deadline = time.monotonic() + _STOP_S
            while self._is_ours(pid) and time.monotonic() < deadline:
                time.sleep(_POLL_S)
        sockets = left_state(self.folder).get("temporary_sockets")
        if sockets and sockets != str(self._temporary_sockets):
            shutil.rmtree(sockets, ignore_errors=True)

    def _is_ours(self, pid: int) -> bool:
        """Whether `pid` still is a server of this folder: after a reboot the number may be someone else's."""
        if sys.platform != "linux":
            ps = subprocess.run(["ps", "-o", "command=", "-p", str(pid)], capture_output=True, text=True, check=False)  # noqa: S603, S607
            return self._command()[0] in ps.stdout
        try:
            return Path(f"/proc/{pid}/cwd").readlink() == self._working_folder().resolve()
        except OSError:
            return False

    def _run(self) -> None:
        log = self.folder / "log"
        if log.exists():
            log.replace(self.folder / "log.previous")
        with log.open("wb") as output:
            self._process = start_child(
                self._command(),
                orphan_signal=self.stop_signals[0],
                stdout=output,
                stderr=subprocess.STDOUT,
                cwd=self._working_folder(),
                **self._child_options(),
            )
        deadline = time.monotonic() + _START_S
        while not self._is_ready():
            if self._process.poll() is not None or time.monotonic() > deadline:
                tail = " / ".join(log.read_text(errors="replace").splitlines()[-_LOG_TAIL_LINES:])
                raise EmbeddedServerError(f"{self.name} did not start in {self.folder}: {tail or 'no word from it'}")
            time.sleep(_POLL_S)
        sockets = str(self._temporary_sockets) if self._temporary_sockets else None
        self._lock.publish(server=self.pid, url=self._base_url(), temporary_sockets=sockets)
