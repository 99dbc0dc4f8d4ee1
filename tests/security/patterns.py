"""Every regular expression of the package, how it is used, and texts that would make it slow."""

import ast
import importlib
import inspect
import pkgutil
import re
from collections.abc import Iterator, Mapping
from dataclasses import fields, is_dataclass
from functools import cache
from itertools import pairwise
from pathlib import Path
from re import _constants as constants  # type: ignore[attr-defined]
from re import _parser as parser  # type: ignore[attr-defined]
from types import ModuleType
from typing import Any, Final

import janus_mail

_REPEATS: Final = (constants.MAX_REPEAT, constants.MIN_REPEAT, constants.POSSESSIVE_REPEAT)
_MOST_SIGNS: Final = 5  # of one repetition
_FROM_THE_START: Final = {"match", "fullmatch"}
_ANYWHERE: Final = {"search", "sub", "subn", "split", "findall", "finditer"}


def modules() -> list[ModuleType]:
    """All of the package, but what runs when it is imported."""
    found = pkgutil.walk_packages(janus_mail.__path__, "janus_mail.")
    return [importlib.import_module(module.name) for module in found if not module.name.endswith("__main__")]


def patterns() -> dict[str, re.Pattern[Any]]:
    """Where it stands → the expression: names of modules and classes, and what their containers hold."""
    found: dict[str, re.Pattern[Any]] = {}
    for module in modules():
        for name, value in vars(module).items():
            owner = inspect.isclass(value) and value.__module__ == module.__name__
            members = vars(value).items() if owner else [(name, value)]
            for member, held in members:
                for pattern in _within(held, 3):
                    found.setdefault(_known_as(pattern), pattern)
                    _names(pattern).add(("" if owner or held is not pattern else module.__name__, member))
    for path, call in _calls():
        if _is_inline(call) and isinstance(call.args[0], ast.Constant) and isinstance(call.func, ast.Attribute):
            pattern = re.compile(call.args[0].value)
            found.setdefault(f"{path} {pattern.pattern!r}", pattern)
            _names(pattern).add(("re", call.func.attr))
    return found


def methods(pattern: re.Pattern[Any]) -> set[str]:
    """`search` where it is looked for anywhere in a text, `match` and `fullmatch` where it is held to the beginning.
    What no call names is taken to be looked for anywhere."""
    names = _names(pattern)
    used = {name for module, name in names if module == "re"}
    used |= {method for module, name, method in _uses() if (module, name) in names or ("", name) in names}
    used = {"search" if method in _ANYWHERE else method for method in used}
    return used & (_FROM_THE_START | {"search"}) or {"search"}


_NAMES: dict[str, set[tuple[str, str]]] = {}  # (module, or none where any may use it; name)


def _names(pattern: re.Pattern[Any]) -> set[tuple[str, str]]:
    return _NAMES.setdefault(_known_as(pattern), set())


def _known_as(pattern: re.Pattern[Any]) -> str:
    return f"{pattern.pattern!r} {pattern.flags}"


def _within(value: Any, depth: int) -> Iterator[re.Pattern[Any]]:
    if isinstance(value, re.Pattern):
        yield value
    elif depth and isinstance(value, Mapping):
        for key, held in list(value.items()):
            yield from _within(key, depth - 1)
            yield from _within(held, depth - 1)
    elif depth and isinstance(value, tuple | list | set | frozenset):
        for held in value:
            yield from _within(held, depth - 1)
    elif depth and is_dataclass(value) and not inspect.isclass(value):
        for field in fields(value):
            yield from _within(getattr(value, field.name, None), depth - 1)


@cache
def _calls() -> list[tuple[str, ast.Call]]:
    root = Path(janus_mail.__file__).parent
    return [
        (path.relative_to(root).as_posix(), node)
        for path in sorted(root.rglob("*.py"))
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute)
    ]


def _is_inline(call: ast.Call) -> bool:
    func = call.func
    is_re = isinstance(func, ast.Attribute) and isinstance(func.value, ast.Name) and func.value.id == "re"
    return is_re and isinstance(func, ast.Attribute) and func.attr in _FROM_THE_START | _ANYWHERE and bool(call.args)


