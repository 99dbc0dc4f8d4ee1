"""What the application shows to the world, found by looking: routes, mounted folders, the operations of the API with
their fields. What is added later is found too."""

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final
from urllib.parse import quote

from fastapi import FastAPI
from fastapi.routing import iter_route_contexts
from starlette.routing import Mount

_PARAMETER: Final = re.compile(r"\{(\w+)\}")
_METHODS: Final = ("get", "put", "post", "delete", "patch")


@dataclass(frozen=True, slots=True, order=True)
class Surface:
    """One method of one address; `path` has its parameters in braces."""

    path: str
    method: str

    @property
    def parameters(self) -> tuple[str, ...]:
        return tuple(_PARAMETER.findall(self.path))

    @property
    def is_page(self) -> bool:
        """For people: everything but the API, what services post, and what watches Janus."""
        programs = ("/api/", "/hooks/", "/send_email", "/view_sent_emails", "/healthz", "/readyz", "/metrics", "/.well")
        return not self.path.startswith(programs) and self.path != "/openapi.json"

    def at(self, values: Mapping[str, str]) -> str:
        """The address with its parameters filled in, as a browser writes it. What a name means at one path alone stands
        in `values` behind that path."""

        def value(found: re.Match[str]) -> str:
            return quote(values.get(f"{self.path} {found[1]}", values[found[1]]), safe="@")

        return _PARAMETER.sub(value, self.path)

    def __str__(self) -> str:
        return f"{self.method} {self.path}"


def surfaces(app: FastAPI) -> list[Surface]:
    """Every route with every method, but the HEAD that goes with a GET."""
    found = set()
    for route in iter_route_contexts(app.routes):
        methods = set(route.methods or ())
        for method in methods - ({"HEAD"} if "GET" in methods else set()):
            found.add(Surface(route.path_format or "", method))
    return sorted(found)


def folders(app: FastAPI) -> list[str]:
    """Where files are mounted."""
    return [route.path for route in app.routes if isinstance(route, Mount)]


@dataclass(frozen=True, slots=True)
class Field:
    """One text of a body. A step is a name, `0` for the items of a list, `*` for the values of an object that may have
    any names, `?` for these names themselves."""

    steps: tuple[str | int, ...]

    @property
    def name(self) -> str:
        """Of the innermost field that has one."""
        return str([step for step in self.steps if isinstance(step, str) and step not in "*?"][-1])

    def put(self, body: Any, text: Any) -> Any:
        """A copy of `body` that says `text` here."""
        changed = json.loads(json.dumps(body))
        here = changed
        for step in self.steps[:-1]:
            here = here[next(iter(here)) if step == "*" else step]
        last = self.steps[-1]
        if last == "?":
            here[text] = here.pop(next(iter(here)))
        else:
            here[next(iter(here)) if last == "*" else last] = text
        return changed

    def __str__(self) -> str:
        return ".".join(map(str, self.steps))


@dataclass(frozen=True, slots=True)
class Operation:
    """One method of one address of the OpenAPI document; `body` is one with every field, `fields` are its texts."""

    surface: Surface
    name: str
    parameters: tuple[tuple[str, str], ...]  # (in, name) of queries and headers
    kinds: tuple[str, ...]  # of bodies
    answers: tuple[str, ...]  # media types of what it answers where all is well
    body: Any
    fields: tuple[Field, ...]

    @property
    def is_json(self) -> bool:
        return "application/json" in self.kinds


def operations(document: Mapping[str, Any], examples: Mapping[str, Any]) -> list[Operation]:
    """All of them. `examples` are for fields that the document has none for, or none that is fit to be sent: by the
    field's name, or by the path and the name where it means something else there."""
    return [
        _operation(Surface(path, method.upper()), methods[method], document, examples)
        for path, methods in document["paths"].items()
        for method in _METHODS
        if method in methods
    ]


