"""What the linter lets pass on request, and what we stand on: each exception has a reason, each licence permits us."""

import ast
import re
import tomllib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cache
from importlib.metadata import Distribution, distribution
from pathlib import Path

from packaging.requirements import Requirement

ROOT = Path(__file__).parents[1]
FILES = sorted([*(ROOT / "src").rglob("*.py"), *(ROOT / "alembic").rglob("*.py")])

# Never waived: exec, pickle, eval, XML that fetches, weak TLS, YAML that runs code, a shell, unescaped templates.
NEVER = re.compile(r"S(102|30[1-245-9]|31[02-9]|32[0-4]|4\d\d|50[1-9]|60[2459]|612|70[12])")
NEVER_IMPORTED = frozenset({"pickle", "marshal", "shelve", "dill", "telnetlib", "ftplib"})
# Here a coin decides who gets in: only `secrets` may throw it.
KEEPS_SECRETS = ("accounts/", "web/", "pages/", "settings.py", "storage/secrets.py")


@dataclass(frozen=True)
class Waiver:
    """`# noqa: code` in a line, with the reason that stands beside it."""

    path: Path
    line: int
    code: str
    reason: str

    @property
    def place(self) -> str:
        return f"{self.path.relative_to(ROOT)}:{self.line} {self.code}"


@cache
def tree(path: Path) -> ast.Module:
    return ast.parse(path.read_text())


def around(found: Waiver, kind: type[ast.expr | ast.stmt]) -> list[ast.expr | ast.stmt]:
    """What of this kind spans the line, outermost first."""
    spans = (node for node in ast.walk(tree(found.path)) if isinstance(node, kind))
    return [node for node in spans if node.lineno <= found.line <= (node.end_lineno or 0)]


def narrows_a_type(found: Waiver) -> bool:
    """`assert x is not None` and `assert isinstance(…)`: for the type checker, never for a caller's sake."""
    (statement,) = around(found, ast.Assert)
    assert isinstance(statement, ast.Assert)
    test = statement.test
    is_not_none = isinstance(test, ast.Compare) and [type(word) for word in test.ops] == [ast.IsNot]
    return is_not_none or (isinstance(test, ast.Call) and ast.unparse(test.func) == "isinstance")


def is_a_named_statement(found: Waiver) -> bool:
    """SQL put together in `queries`, from our own words: values of a request come as `$1`."""
    return found.path.stem.partition("_")[0] == "queries" or found.path.parent.name == "queries"


def spreads_a_wait(found: Waiver) -> bool:
    return not found.path.relative_to(ROOT / "src/janus_mail").as_posix().startswith(KEEPS_SECRETS)


def runs_a_list(found: Waiver) -> bool:
    """A program and its arguments, each by itself: no shell reads them."""
    call = around(found, ast.Call)[-1]
    assert isinstance(call, ast.Call)
    is_text = isinstance(call.args[0], ast.Constant | ast.JoinedStr | ast.BinOp)
    return not is_text and "shell" not in {word.arg for word in call.keywords}


# The reasons that need not be repeated in place, each with what shows that it holds there.
UNDERSTOOD: dict[str, Callable[[Waiver], bool]] = {
    "S101": narrows_a_type, "S311": spreads_a_wait, "S603": runs_a_list, "S607": runs_a_list,
    "S608": is_a_named_statement,
}  # fmt: skip
HELD_EVERYWHERE = ("S101", "S311")  # a sentence does not help: python -O drops an assert, and a coin can be foreseen


def waivers() -> Iterator[Waiver]:
    for path in FILES:
        for number, line in enumerate(path.read_text().splitlines(), 1):
            said = re.search(r"# noqa\b:?\s*([A-Z]+\d+(?:,\s*[A-Z]+\d+)*)?(.*)$", line)
            for code in re.split(r",\s*", said[1] or "every rule") if said else []:
                yield Waiver(path, number, code, said[2].strip(" #()") if said else "")


