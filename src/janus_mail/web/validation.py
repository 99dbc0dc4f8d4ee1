"""What pydantic found wrong, as the one error that the caller is told."""

import re
from collections.abc import Mapping, Sequence
from typing import Any, get_args

from pydantic_core.core_schema import ErrorType

from janus_mail.errors import Detail, InvalidInput

_PLACES = ("body", "query", "path", "header", "cookie")
_NEEDED = "needed"  # as providers' settings say that one is not there
_PYDANTICS_OWN = frozenset({*get_args(ErrorType), _NEEDED})
# An object is wanted; what pydantic calls it depends on what it is read into.
_NO_OBJECT = frozenset({"model_attributes_type", "model_type", "dict_type", "mapping_type"})
# What people read in place of pydantic's words; of others «Input should …» becomes «This must …».
_SENTENCES: Mapping[str, str] = {
    "missing": "This field is required.",
    "extra_forbidden": "There is no such field.",
    "string_type": "This must be text.",
    "string_pattern_mismatch": "This does not have the form that is wanted here.",
    "int_type": "This must be a whole number.",
    "int_parsing": "This must be a whole number.",
    "int_from_float": "This must be a whole number.",
    "float_type": "This must be a number.",
    "float_parsing": "This must be a number.",
    "finite_number": "This must be a number.",
    "bool_type": "This must be true or false.",
    "bool_parsing": "This must be true or false.",
    "list_type": "This must be a list.",
    "url_parsing": "This must be an address such as https://example.com.",
    "url_scheme": "This must be an address such as https://example.com.",
}
_PYDANTICS_SUBJECT = re.compile(r"^(?:Input|String|List|Dictionary|Value|URL) should (?=be|have|match)")
_WHOLE = "body"  # what is wrong is no single field
_MOST_DETAILS = 100
_UNKNOWN = object()


def invalid_input(errors: Sequence[Mapping[str, Any]], body: Any = _UNKNOWN) -> InvalidInput:
    """The error for `ValidationError.errors()`; `body` is what was validated.

    A validator that raises `PydanticCustomError(code, sentence)` decides both; a missing field comes before it.
    """
    if errors[0]["type"] == "json_invalid":
        return _invalid_json(errors[0])
    details: list[Detail] = []
    for error in errors:
        field = _field(error, body)
        detail = Detail(field, _message(error, field))
        if detail not in details and len(details) < _MOST_DETAILS:
            details.append(detail)
    if any(error["type"] == "missing" for error in errors):
        return InvalidInput("Missing required fields.", code="missing_fields", details=details)
    ours = next((error for error in errors if error["type"] not in _PYDANTICS_OWN), None)
    if ours is not None:
        return InvalidInput(ours["msg"], code=ours["type"], details=details)
    if len(details) == 1:
        about = "" if details[0].field == _WHOLE else f"{details[0].field}: "
        return InvalidInput(f"{about}{details[0].message}", details=details)
    return InvalidInput(f"{len(details)} fields are not valid.", details=details)


def _invalid_json(error: Mapping[str, Any]) -> InvalidInput:
    reason = error.get("ctx", {}).get("error", "not JSON")
    return InvalidInput(f"The body is not valid JSON: {reason}.", code="invalid_json")


def _message(error: Mapping[str, Any], field: str) -> str:
    kind = error["type"]
    if kind in _SENTENCES:
        return _SENTENCES[kind]
    if kind in _NO_OBJECT:
        return "The body must be a JSON object." if field == _WHOLE else "This must be a JSON object."
    text = str(error["msg"]).removeprefix("Value error, ").removeprefix("Assertion failed, ")
    text = _PYDANTICS_SUBJECT.sub("This must ", text).replace("greater than or equal to", "at least")
    text = text.replace("less than or equal to", "at most").replace("greater than", "more than")
    if kind == _NEEDED:
        text = text[0].upper() + text[1:]
    return text if text.endswith((".", "!", "?")) else f"{text}."


def _field(error: Mapping[str, Any], body: Any) -> str:
    """`("body", "recipients", "list[str]", 2)` is `recipients[2]`: a union's branch is no field of the caller's."""
    steps = list(error["loc"])
    data = body
    if steps and steps[0] in _PLACES:
        data = body if steps[0] == "body" else _UNKNOWN
        steps = steps[1:]
    path = ""
    for number, step in enumerate(steps, 1):
        if isinstance(step, int):
            path += f"[{step}]"
            data = data[step] if isinstance(data, list) and step < len(data) else _UNKNOWN
            continue
        absent = error["type"] in ("missing", _NEEDED) and number == len(steps)
        if data is _UNKNOWN or (isinstance(data, Mapping) and (step in data or absent)):
            path += f".{step}" if path else step
            data = data.get(step, _UNKNOWN) if isinstance(data, Mapping) else _UNKNOWN
    return path or _WHOLE
