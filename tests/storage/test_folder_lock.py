"""One process at a time holds a folder; the others learn from it, and only while it lives."""

import json
import os
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from janus_mail.storage.folder_lock import FolderInUse, FolderLock, left_state, published

HOLDER = """
import sys
from pathlib import Path
from janus_mail.storage.folder_lock import FolderLock
lock = FolderLock(Path(sys.argv[1]))
lock.take(wait_s=0)
lock.publish(url="theirs")
print("held", flush=True)
sys.stdin.read()
"""


def test_what_the_holder_makes_known_is_read_while_it_holds(tmp_path: Path) -> None:
    lock = FolderLock(tmp_path / "folder")
    assert published(tmp_path / "folder") is None
    lock.take(wait_s=0)
    lock.publish(url="ours")
    assert published(tmp_path / "folder") == {"pid": os.getpid(), "url": "ours"}
    with pytest.raises(FolderInUse, match=f"in use by the process {os.getpid()}") as refused:
        FolderLock(tmp_path / "folder").take(wait_s=0)
    assert refused.value.state["url"] == "ours"
    lock.release()
    assert published(tmp_path / "folder") is None
    assert left_state(tmp_path / "folder") == {}


def test_a_holder_that_just_starts_is_waited_for(tmp_path: Path) -> None:
    lock = FolderLock(tmp_path)
    lock.take(wait_s=0)
    found: list[object] = []
    asking = threading.Thread(target=lambda: found.append(published(tmp_path)))
    asking.start()
    lock.publish(url="ours")
    asking.join()
    lock.release()
    assert found == [{"pid": os.getpid(), "url": "ours"}]


def test_what_a_killed_holder_left_is_believed_neither_before_nor_after_the_next_one_holds(tmp_path: Path) -> None:
    holder = subprocess.Popen([sys.executable, "-c", HOLDER, tmp_path], stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    assert holder.stdout is not None
    assert holder.stdout.readline() == b"held\n"
    assert published(tmp_path) == {"pid": holder.pid, "url": "theirs"}
    holder.kill()
    holder.communicate()
    assert json.loads((tmp_path / "state.json").read_text())["url"] == "theirs"
    assert published(tmp_path) is None
    lock = FolderLock(tmp_path)
    lock.take(wait_s=0)
    assert published(tmp_path, wait_s=0.1) is None
    lock.release()