def _operation(
    surface: Surface, said: Mapping[str, Any], document: Mapping[str, Any], examples: Mapping[str, Any]
) -> Operation:
    content = said.get("requestBody", {}).get("content", {})
    here = f"{surface.path} "
    examples = {**examples, **{key.removeprefix(here): one for key, one in examples.items() if key.startswith(here)}}
    first: Mapping[str, Any] = next(iter(content.values()), {})
    schema = {**first.get("schema", {}), "examples": [first["example"]]} if "example" in first else first.get("schema")
    body = _example(schema, "", document, examples) if schema and "text/csv" not in content else None
    return Operation(
        surface,
        said["operationId"],
        tuple((one["in"], one["name"]) for one in said.get("parameters", ()) if one["in"] in ("query", "header")),
        tuple(content),
        tuple(kind for answer in _good(said["responses"]) for kind in answer.get("content", ())),
        body,
        tuple(map(Field, texts(body))),
    )


def _good(answers: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    return [answer for status, answer in answers.items() if status.startswith("2")]


def texts(body: Any, steps: tuple[str | int, ...] = ()) -> Iterator[tuple[str | int, ...]]:
    """Where a body has texts; objects that callers name the fields of are told by their one field `any`."""
    if isinstance(body, str):
        yield steps
    elif isinstance(body, list):
        for item in body[:1]:
            yield from texts(item, (*steps, 0))
    elif isinstance(body, dict):
        if list(body) == [ANY]:
            yield (*steps, "?")
            yield from texts(body[ANY], (*steps, "*"))
        else:
            for name, value in body.items():
                yield from texts(value, (*steps, name))


LEFT_OUT: Final = object()  # the example of a field that is best not sent
ANY: Final = "Any"  # fit for a header, a label and a variable of no placeholder alike


def _example(schema: Mapping[str, Any], name: str, document: Mapping[str, Any], examples: Mapping[str, Any]) -> Any:
    if name in examples:
        return examples[name]
    schema = _resolved(schema, document)
    if "properties" in schema:
        whole = schema.get("examples", [{}])[0]
        return {
            field: _example({"example": whole.get(field), **shape}, field, document, examples)
            for field, shape in schema["properties"].items()
            if examples.get(field) is not LEFT_OUT
        }
    for choices in ("anyOf", "oneOf"):
        if choices in schema:
            rest = {key: value for key, value in schema.items() if key != choices}
            chosen = {**rest, **_resolved(_richest(schema[choices], document), document)}
            return _example(chosen, name, document, examples)
    if schema.get("type") == "array" and not (schema.get("examples") and isinstance(schema["examples"][0], list)):
        return [_example(schema.get("items", {}), name, document, examples)]
    if schema.get("type") == "object":
        return {ANY: "x"}
    return _scalar(schema, name)


def _scalar(schema: Mapping[str, Any], name: str) -> Any:
    if "const" in schema:
        return schema["const"]
    for given in ("examples", "enum"):
        if given in schema:
            return schema[given][0]
    if "default" in schema and schema["default"] is not None:
        return schema["default"]
    if isinstance(schema.get("example"), str | int):
        return schema["example"]
    if schema.get("type") == "boolean":
        return True
    if schema.get("type") in ("integer", "number"):
        return schema.get("minimum", 1)
    raise AssertionError(
        f"The body has a field «{name}» that nothing is known to fit: give it an example in its schema, or in "
        f"EXAMPLES of tests/security/conftest.py. Its schema: {json.dumps(schema)[:300]}"
    )


def _resolved(schema: Mapping[str, Any], document: Mapping[str, Any]) -> Mapping[str, Any]:
    while "$ref" in schema:
        named = document["components"]["schemas"][schema["$ref"].rpartition("/")[2]]
        schema = {key: value for key, value in schema.items() if key != "$ref"} | named
    return schema


def _richest(choices: Sequence[Mapping[str, Any]], document: Mapping[str, Any]) -> Mapping[str, Any]:
    """Of several shapes that a field may have the one with most fields: an object, else a list, else text."""

    def richness(shape: Mapping[str, Any]) -> int:
        shape = _resolved(shape, document)
        order = ("null", "boolean", "integer", "number", "string", "array", "object")
        inner = richness(shape["items"]) if "items" in shape else 0
        inner = max([inner, *(richness(one) for key in ("anyOf", "oneOf") for one in shape.get(key, ()))])
        return order.index(shape.get("type", "null")) * 2 + inner

    return max(choices, key=richness)
