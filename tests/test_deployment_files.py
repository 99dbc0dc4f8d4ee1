"""`Dockerfile` and `compose.yaml`: what is deployed runs as nobody special, writes nowhere and holds no secret."""

import re
from pathlib import Path
from typing import Any

import pytest
import yaml  # type: ignore[import-untyped]

ROOT = Path(__file__).parents[1]
OWN = ("migrations", "api", "worker")
ALL = ("postgres", "redis", *OWN)
# A name that says what it holds, beside a value; `${NAME:-}` and `${NAME}` hold none themselves.
_SECRET_NAME = re.compile(r"PASSWORD|SECRET|TOKEN|_KEY|CREDENTIAL", re.IGNORECASE)
_FROM_OUTSIDE = re.compile(r"\$\{[A-Z_]+(:-)?\}")
_LOGIN_IN_ADDRESS = re.compile(r"://[^/@\s:]*:([^/@\s]+)@")


def instructions() -> list[list[tuple[str, str]]]:
    """The stages of the Dockerfile, each as (instruction, its words): the FROM is the first."""
    text = re.sub(r"^\s*#.*\n", "", (ROOT / "Dockerfile").read_text(), flags=re.MULTILINE)
    lines = [line.partition(" ") for line in re.sub(r"\\\n\s*", "", text).splitlines() if line.strip()]
    starts = [number for number, (name, _, _) in enumerate(lines) if name == "FROM"]
    assert starts[0] == 0  # no ARG before it, that a build could put another image in by
    return [
        [(name, words.strip()) for name, _, words in lines[start:end]]
        for start, end in zip(starts, [*starts[1:], len(lines)], strict=True)
    ]


def words_of(stage: list[tuple[str, str]], instruction: str) -> list[str]:
    return [words for name, words in stage if name == instruction]


def compose() -> dict[str, Any]:
    loaded: dict[str, Any] = yaml.safe_load((ROOT / "compose.yaml").read_text())
    return loaded


def service(name: str) -> dict[str, Any]:
    found: dict[str, Any] = compose()["services"][name]
    return found


def is_pinned(image: str) -> bool:
    return re.fullmatch(r"[a-z/-]+:\d+(\.\d+)*(-[a-z]+)*", image) is not None


def secrets_in(text: str) -> list[str]:
    """What stands where only `${…}` from outside may stand."""
    return [value for value in _LOGIN_IN_ADDRESS.findall(text) if not _FROM_OUTSIDE.fullmatch(value)]


@pytest.mark.parametrize(
    ("image", "pinned"),
    [("python:3.12-slim-trixie", True), ("redis:7", True), ("python", False), ("python:latest", False),
     ("python:slim", False)],
)  # fmt: skip
def test_a_tag_that_moves_on_to_anything_is_not_pinned(image: str, pinned: bool) -> None:
    assert is_pinned(image) is pinned


def test_the_image_is_built_in_two_stages_from_one_pinned_image() -> None:
    build, final = instructions()
    base, name = build[0][1].split(" AS ")
    assert is_pinned(base)
    assert (final[0][1], name) == (base, "build")
    assert any("--constraint constraints.txt" in words for words in words_of(build, "RUN"))
    assert words_of(final, "COPY") == ["--from=build /opt/janus /opt/janus"]  # nothing of the build but its result


def test_the_build_copies_only_what_the_ignore_file_lets_in() -> None:
    copied = [name for words in words_of(instructions()[0], "COPY") for name in words.split()[:-1]]
    assert set(copied) == set(re.findall(r"^!(.*)$", (ROOT / ".dockerignore").read_text(), re.MULTILINE))
    assert all((ROOT / name).exists() for name in copied)


