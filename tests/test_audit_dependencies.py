"""The audit of the dependencies, against an OSV on loopback: what is known fails, what cannot be asked is said."""

import json
import os
import socket
import sys
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from tests import audit_dependencies
from tests.audit_dependencies import main

_FAULT = {
    "id": "PYSEC-2099-1", "aliases": ["CVE-2099-1"], "summary": "invented",
    "affected": [{"package": {"name": "broken", "ecosystem": "PyPI"},
                  "ranges": [{"type": "ECOSYSTEM", "events": [{"introduced": "0"}, {"fixed": "1.1"}]}]}],
}  # fmt: skip


class Osv(BaseHTTPRequestHandler):
    def do_POST(self) -> None:
        asked = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        answer = {"vulns": [_FAULT]} if asked["package"]["name"] == "broken" else {}
        body = json.dumps(answer).encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture
def osv() -> Iterator[list[str]]:
    with ThreadingHTTPServer(("127.0.0.1", 0), Osv) as server:
        threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True).start()
        yield service(server.server_port)
        server.shutdown()


def service(port: int) -> list[str]:
    return ["--vulnerability-service", "osv", "--osv-url", f"http://127.0.0.1:{port}/v1/query"]


@pytest.fixture(autouse=True)
def small_set(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    constraints = tmp_path / "constraints.txt"
    constraints.write_text("broken==1.0\nsound==2.0\n")
    monkeypatch.setattr(audit_dependencies, "CONSTRAINTS", constraints)
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    return constraints


@pytest.mark.parametrize(
    ("pinned", "ignored", "said", "code"),
    [
        ("broken==1.0\nsound==2.0\n", {},
         "Known vulnerabilities in 2 packages: 1\n  broken 1.0: PYSEC-2099-1, mended in 1.1\n", 1),
        ("sound==2.0\n", {}, "Known vulnerabilities in 1 packages: none\n", 0),
        ("broken==1.0\n", {"CVE-2099-1": "we never call it"}, "Known vulnerabilities in 1 packages: none\n", 0),
    ],
    ids=["known", "none", "ignored with a reason"],
)  # fmt: skip
def test_a_known_vulnerability_fails_with_what_mends_it(
    pinned: str, ignored: dict[str, str], said: str, code: int, small_set: Path, osv: list[str],
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str],
) -> None:  # fmt: skip
    small_set.write_text(pinned)
    monkeypatch.setattr(audit_dependencies, "SERVICES", (osv,))
    monkeypatch.setattr(audit_dependencies, "IGNORED", ignored)
    assert main() == code
    assert capsys.readouterr().out == said


def test_a_service_that_is_away_or_silent_is_skipped_in_time_with_one_line(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent, socket.socket() as nobody:
        nobody.bind(("127.0.0.1", 0))
        services = (service(nobody.getsockname()[1]), service(silent.getsockname()[1]))
        monkeypatch.setattr(audit_dependencies, "SERVICES", services)
        monkeypatch.setattr(audit_dependencies, "_WITHIN_S", 2)
        assert main() == 0
    said = capsys.readouterr()
    assert said.out.startswith("Known vulnerabilities were not looked for")
    assert (said.out.count("\n"), said.err) == (1, "")


def test_the_next_service_is_asked_when_the_first_is_away(
    osv: list[str], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(audit_dependencies, "SERVICES", (service(9), osv))
    assert main() == 1
    assert "PYSEC-2099-1" in capsys.readouterr().out


def test_a_call_that_pip_audit_does_not_understand_is_no_fault_of_the_network(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(audit_dependencies, "SERVICES", (["--no-such-option"],))
    with pytest.raises(SystemExit, match="does not run as it is called here"):
        main()


def test_nothing_of_ours_reaches_the_tool(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A stand-in for the interpreter writes its environment down."""
    seen, program = tmp_path / "seen", tmp_path / "python"
    program.write_text(f"#!/bin/sh\nenv >{seen}\n")
    program.chmod(0o755)
    for name in ("JANUS_SECRET_KEYS", "DATABASE_URL", "PIP_INDEX_URL", "MAIL_PASSWORD"):
        monkeypatch.setenv(name, "hunter2")
    monkeypatch.setattr(sys, "executable", str(program))
    assert audit_dependencies.ask(tmp_path / "constraints.txt", audit_dependencies.SERVICES[0], within_s=5) is None
    assert "hunter2" not in seen.read_text()
    assert f"PATH={os.environ['PATH']}" in seen.read_text()
