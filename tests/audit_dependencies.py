"""`make lint`: is a vulnerability known of a version in `constraints.txt`? pip-audit asks PyPI, else OSV.

A network that leads to neither says nothing about the code: one line then tells that nothing was asked.
"""

import json
import os
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

CONSTRAINTS = Path(__file__).parents[1] / "constraints.txt"
IGNORED: Mapping[str, str] = {}  # a vulnerability's id → why it cannot reach us, and until when that is believed
SERVICES = (["--vulnerability-service", "pypi"], ["--vulnerability-service", "osv"])

_WITHIN_S = 20.0  # both services together
_ANSWER_S = 5
# What the network needs, and nothing of ours: neither our settings nor a registry with its password reach the tool.
_PASSED_ON = ("PATH", "HOME", "LANG", "HTTPS_PROXY", "https_proxy", "NO_PROXY", "no_proxy", "SSL_CERT_FILE",
              "SSL_CERT_DIR", "REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE")  # fmt: skip


def main() -> int:
    deadline = time.monotonic() + _WITHIN_S
    for service in SERVICES:
        dependencies = ask(CONSTRAINTS, service, within_s=deadline - time.monotonic())
        if dependencies is None:
            continue
        found = vulnerabilities(dependencies)
        say(f"Known vulnerabilities in {len(dependencies)} packages: {len(found) or 'none'}", *found)
        return 1 if found else 0
    say("Known vulnerabilities were not looked for: from here neither PyPI nor OSV tells of all packages in time")
    return 0


def say(line: str, *more: str) -> None:
    sys.stdout.write("\n  ".join([line, *more]) + "\n")


def ask(constraints: Path, service: Sequence[str], *, within_s: float) -> list[dict[str, Any]] | None:
    """Every package with its `vulns`; None where the service was not reached, or did not know each of them.

    Raises `SystemExit` when pip-audit does not understand us: that is no fault of the network.
    """
    if within_s <= 0:
        return None
    # strict: else a package that the service does not know counts as one without a fault.
    command = [
        sys.executable, "-m", "pip_audit", "--requirement", str(constraints), "--no-deps", "--disable-pip", "--strict",
        "--format", "json", "--desc", "off", "--progress-spinner", "off", "--timeout", str(_ANSWER_S),
        "--cache-dir", str(Path(sys.prefix) / ".pip-audit"), *service,
    ]  # fmt: skip
    for vulnerability in IGNORED:
        command += ["--ignore-vuln", vulnerability]
    environment = {name: os.environ[name] for name in _PASSED_ON if name in os.environ}
    try:
        done = subprocess.run(
            command, env=environment, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=within_s,
            check=False,
        )  # fmt: skip
    except subprocess.TimeoutExpired:
        return None
    if done.returncode > 1:
        raise SystemExit(f"pip-audit does not run as it is called here: {done.stderr.strip().splitlines()[-1]}")
    try:
        dependencies: list[dict[str, Any]] = json.loads(done.stdout)["dependencies"]
    except ValueError:
        return None  # what it says instead may hold a proxy's password
    return dependencies


def vulnerabilities(dependencies: Sequence[Mapping[str, Any]]) -> list[str]:
    """A line for each: which package, which fault, what mends it."""
    return [
        f"{package['name']} {package['version']}: {fault['id']}, "
        + (f"mended in {', '.join(fault['fix_versions'])}" if fault["fix_versions"] else "not mended yet")
        for package in dependencies
        for fault in package["vulns"]
    ]


if __name__ == "__main__":
    raise SystemExit(main())