def test_the_image_runs_as_a_number_that_is_not_root_and_owns_nothing_of_the_program() -> None:
    final = instructions()[-1]
    (user,) = words_of(final, "USER")
    assert re.fullmatch(r"[1-9]\d{3,}:[1-9]\d{3,}", user)
    after = [name for name, _ in final[final.index(("USER", user)) + 1 :]]
    assert set(after) <= {"WORKDIR", "EXPOSE", "HEALTHCHECK", "ENTRYPOINT", "CMD"}
    assert not any("--chown" in words or "--chmod" in words for words in words_of(final, "COPY"))


def test_the_image_holds_no_secret_and_fetches_nothing_unseen() -> None:
    lines = [line for stage in instructions() for line in stage]
    assert not {name for name, _ in lines} & {"ARG", "ADD", "ONBUILD", "SHELL", "VOLUME"}
    assert not [words for name, words in lines if name == "ENV" and _SECRET_NAME.search(words)]
    assert not [words for name, words in lines if name == "RUN" and re.search(r"\b(curl|wget|sudo|chmod)\b", words)]


def test_the_image_says_how_it_is() -> None:
    (check,) = words_of(instructions()[-1], "HEALTHCHECK")
    assert "/readyz" in check
    assert re.search(r"--interval=\d+s --timeout=\d+s", check)


def test_compose_runs_every_part() -> None:
    assert tuple(compose()["services"]) == ALL


@pytest.mark.parametrize("name", ALL)
def test_a_container_may_do_nothing_that_it_need_not(name: str) -> None:
    found = service(name)
    assert found["read_only"] is True
    assert found["tmpfs"]
    assert found["cap_drop"] == ["ALL"]
    assert found["security_opt"] == ["no-new-privileges:true"]
    assert 0 < found["pids_limit"] <= 1024
    assert not set(found) & {"privileged", "cap_add", "devices", "pid", "ipc", "network_mode", "userns_mode"}


@pytest.mark.parametrize("name", OWN)
def test_a_container_of_ours_is_the_image_as_it_is(name: str) -> None:
    found = service(name)
    assert (found["image"], found["build"], found["init"]) == ("janus-mail", ".", True)
    assert not set(found) & {"user", "volumes", "entrypoint"}  # the image's own user, no file of the host
    assert found["mem_limit"]
    assert found["env_file"] == [{"path": ".env", "required": False}]


@pytest.mark.parametrize("name", ["postgres", "redis"])
def test_a_server_of_others_is_pinned_and_never_root(name: str) -> None:
    found = service(name)
    assert is_pinned(found["image"])
    assert found["user"] == name
    assert [volume.partition(":")[0] for volume in found.get("volumes", [])] in ([], ["postgres"])  # named, of no host


@pytest.mark.parametrize("name", ALL)
def test_only_this_machine_reaches_a_port(name: str) -> None:
    ports = service(name).get("ports", [])
    assert all(port.startswith("127.0.0.1:") for port in ports)
    assert bool(ports) is (name in {"postgres", "api"})


def test_a_password_in_an_address_is_seen() -> None:
    assert secrets_in("postgresql://janus:hunter2@postgres/janus") == ["hunter2"]
    assert secrets_in("postgresql://janus:${POSTGRES_PASSWORD:-}@postgres/janus redis://redis:6379/0") == []


@pytest.mark.parametrize("name", ALL)
def test_compose_holds_no_secret(name: str) -> None:
    found = service(name)
    environment = found.get("environment", {})
    assert secrets_in(" ".join([*map(str, environment.values()), *found.get("command", [])])) == []
    named = {key: value for key, value in environment.items() if _SECRET_NAME.search(key)}
    assert all(_FROM_OUTSIDE.fullmatch(value) for value in named.values())
    assert set(named) == ({"POSTGRES_PASSWORD"} if name == "postgres" else set())
    assert "secrets" not in found
    assert "secrets" not in compose()


def test_a_secret_file_is_in_neither_repository_nor_image() -> None:
    assert {".env", ".janus/"} <= set((ROOT / ".gitignore").read_text().split())
    assert (ROOT / ".dockerignore").read_text().splitlines()[0] == "*"
