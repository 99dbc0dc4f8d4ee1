"""A folder that belongs to one process at a time, and what that process lets the others know.

The lock ends with its holder, however that ends; so what an earlier holder left behind is never believed.
"""

import fcntl
import json
import os
import time
from pathlib import Path
from typing import IO, Any

_POLL_S = 0.02


class FolderInUse(Exception):
    """Another process holds the folder. `state` is what it has made known, empty while it starts."""

    def __init__(self, folder: Path, state: dict[str, Any]) -> None:
        super().__init__(f"{folder} is in use by the process {state.get('pid', 'that is just starting')}")
        self.state = state


class FolderLock:
    """`take`, `publish`, `release`."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._file: IO[bytes] | None = None

    @property
    def held(self) -> bool:
        return self._file is not None

    def take(self, *, wait_s: float) -> None:
        """Hold the folder, which is made if it is missing. Raises `FolderInUse` after `wait_s`."""
        self._folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        file = (self._folder / "lock").open("ab")
        deadline = time.monotonic() + wait_s
        while True:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                if time.monotonic() > deadline:
                    file.close()
                    raise FolderInUse(self._folder, left_state(self._folder)) from None
                time.sleep(_POLL_S)
            else:
                self._file = file
                return

    def publish(self, **state: Any) -> None:
        """Make known what others may use until the lock ends. May hold secrets: only this user can read it."""
        write_private(self._folder / "state.json", json.dumps({"pid": os.getpid(), **state}))

    def release(self) -> None:
        if self._file is not None:
            (self._folder / "state.json").unlink(missing_ok=True)
            self._file.close()
            self._file = None


def published(folder: Path, *, wait_s: float = 60) -> dict[str, Any] | None:
    """What the holder of the folder makes known; None when nobody holds it. Waits for a holder that just starts."""
    deadline = time.monotonic() + wait_s
    while time.monotonic() < deadline:
        try:
            with (folder / "lock").open("rb") as file:
                fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
        except BlockingIOError:
            state = left_state(folder)
            if state and _is_alive(state["pid"]):
                return state
            time.sleep(_POLL_S)
        except FileNotFoundError:
            return None
        else:
            return None
    return None


def left_state(folder: Path) -> dict[str, Any]:
    """What the last holder made known, alive or not; empty when it cleaned up."""
    try:
        state: dict[str, Any] = json.loads((folder / "state.json").read_text())
    except (FileNotFoundError, ValueError):
        return {}
    return state


def _is_alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True


def write_private(path: Path, text: str) -> None:
    """Write a file that only this user may read, whole or not at all."""
    draft = path.with_name(f"{path.name}.{os.getpid()}.new")
    draft.unlink(missing_ok=True)
    draft.touch(mode=0o600)
    draft.write_text(text)
    draft.replace(path)
