"""Objects as the API server has them, which another version may have written: parsed, or said why
not.

A newer CRD may have let in a value that this operator doesn't know, in any field. What safety rests
on is then read from the raw object, see `raw`: strictly typed, and without the rest being parsed.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, TypeVar

from pydantic import ValidationError

from tradepulse_operator.api.cutover import ReleaseCutover
from tradepulse_operator.api.runner import TradingRunner

Object = TypeVar("Object", TradingRunner, ReleaseCutover)
_LONGEST_VALUE = 100


class NotUnderstood(ValueError):
    """An object that this operator can't parse. The text names object, field, value and remedy."""

    def __init__(self, kind: str, name: str, field: str, why: str) -> None:
        super().__init__(
            f"{kind} {name}: {field} can't be understood ({why}): a newer version may have written"
            " it; upgrade the operator, or correct the field"
        )
        self.kind, self.name, self.field = kind, name, field


def read(model: type[Object], manifest: Mapping[str, Any]) -> Object:
    """The object that `found` is. Raises NotUnderstood."""
    try:
        return model.model_validate(manifest)
    except ValidationError as error:
        first = error.errors(include_url=False, include_context=False)[0]
        field = ".".join(str(part) for part in first["loc"]) or "the object"
        why = f"{first['msg']}; it is {repr(first['input'])[:_LONGEST_VALUE]}"
        name = text(manifest, "metadata", "name") or "without a name"
        raise NotUnderstood(model.KIND, name, field, why) from error


def raw(value: object, *path: str) -> object:
    """What is at `path` of a raw object; None where there is no such thing."""
    for part in path:
        value = value.get(part) if isinstance(value, Mapping) else None
    return value


def text(manifest: object, *path: str) -> str:
    """The text at `path`; "" where there is none."""
    value = raw(manifest, *path)
    return value if isinstance(value, str) else ""


def true(manifest: object, *path: str) -> bool:
    """Whether there is `true` at `path`, and nothing that merely looks like it."""
    return raw(manifest, *path) is True
