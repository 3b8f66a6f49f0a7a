"""What every model of the API shares: camelCase on the wire, frozen, rules next to the type."""

from __future__ import annotations

import re
from collections.abc import Callable, Hashable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

from pydantic import BaseModel, ConfigDict, GetCoreSchemaHandler, GetJsonSchemaHandler
from pydantic.alias_generators import to_camel
from pydantic.config import JsonDict
from pydantic.json_schema import JsonSchemaValue
from pydantic_core import CoreSchema, PydanticCustomError, core_schema

#: Where rules stand in a schema; and where, until the generator resolves it, the remedy stands for
#: a required field's absence.
VALIDATIONS = "x-kubernetes-validations"
REMEDY = "x-remedy"


@dataclass(frozen=True)
class Rule:
    """One validation, written twice: as CEL for the API server and as `holds` for checks offline.

    In a model's `cel` it speaks of the whole object; as an annotation (`Annotated[str, Rule(…)]`)
    of one value, and then reading refuses what it forbids. `message` names the field and the
    remedy; `field` is the path below self that the API server reports.
    Source: Kubernetes, "CustomResourceDefinitions: validation rules".
    """

    expression: str
    message: str
    field: str | None = None
    #: None: a transition, which only the API server can judge.
    holds: Callable[[Any], bool] | None = None
    reason: str | None = None

    def wire(self) -> dict[str, str]:
        """This rule as an entry of `x-kubernetes-validations`."""
        entry = {"rule": self.expression, "message": self.message}
        if self.reason:
            entry["reason"] = self.reason
        if self.field:
            entry["fieldPath"] = self.field
        return entry

    def _check(self, value: Any) -> Any:
        if self.holds is not None and not self.holds(value):
            raise PydanticCustomError("rule", "{message}", {"message": self.message})
        return value

    def __get_pydantic_core_schema__(
        self, source: Any, handler: GetCoreSchemaHandler
    ) -> CoreSchema:
        return core_schema.no_info_after_validator_function(self._check, handler(source))

    def __get_pydantic_json_schema__(
        self, core: CoreSchema, handler: GetJsonSchemaHandler
    ) -> JsonSchemaValue:
        schema = handler(core)
        schema[VALIDATIONS] = [*schema.get(VALIDATIONS, []), self.wire()]
        return schema


class Model(BaseModel):
    """A frozen API object.

    Unknown fields are ignored on reading: a newer API server may know more than this operator.
    The rules in `cel` aren't enforced on reading either: an object that was stored before a rule
    existed must stay readable (the API server ratchets likewise). `validate.problems` checks them.
    """

    model_config = ConfigDict(
        alias_generator=to_camel, populate_by_name=True, extra="ignore", frozen=True
    )

    #: Rules of this class; those of its bases hold as well.
    cel: ClassVar[Sequence[Rule]] = ()

    def wire(self) -> dict[str, Any]:
        """This object as the API server stores it: camelCase keys, absent fields left out."""
        return self.model_dump(mode="json", by_alias=True, exclude_none=True)

    @classmethod
    def rules(cls) -> Iterator[Rule]:
        """The rules of this class and of its bases, the bases' first."""
        for base in reversed(cls.__mro__):
            yield from vars(base).get("cel", ())

    @classmethod
    def __get_pydantic_json_schema__(
        cls, core: CoreSchema, handler: GetJsonSchemaHandler
    ) -> JsonSchemaValue:
        schema = handler.resolve_ref_schema(handler(core))
        if own := [each.wire() for each in cls.rules()]:
            schema[VALIDATIONS] = own
        return schema


def rule(
    expression: str,
    message: str,
    field: str | None = None,
    *,
    holds: Callable[[Any], bool],
    needs: Sequence[str] = (),
) -> Rule:
    """A rule about an object. It says nothing while a field of `needs` is missing.

    Required fields are optional to the API server's own check (see `required`), so a rule that
    reads one names it in `needs`; offline, `holds` is asked only once the shape is right.
    """
    guard = "".join(f"!has(self.{name}) || " for name in needs)
    return Rule(f"{guard}({expression})" if guard else expression, message, field, holds)


def matches(pattern: str, message: str) -> Rule:
    """A rule about a text: the whole of it must match `pattern` (RE2 syntax, ASCII, ^…$)."""
    compiled = re.compile(pattern, re.ASCII)
    return Rule(
        f"self.matches(r'{pattern}')", message, holds=lambda text: bool(compiled.fullmatch(text))
    )


def unique(keys: Iterable[Hashable]) -> bool:
    """Whether no key occurs twice."""
    all_keys = list(keys)
    return len(set(all_keys)) == len(all_keys)


def distinct(message: str) -> Rule:
    """No value occurs twice in a list; `message` names the list and the remedy."""
    return Rule("self.all(a, self.exists_one(b, b == a))", message, holds=unique)


def immutable(field: str, remedy: str, *, optional: bool = False) -> Rule:
    """A transition rule: `field` of self can't change once set."""
    same = f"self.{field} == oldSelf.{field}"
    if optional:
        same = f"has(self.{field}) == has(oldSelf.{field}) && (!has(self.{field}) || {same})"
    message = f"{field} is immutable: {remedy}"
    return Rule(same, message, f".{field}", reason="FieldValueForbidden")


def required(remedy: str) -> JsonDict:
    """`json_schema_extra` of a required field: what a person must do about its absence.

    The API server's own check says no more than "Required value", so the generator turns the
    requirement into a rule that also says the remedy.
    """
    return {REMEDY: remedy}