def test_no_line_is_waived_as_a_whole_and_no_file() -> None:
    assert [found.place for found in waivers() if found.code == "every rule"] == []
    whole = re.compile(r"^\s*# (ruff|flake8): noqa", re.MULTILINE)
    assert [str(path) for path in FILES if whole.search(path.read_text())] == []
    lint = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["ruff"]["lint"]
    assert "S" in lint["select"]
    for pattern, codes in {"every file": lint["ignore"], **lint["per-file-ignores"]}.items():
        assert pattern.startswith(("tests/", "benchmarks/")) or not [c for c in codes if re.fullmatch(r"S\d*", c)]


def test_some_rules_are_never_waived() -> None:
    assert [found.place for found in waivers() if NEVER.fullmatch(found.code)] == []


def test_every_waiver_of_a_rule_of_security_has_a_reason() -> None:
    unexplained = [
        found.place for found in waivers()
        if re.fullmatch(r"S\d+", found.code)
        and not (found.reason and found.code not in HELD_EVERYWHERE)
        and not (found.code in UNDERSTOOD and UNDERSTOOD[found.code](found))
    ]  # fmt: skip
    assert unexplained == []


def test_nothing_is_imported_that_runs_what_it_reads() -> None:
    imported = [
        (path.name, name.partition(".")[0])
        for path in FILES
        for node in ast.walk(tree(path))
        if isinstance(node, ast.Import | ast.ImportFrom)
        for name in ([node.module or ""] if isinstance(node, ast.ImportFrom) else [alias.name for alias in node.names])
    ]
    assert [(file, name) for file, name in imported if name in NEVER_IMPORTED] == []


# -- licences

# What may be shipped with an MIT program. MPL-2.0 too: it binds changes to its own files, and we change none.
PERMITTED = frozenset({
    "mit", "mit-0", "bsd", "bsd-2-clause", "bsd-3-clause", "0bsd", "apache-2.0", "isc", "psf-2.0", "hpnd", "unlicense",
    "zlib", "cnri-python", "mpl-2.0",
})  # fmt: skip
SAME = {
    "apache 2.0": "apache-2.0", "apache license 2.0": "apache-2.0", "apache software license": "apache-2.0",
    "mit license": "mit", "bsd license": "bsd", "isc license": "isc", "isc license (iscl)": "isc",
    "mozilla public license 2.0 (mpl 2.0)": "mpl-2.0", "python software foundation license": "psf-2.0",
    "the unlicense (unlicense)": "unlicense", "historical permission notice and disclaimer (hpnd)": "hpnd",
}  # fmt: skip


def runtime() -> dict[str, Distribution]:
    """What a production install brings: name → distribution, ourselves left out."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    waiting = [Requirement(text) for text in project["dependencies"]]
    found: dict[str, Distribution] = {}
    seen: set[str] = set()
    while waiting:
        wanted = waiting.pop()
        if str(wanted) in seen:
            continue
        seen.add(str(wanted))
        there = found[re.sub(r"[-_.]+", "-", wanted.name).lower()] = distribution(wanted.name)
        extras = ("", *wanted.extras)
        waiting += [
            needed for needed in map(Requirement, there.requires or [])
            if not needed.marker or any(needed.marker.evaluate({"extra": extra}) for extra in extras)
        ]  # fmt: skip
    return found


def licences(there: Distribution) -> set[str]:
    """Every licence that its expression names, else its classifiers, else its field: each has to be permitted.

    Of `A OR B` we could take one; no package needs that.
    """
    metadata = there.metadata.json
    expression = str(metadata.get("license_expression", ""))
    classified = [c.rpartition(" :: ")[2] for c in metadata.get("classifier", []) if c.startswith("License :: ")]
    classified = [name for name in classified if name != "OSI Approved"]
    said = re.split(r"\s+(?:AND|OR)\s+|[()]", expression) if expression else classified
    said = said or [str(metadata.get("license", ""))]
    return {SAME.get(name.strip().lower(), name.strip().lower()) for name in said if name.strip()}


def test_what_is_shipped_with_us_is_licensed_so_that_it_may_be() -> None:
    said = {name: licences(there) for name, there in runtime().items()}
    assert len(said) > 60
    assert {name: named for name, named in said.items() if not named or named - PERMITTED} == {}
