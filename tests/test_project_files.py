"""The files around the code: what they promise is there, and what is there is in them."""

import os
import re
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

from janus_mail.settings import Settings, load_settings, variable_name

ROOT = Path(__file__).parents[1]
PREDECESSORS = ["venv", "install", "docker-run-only-db", "db-init", "db-migrate", "db-upgrade", "db-reset", "run"]

needs_make = pytest.mark.skipif(shutil.which("make") is None, reason="no make here")


def read(name: str) -> str:
    return (ROOT / name).read_text()


def make(*arguments: str, path: str | None = None) -> "subprocess.CompletedProcess[str]":
    environment = {name: value for name, value in os.environ.items() if name not in {"MAKEFLAGS", "MAKELEVEL"}}
    program = shutil.which("make")
    assert program is not None
    return subprocess.run(
        [program, *arguments], cwd=ROOT, env=environment | ({"PATH": path} if path else {}),
        capture_output=True, text=True, check=False,
    )  # fmt: skip


def examples() -> dict[str, str]:
    """Variable → value, of .env.example."""
    return dict(re.findall(r"^# ([A-Z][A-Z_]*)=(.*)$", read(".env.example"), re.MULTILINE))


def test_the_example_names_every_setting_and_no_other() -> None:
    assert set(examples()) == {variable_name(field) for field in Settings.model_fields}


@pytest.mark.parametrize("field", sorted(set(Settings.model_fields) - {"database_url", "redis_url"}))
def test_the_example_shows_the_default(field: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(variable_name(field), examples()[variable_name(field)])
    assert getattr(load_settings(), field) == getattr(Settings(), field)


@needs_make
def test_make_help_lists_every_target_of_this_project_and_its_predecessor() -> None:
    listed = re.findall(r"^  make ([a-z-]+) +\S", make("help").stdout, re.MULTILINE)
    assert set(listed) >= {"run", "test", "faults", "lint", "format", "screenshots", "lateness", *PREDECESSORS}
    phony = re.search(r"^\.PHONY: (.*?[^\\])$", read("Makefile"), re.MULTILINE | re.DOTALL)
    assert phony is not None
    assert set(phony[1].replace("\\\n", " ").split()) - set(listed) <= {"browser"}


def fake(folder: Path, name: str, script: str) -> None:
    (folder / name).write_text(f"#!/bin/sh\n{script}\n")
    (folder / name).chmod(0o755)


@needs_make
def test_the_first_python_that_really_runs_and_is_new_enough_makes_the_environment(tmp_path: Path) -> None:
    fake(tmp_path, "python3.12", 'echo "pyenv: python3.12: command not found" >&2; exit 127')
    fake(tmp_path, "python3.11", f'[ "$1" = -m ] && {{ echo "made by 3.11: $*"; exit; }}; exec {sys.executable} "$@"')
    fake(tmp_path, "python3", "echo wrong; exit 0")
    done = make("venv", f"VENV={tmp_path}/venv", path=str(tmp_path))
    assert (done.returncode, done.stderr) == (0, "")
    assert f"made by 3.11: -m venv {tmp_path}/venv" in done.stdout


@needs_make
def test_without_a_python_that_is_new_enough_a_line_says_what_to_install(tmp_path: Path) -> None:
    fake(tmp_path, "python3", "exit 1")
    done = make("venv", f"VENV={tmp_path}/venv", path=str(tmp_path))
    assert done.returncode != 0
    assert "Janus needs Python 3.11 or newer with its venv module" in done.stderr


@needs_make
def test_where_no_docker_engine_answers_the_target_says_so_and_the_next_ones_go_on(tmp_path: Path) -> None:
    fake(tmp_path, "docker", "echo Cannot connect to the Docker daemon >&2; exit 1")
    (stamp := tmp_path / "installed").touch()
    done = make("docker-run-only-db", f"RUN_STAMP={stamp}", path=f"{tmp_path}:{os.environ['PATH']}")
    assert (done.returncode, done.stderr) == (0, "")
    assert "No Docker engine answers" in done.stdout


def test_ci_runs_make_test() -> None:
    assert os.access(ROOT / ".ci" / "run", os.X_OK)
    assert "exec make test" in read(".ci/run")


@needs_make
def test_lint_reads_the_dockerfile_and_asks_for_known_vulnerabilities(tmp_path: Path) -> None:
    (stamp := tmp_path / "installed").touch()
    commands = make("--dry-run", "lint", f"DEV_STAMP={stamp}").stdout
    assert re.search(r"/hadolint Dockerfile$", commands, re.MULTILINE)
    assert re.search(r" -m tests\.audit_dependencies$", commands, re.MULTILINE)
    assert "lint" in re.findall(r"^test: (.*?) ##", read("Makefile"), re.MULTILINE)[0].split()


def test_constraints_pin_every_dependency_to_one_version_and_hold_no_address() -> None:
    lines = [line for line in read("constraints.txt").splitlines() if not line.startswith("#")]
    assert all(re.fullmatch(r"[A-Za-z0-9._-]+==[A-Za-z0-9.]+", line) for line in lines)
    pinned = {normal(line.partition("==")[0]) for line in lines}
    project = tomllib.loads(read("pyproject.toml"))["project"]
    wanted = [*project["dependencies"], *project["optional-dependencies"]["embedded"]]
    wanted += project["optional-dependencies"]["dev"]
    names = {normal(re.split(r"[^A-Za-z0-9._-]", text, maxsplit=1)[0]) for text in wanted}
    assert names <= pinned


def normal(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()


def test_the_wheel_holds_the_migrations() -> None:
    included = tomllib.loads(read("pyproject.toml"))["tool"]["hatch"]["build"]["targets"]["wheel"]["force-include"]
    assert included == {"alembic": "janus_mail/alembic"}
    assert (ROOT / "alembic" / "env.py").exists()


def test_the_readme_is_short_and_begins_with_the_two_commands() -> None:
    text = read("README.md")
    assert len(text.splitlines()) < 150
    assert re.findall(r"^    (make \w+)", text, re.MULTILINE)[:2] == ["make run", "make test"]
    assert '"expected_sent_at": "2024-07-15T10:00:00"' in text


@pytest.mark.parametrize("name", ["README.md", "CONTRIBUTING.md", "CHANGELOG.md", "SECURITY.md"])
def test_what_the_documents_point_at_is_there(name: str) -> None:
    text = read(name)
    linked = [target for target in re.findall(r"\]\(([^)]+)\)", text) if not target.startswith("http")]
    targets = set(re.findall(r"`make ([a-z-]+)", text))
    assert all((ROOT / target).exists() for target in linked)
    assert targets <= set(re.findall(r"^([a-z-]+):", read("Makefile"), re.MULTILINE))


def test_what_security_promises_is_tested_where_it_says_and_set_by_settings_that_exist() -> None:
    text = read("SECURITY.md")
    promises = text.partition("## What is promised")[2].partition("\n## ")[0]
    rows = [line for line in promises.splitlines() if line.startswith("| ")][2:]
    tests = [re.findall(r"`(tests/[^`]+)`", row.rpartition(" | ")[2]) for row in rows]
    assert rows
    assert all(tests)
    assert all((ROOT / name).exists() for row in tests for name in row)
    settings = {variable_name(field) for field in Settings.model_fields}
    assert set(re.findall(r"`(JANUS_[A-Z_]+[A-Z])[=`]", text)) <= settings
