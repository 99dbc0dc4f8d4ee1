"""The account that PostgreSQL runs under when we are root, since it refuses to run as root itself."""

import os
import pwd
import shutil
import stat
import subprocess
from dataclasses import dataclass
from pathlib import Path
from typing import Self

_MADE_BY_US = "janus-postgres"


@dataclass(frozen=True, slots=True)
class ServerAccount:
    """An unprivileged account of this machine."""

    name: str
    uid: int
    gid: int

    @classmethod
    def find(cls) -> Self | None:
        """None when we are not root; else Debian's `postgres` account, else one made for this. Raises `OSError`."""
        if os.geteuid() != 0:
            return None
        for name in ("postgres", _MADE_BY_US):
            try:
                return cls._named(name)
            except KeyError:
                continue
        useradd = shutil.which("useradd", path="/usr/sbin:/sbin:/usr/bin:/bin")
        if useradd is None:
            raise OSError(f"PostgreSQL does not run as root: add a system account named {_MADE_BY_US}")
        subprocess.run(  # noqa: S603
            [useradd, "--system", "--user-group", "--no-create-home", "--shell", "/usr/sbin/nologin", _MADE_BY_US],
            check=True,
            capture_output=True,
        )
        return cls._named(_MADE_BY_US)

    @classmethod
    def _named(cls, name: str) -> Self:
        entry = pwd.getpwnam(name)
        return cls(name, entry.pw_uid, entry.pw_gid)

    def own(self, folder: Path) -> None:
        """Make `folder` if need be, closed to everyone else."""
        folder.mkdir(mode=0o700, exist_ok=True)
        os.chown(folder, self.uid, self.gid)

    def open_way_to(self, folder: Path) -> None:
        """Let the account pass through the folders above `folder`, and as few others as their modes allow."""
        for above in folder.parents:
            status = above.stat()
            if self._may_search(status):
                continue
            if stat.S_IMODE(status.st_mode) & stat.S_IRWXG:
                above.chmod(status.st_mode | stat.S_IXOTH)  # its group means something already
            else:
                os.chown(above, -1, self.gid)
                above.chmod(status.st_mode | stat.S_IXGRP)

    def open_programs(self, folder: Path) -> None:
        """Let the account read and run what lies in `folder`, which root may have installed under a strict umask."""
        self.open_way_to(folder)
        readable = stat.S_IRGRP | stat.S_IROTH
        if folder.stat().st_mode & readable == readable:
            return
        for path in (folder, *folder.rglob("*")):
            if not path.is_symlink():
                mode = path.stat().st_mode
                runnable = stat.S_IXGRP | stat.S_IXOTH if mode & stat.S_IXUSR else 0
                path.chmod(mode | readable | runnable)

    def _may_search(self, status: os.stat_result) -> bool:
        if status.st_uid == self.uid:
            return bool(status.st_mode & stat.S_IXUSR)
        return bool(status.st_mode & (stat.S_IXGRP if status.st_gid == self.gid else stat.S_IXOTH))