@cache
def _uses() -> set[tuple[str, str, str]]:
    """(module, name, method) of every call that looks like one of an expression; `X[1].match` is of X."""
    found = set()
    for path, call in _calls():
        assert isinstance(call.func, ast.Attribute)
        if call.func.attr in _FROM_THE_START | _ANYWHERE:
            holder: ast.expr = call.func.value
            while isinstance(holder, ast.Subscript):
                holder = holder.value
            name = holder.attr if isinstance(holder, ast.Attribute) else getattr(holder, "id", "")
            module = "janus_mail." + path.removesuffix(".py").replace("/", ".").removesuffix(".__init__")
            found.add((module, name, call.func.attr))
    return found


def slow_texts(pattern: str) -> Iterator[tuple[str, str, str]]:
    """(beginning, what is repeated, end): for each repetition the signs that it takes, alone and in pairs, behind what
    fits all that comes before it, and before what never fits."""
    for begin, signs in _repetitions(list(parser.parse(pattern)), ""):
        known = list(dict.fromkeys(signs))[:_MOST_SIGNS]
        for unit in [*known, *("".join(pair) for pair in pairwise(known))]:
            yield begin, unit, "\x00"
            yield begin, unit, "\x00" + begin


def _repetitions(parsed: list[Any], begin: str) -> Iterator[tuple[str, list[str]]]:
    for place, (kind, value) in enumerate(parsed):
        if kind in _REPEATS:
            # What follows may take the same signs, and so may what is repeated within.
            yield begin, [*_signs(value[2]), *_signs(parsed[place + 1 : place + 3])]
            yield from _repetitions(list(value[2]), begin)
        elif kind is constants.SUBPATTERN:
            yield from _repetitions(list(value[3]), begin)
        elif kind is constants.BRANCH:
            for branch in value[1]:
                yield from _repetitions(list(branch), begin)
        elif kind in (constants.ASSERT, constants.ASSERT_NOT):
            yield from _repetitions(list(value[1]), begin)
        elif kind is constants.ATOMIC_GROUP:
            yield from _repetitions(list(value), begin)
        begin += _sample([(kind, value)])


def _sample(parsed: Any) -> str:
    """A short text that fits."""
    said = ""
    for kind, value in parsed:
        if kind in _REPEATS:
            said += _sample(value[2]) * max(value[0], 1)
        elif kind is constants.SUBPATTERN:
            said += _sample(value[3])
        elif kind is constants.BRANCH:
            said += _sample(value[1][0])
        elif kind is constants.ATOMIC_GROUP:
            said += _sample(value)
        elif kind not in (constants.ASSERT, constants.ASSERT_NOT, constants.AT):
            said += next(_signs([(kind, value)]), "")
    return said


def _signs(parsed: Any) -> Iterator[str]:
    """One for each literal and class, in their order."""
    for kind, value in parsed:
        if kind in (constants.LITERAL, constants.NOT_LITERAL):
            yield chr(value) if kind is constants.LITERAL else _other_than(value)
        elif kind is constants.IN:
            yield from _of_class(value)
        elif kind is constants.ANY:
            yield "a"
        elif kind in _REPEATS:
            yield from _signs(value[2])
        elif kind is constants.SUBPATTERN:
            yield from _signs(value[3])
        elif kind is constants.BRANCH:
            for branch in value[1]:
                yield from _signs(branch)
        elif kind in (constants.ASSERT, constants.ASSERT_NOT):
            yield from _signs(value[1])
        elif kind is constants.ATOMIC_GROUP:
            yield from _signs(value)


def _of_class(items: Any) -> Iterator[str]:
    negated = any(kind is constants.NEGATE for kind, _ in items)
    for kind, value in items[:4]:
        if kind is constants.LITERAL:
            yield "a" if negated else chr(value)
        elif kind is constants.RANGE:
            yield "a" if negated else chr(value[0])
        elif kind is constants.CATEGORY:
            yield {"SPACE": " ", "DIGIT": "1", "WORD": "a"}.get(str(value).rpartition("_")[2], "-")


def _other_than(code: int) -> str:
    return "a" if code != ord("a") else "b"
