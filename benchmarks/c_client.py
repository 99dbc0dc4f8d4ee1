"""Postfix's smtp-source into its smtp-sink: a C client and a C sink, which keep and record nothing.

Where Postfix is not installed, the two programs are taken out of Debian's package into `benchmarks/.peers/postfix`: to
install it would start a mail server.
"""

import os
import shutil
import socket
import subprocess
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

from benchmarks.peers.environment import KEPT
from benchmarks.stand import output_of

_HOW_TO_GET = (
    "not measured, as {reason} (Debian: apt-get install postfix); on two cores they were seen to move about "
    "25,000 mails/s, of which the drain's goal is a quarter: 6,250 mails/s"
)
_UNPACKED = KEPT / "postfix"
_CONNECTIONS = 10
_MAIL_BYTES = 5_000
_TRIAL_MAILS = 20
_APT_S = 120.0


class NotHere(Exception):
    """The programs cannot be had; says why, and how a person gets them."""

    def __init__(self, reason: str) -> None:
        super().__init__(_HOW_TO_GET.format(reason=reason))


@dataclass(frozen=True, slots=True)
class CClient:
    """Both programs, and the folder of their libraries where that is no usual one."""

    source: str
    sink: str
    libraries: str = ""

    @classmethod
    async def prepare(cls) -> "CClient":
        """Installed, unpacked earlier, or unpacked now. Raises `NotHere`."""
        found = _installed()
        if found is None:
            found = _unpacked(_UNPACKED)
            if not shutil.which(found.source):
                await _unpack(_UNPACKED)
        try:
            found.rate(_TRIAL_MAILS)
        except (OSError, RuntimeError, subprocess.SubprocessError):
            raise NotHere("smtp-source and smtp-sink do not run here") from None
        return found

    def rate(self, mails: int) -> float:
        """Mails a second over kept connections. Raises RuntimeError."""
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            address = f"127.0.0.1:{free.getsockname()[1]}"
        environment = os.environ | ({"LD_LIBRARY_PATH": self.libraries} if self.libraries else {})
        account = ["-u", "nobody"] if os.geteuid() == 0 else []
        server = subprocess.Popen(
            [self.sink, *account, address, "1000"], env=environment, stdin=subprocess.DEVNULL, stderr=subprocess.DEVNULL
        )
        try:
            _wait_for(address, server)
            began_s = time.perf_counter()
            client = [self.source, "-d", "-s", str(_CONNECTIONS), "-l", str(_MAIL_BYTES), "-m", str(mails), address]
            subprocess.run(client, check=True, timeout=120, env=environment)
            return mails / (time.perf_counter() - began_s)
        finally:
            server.terminate()
            server.wait(10)


def _installed() -> CClient | None:
    """Debian keeps them in /usr/sbin, which is not on everyone's PATH."""
    path = f"{os.environ.get('PATH', '')}:/usr/sbin:/usr/local/sbin"
    source, sink = (shutil.which(name, path=path) for name in ("smtp-source", "smtp-sink"))
    return CClient(source, sink) if source and sink else None


def _unpacked(folder: Path) -> CClient:
    programs = folder / "usr" / "sbin"
    libraries = str(folder / "usr" / "lib" / "postfix")
    return CClient(str(programs / "smtp-source"), str(programs / "smtp-sink"), libraries)


async def _unpack(folder: Path) -> None:
    if not (shutil.which("apt-get") and shutil.which("dpkg")):
        raise NotHere("smtp-source and smtp-sink are not installed")
    print("==> Taking smtp-source and smtp-sink out of Debian's package of Postfix (once)", flush=True)
    folder.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix="postfix-", dir=folder.parent) as draft:
        try:
            await _download(draft)
            await output_of(["dpkg", "--extract", _package_in(draft), f"{draft}/whole"], {}, within_s=_APT_S)
        except (OSError, RuntimeError, TimeoutError):
            raise NotHere(
                "smtp-source and smtp-sink are not installed, nor could their package be downloaded"
            ) from None
        shutil.rmtree(folder, ignore_errors=True)
        (Path(draft) / "whole").rename(folder)


async def _download(folder: str) -> None:
    """Into this folder, which needs no root; but a machine that never listed its packages has to do that first."""
    download = ["env", f"--chdir={folder}", "apt-get", "download", "--quiet", "postfix"]
    try:
        await output_of(download, {}, within_s=_APT_S)
    except RuntimeError:
        if os.geteuid() != 0:
            raise
        await output_of(["apt-get", "update", "--quiet"], {}, within_s=_APT_S)
        await output_of(download, {}, within_s=_APT_S)


def _package_in(folder: str) -> str:
    for file in Path(folder).glob("*.deb"):
        return str(file)
    raise FileNotFoundError(f"no package in {folder}")


def _wait_for(address: str, server: "subprocess.Popen[bytes]") -> None:
    host, _, port = address.partition(":")
    for _ in range(100):
        try:
            socket.create_connection((host, int(port)), timeout=1).close()
        except OSError:
            if server.poll() is not None:
                break
            time.sleep(0.05)
        else:
            return
    raise RuntimeError("smtp-sink does not listen")
