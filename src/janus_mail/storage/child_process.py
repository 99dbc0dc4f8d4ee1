"""Child processes that end when this process ends, however it ends."""

import ctypes
import os
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from typing import Any

_PR_SET_PDEATHSIG = 1
_libc = ctypes.CDLL(None, use_errno=True) if sys.platform == "linux" else None


def end_with_parent(parent: int, number: signal.Signals = signal.SIGTERM) -> None:
    """Have the kernel send this process `number` when the thread that started it ends. Only Linux can."""
    if _libc is not None:
        _libc.prctl(_PR_SET_PDEATHSIG, int(number), 0, 0, 0)
        if os.getppid() != parent:  # it ended before the line above
            os._exit(1)


def start_child(
    command: Sequence[str], *, orphan_signal: signal.Signals = signal.SIGTERM, **options: Any
) -> subprocess.Popen[bytes]:
    """Start `command` in a process group of its own, so that the terminal's Ctrl-C reaches only us.

    When we end before it, be it by SIGKILL, it gets `orphan_signal`. `options` are those of `subprocess.Popen`.
    """
    parent = os.getpid()
    return subprocess.Popen(  # noqa: S603
        command,
        stdin=subprocess.DEVNULL,
        process_group=0,
        preexec_fn=lambda: end_with_parent(parent, orphan_signal),
        **options,
    )


def stop_children(processes: Sequence[subprocess.Popen[bytes]], *signals: signal.Signals, timeout_s: float) -> None:
    """Send the signals in turn, each with `timeout_s` for all to obey; then SIGKILL to each one's whole group."""
    for number in signals:
        alive = [process for process in processes if process.poll() is None]
        for process in alive:
            process.send_signal(number)
        deadline = time.monotonic() + timeout_s
        for process in alive:
            try:
                process.wait(max(0, deadline - time.monotonic()))
            except subprocess.TimeoutExpired:
                continue
    for process in processes:
        if process.poll() is None:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()
