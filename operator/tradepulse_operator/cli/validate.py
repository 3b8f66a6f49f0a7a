"""Offline validation, with the messages of the API server.

The shape is pydantic's to judge, the rules are the same as in the CRD, and what is left (null,
unknown fields, names) is done here as the API server does it. Two things differ: changes of a
stored object (immutable fields) can't be judged from one manifest, and a whole number written as
7.0 is refused here, where the API server takes it for those fields alone that no rule reads.
"""

from __future__ import annotations

import functools
import json
import re
from collections.abc import Iterator, Mapping
from typing import Any

from pydantic import ValidationError
from pydantic_core import ErrorDetails

from tradepulse_operator.api.base import VALIDATIONS, Model
from tradepulse_operator.api.meta import Meta
from tradepulse_operator.api.units import OBJECT_PATTERN
from tradepulse_operator.codegen.crd import KINDS, Schema, has, root
from tradepulse_operator.common.names import API_VERSION

Path = tuple[str | int, ...]

_root = functools.cache(root)


def problems(manifest: Mapping[str, Any]) -> list[str]:
    """What makes `manifest` (a parsed YAML document) invalid, a line each: `field: remedy`.

    An empty list: the API server of a cluster with this CRD accepts it under strict field
    validation, kubectl's own default. The status isn't validated, as on creation.
    """
    kind = next((each for each in KINDS if manifest.get("kind") == each.KIND), None)
    if kind is None or manifest.get("apiVersion") != API_VERSION:
        known = " or ".join(each.KIND for each in KINDS)
        return [f"kind: not a resource of this operator: write apiVersion {API_VERSION}, {known}"]
    meta, wrong = _meta(manifest.get("metadata"))
    schema = _root(kind)
    body = {key: value for key, value in manifest.items() if key not in ("metadata", "status")}
    wrong += _unknown(body, schema, ())
    pruned = _prune({**body, "metadata": meta.wire()}, schema)
    try:
        parsed = kind.model_validate_json(json.dumps(pruned), strict=True)
    except ValidationError as error:
        return wrong + [_explain(each, schema) for each in _own(error)]
    return wrong + list(_broken(parsed, ()))


def _meta(value: Any) -> tuple[Meta, list[str]]:
    """The metadata, as far as it decides on validity, and what is wrong with it."""
    name = value.get("name") if isinstance(value, dict) else None
    if not isinstance(name, str) or not name:
        return Meta(name="unnamed", namespace="default"), ["metadata.name: name the object"]
    if len(name) <= 253 and re.fullmatch(OBJECT_PATTERN, name):
        return Meta(name=name, namespace="default"), []
    wrong = (
        "metadata.name: write lower-case letters, digits, '-' and '.', beginning and ending with a"
        " letter or digit, 253 characters at most"
    )
    return Meta(name="unnamed", namespace="default"), [wrong]


def _child(schema: Schema, key: str | int) -> Schema | None:
    """The schema of a property, of a map's value or of a list's item; None when there is none."""
    below = schema.get("items") if isinstance(key, int) else schema.get("properties", {}).get(key)
    return below or schema.get("additionalProperties")


def _unknown(value: Any, schema: Schema, path: Path) -> list[str]:
    """Fields that the schema doesn't have."""
    if schema.get("x-kubernetes-preserve-unknown-fields"):
        return []
    if isinstance(value, list) and "items" in schema:
        pairs: Iterator[tuple[str | int, Any]] = iter(enumerate(value))
    elif isinstance(value, dict) and schema.get("type") == "object":
        pairs = iter(value.items())
    else:
        return []
    wrong = []
    for key, each in pairs:
        below = _child(schema, key)
        where = (*path, key)
        if below is None:
            wrong.append(f"{_dotted(where)}: unknown field: correct its spelling or remove it")
        else:
            wrong += _unknown(each, below, where)
    return wrong


def _prune(value: Any, schema: Schema) -> Any:
    """`value` without nulls in objects and maps: to the API server they are absent."""
    if isinstance(value, list) and "items" in schema:
        return [_prune(each, schema["items"]) for each in value]
    if not isinstance(value, dict) or not {"properties", "additionalProperties"} & set(schema):
        return value
    return {
        key: _prune(each, _child(schema, key) or {})
        for key, each in value.items()
        if each is not None
    }


def _own(error: ValidationError) -> Iterator[ErrorDetails]:
    """The findings of pydantic but for those that only follow from another: it counts a list's
    valid items, so one bad item also makes the list too short."""
    places = {each["loc"][:end] for each in error.errors() for end in range(len(each["loc"]))}
    for each in error.errors():
        if each["type"] != "too_short" or each["loc"] not in places:
            yield each


def _explain(error: ErrorDetails, schema: Schema) -> str:
    """One finding of pydantic, with the schema's own remedy where it has one."""
    path, message = error["loc"], error["msg"]
    if error["type"] == "missing":
        rules = _at(path[:-1], schema).get(VALIDATIONS, ())
        remedies = {each["rule"]: each["message"] for each in rules}
        message = f"Required value: {remedies.get(has(str(path[-1])), 'it has no default')}"
    if len(path) > 1 and "additionalProperties" in _at(path[:-1], schema):
        return f"{_dotted(path[:-1])}[{path[-1]}]: {message}"
    return f"{_dotted(path)}: {message}"


def _at(path: Path, schema: Schema) -> Schema:
    """The schema of what stands there."""
    for key in path:
        schema = _child(schema, key) or {}
    return schema


def _broken(value: Any, path: Path) -> Iterator[str]:
    """The rules of objects that `value`, or anything in it, breaks."""
    if isinstance(value, tuple):
        for index, each in enumerate(value):
            yield from _broken(each, (*path, index))
    if not isinstance(value, Model):
        return
    for rule in value.rules():
        if rule.holds is not None and not rule.holds(value):
            yield f"{_dotted(path)}{rule.field or ''}: {rule.message}".removeprefix(".")
    for name, field in type(value).model_fields.items():
        yield from _broken(getattr(value, name), (*path, field.alias or name))


def _dotted(path: Path) -> str:
    """A path as the API server writes it, e.g. `spec.venues[0].name`."""
    text = "".join(f"[{each}]" if isinstance(each, int) else f".{each}" for each in path)
    return text.removeprefix(".")
