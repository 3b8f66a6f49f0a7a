"""What every model of the API shares: camelCase on the wire, frozen, CEL beside the type."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, ClassVar

from pydantic import BaseModel, ConfigDict
from pydantic.alias_generators import to_camel

GROUP = "tradepulse.io"
VERSION = "v1alpha1"
API_VERSION = f"{GROUP}/{VERSION}"


class Model(BaseModel):
    """A frozen API object.

    Unknown fields are ignored on reading: a newer API server may know more than this operator.
    """

    model_config = ConfigDict(
        alias_generator=to_camel, populate_by_name=True, extra="ignore", frozen=True
    )

    #: CEL rules of this object, copied into the CRD as `x-kubernetes-validations`.
    cel: ClassVar[Sequence[dict[str, str]]] = ()

    def wire(self) -> dict[str, Any]:
        """This object as the API server stores it: camelCase keys, absent fields left out."""
        return self.model_dump(mode="json", by_alias=True, exclude_none=True)


def rule(expression: str, message: str, field: str | None = None) -> dict[str, str]:
    """One CEL validation. `message` names the field and the remedy; `field` is its path below self.

    Source: Kubernetes, "CustomResourceDefinitions: validation rules".
    """
    found = {"rule": expression, "message": message}
    if field:
        found["fieldPath"] = field
    return found


def immutable(field: str, remedy: str, *, optional: bool = False) -> dict[str, str]:
    """A transition rule: `field` of self can't change once set."""
    same = f"self.{field} == oldSelf.{field}"
    if optional:
        same = f"has(self.{field}) == has(oldSelf.{field}) && (!has(self.{field}) || {same})"
    return rule(same, f"{field} is immutable: {remedy}", f".{field}")
