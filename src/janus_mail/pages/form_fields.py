"""The fields of a form, drawn from the JSON Schema of a kind of provider alone. Pure."""

import re
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

import orjson


class Control(StrEnum):
    """What a field looks like, and how what is typed into it is read."""

    LINE = "line"
    SECRET = "secret"  # noqa: S105  (a word, not one)
    LINES = "lines"  # of one text: a certificate
    LIST = "list"  # apart by commas or line breaks
    WHOLE = "whole"  # a whole number
    NUMBER = "number"
    BOX = "box"
    CHOICE = "choice"


class Part(StrEnum):
    """Where on the page it stands."""

    FIRST = "first"
    FEEDBACK = "feedback"  # what the service's own posts are believed by
    MORE = "more"


@dataclass(frozen=True, slots=True)
class Field:
    """One setting. `usual` is what holds where nothing is given; `fills` is JSON: for a choice, what each way fills in
    of other fields."""

    name: str
    label: str
    control: Control
    part: Part
    help: str = ""
    example: str = ""
    usual: Any = None
    required: bool = False
    options: Sequence[tuple[str, str]] = ()
    attributes: Mapping[str, str] = field(default_factory=dict)
    fills: Mapping[str, Mapping[str, Any]] | None = None

    @property
    def key(self) -> str:
        """Its name in the form, and its id on the page."""
        return f"config.{self.name}"

    @property
    def standing(self) -> Any:
        """What it says before anyone touches it: boxes and choices always say something."""
        return self.usual if self.control in (Control.BOX, Control.CHOICE) else None

    @property
    def fills_json(self) -> str:
        return orjson.dumps(self.fills).decode() if self.fills else ""


# Settings of many services that are seldom touched, where the schema does not say `advanced`.
_SELDOM = frozenset({"endpoint", "ip_pool", "validate_only"})
_FEEDBACK = frozenset({"topic_arn", "signing_certificate"})
_LONG = 3000  # characters; what may be longer is typed into more than a line


def fields_of(schema: Mapping[str, Any], needed: Collection[str] = ()) -> list[Field]:
    """What is `needed` or required first, then the others in the order of the schema."""
    required = {*schema.get("required", ()), *needed}
    properties = sorted(schema.get("properties", {}).items(), key=lambda item: item[0] not in required)
    return [_field(name, _plain(given, schema), required=name in required) for name, given in properties]


def _plain(given: Mapping[str, Any], schema: Mapping[str, Any]) -> dict[str, Any]:
    """One flat description: what it refers to, and of «this or null» this. `nullable` says that null was there."""
    flat = dict(given)
    for branch in (*flat.pop("allOf", ()), *(flat.pop("anyOf", ()))):
        if branch.get("type") == "null":
            flat["nullable"] = True
        else:
            flat = {**_plain(branch, schema), **flat}
    if "$ref" in flat:
        name = flat.pop("$ref").rpartition("/")[2]
        flat = {**_plain(schema.get("$defs", {}).get(name, {}), schema), **flat}
    return flat


def _field(name: str, given: Mapping[str, Any], *, required: bool) -> Field:
    control = _control(given)
    values = given.get("enum", [given["const"]] if "const" in given else ())
    names = given.get("enumNames", values)
    examples = given.get("examples", ())
    usual = given.get("default")
    numeric = control in (Control.WHOLE, Control.NUMBER)
    return Field(
        name=name,
        label=given.get("title") or name.replace("_", " ").capitalize(),
        control=control,
        part=_part(name, given, control, required=required),
        help=given.get("description", ""),
        example=_shown(usual if numeric and usual is not None else examples[0] if examples else ""),
        usual=usual,
        required=required,
        options=[(str(value), str(words)) for value, words in zip(values, names, strict=False)],
        attributes=_attributes(given, control),
        fills=given.get("fills"),
    )


def _control(given: Mapping[str, Any]) -> Control:
    kind = given.get("type")
    if given.get("writeOnly") or given.get("format") == "password":
        return Control.SECRET
    if "enum" in given or "const" in given:
        return Control.CHOICE
    if kind == "string" and _is_long(given):
        return Control.LINES
    simple = {"boolean": Control.BOX, "integer": Control.WHOLE, "number": Control.NUMBER, "array": Control.LIST}
    return simple.get(str(kind), Control.LINE)


def _is_long(given: Mapping[str, Any]) -> bool:
    examples = given.get("examples", ())
    return given.get("maxLength", 0) > _LONG or any("\n" in str(example) for example in examples)


def _part(name: str, given: Mapping[str, Any], control: Control, *, required: bool) -> Part:
    if name.startswith("webhook_") or name in _FEEDBACK:
        return Part.FEEDBACK
    tuned = control in (Control.BOX, Control.WHOLE, Control.NUMBER)
    seldom = name in _SELDOM or tuned or (given.get("nullable", False) and control is not Control.SECRET)
    return Part.MORE if given.get("advanced", seldom and not required) else Part.FIRST


def _attributes(given: Mapping[str, Any], control: Control) -> dict[str, str]:
    """What a browser checks while one types."""
    if control in (Control.WHOLE, Control.NUMBER):
        bounds = {"min": given.get("minimum"), "max": given.get("maximum")}
        step = "1" if control is Control.WHOLE else "any"
        found = {name: _shown(value) for name, value in bounds.items() if value is not None}
        return {"type": "number", "step": step, "inputmode": "decimal" if step == "any" else "numeric", **found}
    attributes = {"spellcheck": "false", "autocapitalize": "off"}
    if "maxLength" in given:
        attributes["maxlength"] = str(given["maxLength"])
    if control is Control.SECRET:
        attributes |= {"type": "password", "autocomplete": "new-password"}
    return attributes


def _shown(value: Any) -> str:
    """As one would type it: `30`, not `30.0`."""
    if isinstance(value, float) and value.is_integer():
        return str(int(value))
    return str(value) if value is not None else ""


def typed(one: Field, value: Any) -> str:
    """A stored value as it stands in its field."""
    if one.control is Control.LIST and isinstance(value, list):
        return ", ".join(str(item) for item in value)
    if one.control is Control.BOX:
        return "on" if value else ""
    return _shown(value)


def read(one: Field, text: str) -> Any:
    """What was typed, as the kind's model takes it; null for nothing. Raises `ValueError` with a sentence."""
    match one.control:
        case Control.BOX:
            return text == "on"
        case Control.SECRET:
            return text or None  # blanks are a matter of the service's
        case Control.LINES:
            return text.strip() + "\n" if text.strip() else None
        case Control.LIST:
            return [item.strip() for item in re.split(r"[,\n]", text) if item.strip()] or None
        case Control.WHOLE:
            return whole(text)
        case Control.NUMBER:
            return decimal(text)
    return text.strip() or None


def whole(text: str) -> int | None:
    """Raises `ValueError` with a sentence."""
    if not text.strip():
        return None
    if not re.fullmatch(r"[+-]?[0-9]{1,18}", text.strip()):
        raise ValueError("This is not a whole number.")
    return int(text)


def decimal(text: str) -> float | None:
    """Raises `ValueError` with a sentence."""
    if not text.strip():
        return None
    if not re.fullmatch(r"[+-]?[0-9]{1,18}([.,][0-9]{1,9})?", text.strip()):
        raise ValueError("This is not a number.")
    return float(text.strip().replace(",", "."))
