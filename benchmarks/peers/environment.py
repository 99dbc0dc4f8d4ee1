"""A virtual environment for each peer, made when it is first needed and kept in the checkout (benchmarks/.peers/)."""

import hashlib
import os
import shutil
import sys
from pathlib import Path

from benchmarks.stand import output_of

ROOT = Path(__file__).parents[2]

KEPT = ROOT / "benchmarks" / ".peers"  # ignored by git


async def python_of(peer: str) -> str:
    """The interpreter of the environment that holds exactly what `peers/<peer>.txt` pins. Raises RuntimeError."""
    pins = Path(__file__).with_name(f"{peer}.txt")
    digest = hashlib.sha256(pins.read_bytes() + sys.version.encode()).hexdigest()[:10]
    folder = KEPT / f"{peer}-{digest}"
    python = folder / "bin" / "python"
    whole = folder / "whole"  # an install that was interrupted lacks it
    if not whole.exists():
        print(f"==> Making the environment of {peer} (once)", flush=True)
        shutil.rmtree(folder, ignore_errors=True)
        await output_of([sys.executable, "-m", "venv", str(folder)], {})
        pip = [str(python), "-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--no-deps"]
        await output_of([*pip, "--requirement", str(pins)], {})
        whole.touch()
    return str(python)


def environment(**more: str) -> dict[str, str]:
    """For a program of a peer: it finds this package, and nothing of ours that is installed."""
    return {"PYTHONPATH": str(ROOT), "VIRTUAL_ENV": "", "PATH": os.environ.get("PATH", ""), **more}
