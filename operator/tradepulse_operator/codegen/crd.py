"""Generates `crds/*.yaml` from the models.

    python -m tradepulse_operator.codegen.crd crds [--check]

pydantic's JSON Schema becomes a structural OpenAPI v3 schema: references are inlined, `null` and
titles fall away, defaults and rules stay. Source: Kubernetes, "Specifying a structural schema".
"""

from __future__ import annotations

import sys
from collections.abc import Mapping
from typing import Any

import yaml
from pydantic.json_schema import GenerateJsonSchema, JsonSchemaValue
from pydantic_core import CoreSchema
from pydantic_core.core_schema import NullableSchema, WithDefaultSchema

from tradepulse_operator.api.base import REMEDY, VALIDATIONS, Model
from tradepulse_operator.api.cutover import ReleaseCutover
from tradepulse_operator.api.runner import TradingRunner
from tradepulse_operator.common.names import GROUP, VERSION

from .columns import COLUMNS, SELECTABLE
from .files import main

Schema = dict[str, Any]
KINDS: tuple[type[TradingRunner] | type[ReleaseCutover], ...] = (TradingRunner, ReleaseCutover)

_COMMAND = "python -m tradepulse_operator.codegen.crd crds"
_HEADER = f"# Generated from the models in operator/tradepulse_operator/api by `{_COMMAND}`.\n"
_PLAIN_META: Mapping[str, Schema] = {
    "apiVersion": {"type": "string", "description": f"{GROUP}/{VERSION}"},
    "kind": {"type": "string", "description": "Kind of the object."},
    # Said so that rules can point at it; all else of the metadata is the API server's own matter.
    "metadata": {"type": "object", "properties": {"name": {"type": "string"}}},
}


class _Generator(GenerateJsonSchema):
    """pydantic's generator, without what OpenAPI v3 has no word for."""

    def nullable_schema(self, schema: NullableSchema) -> JsonSchemaValue:
        """An optional field is one that may be left out; null is pruned by the API server."""
        return self.generate_inner(schema["schema"])

    def default_schema(self, schema: WithDefaultSchema) -> JsonSchemaValue:
        """No `default: null`, which says nothing."""
        if schema.get("default") is None:
            return self.generate_inner(schema["schema"])
        return super().default_schema(schema)

    def encode_default(self, dft: Any) -> Any:
        """A nested model in full: the API server judges a default by the rules as it stands."""
        if isinstance(dft, Model):
            return dft.wire()
        return super().encode_default(dft)

    def field_title_should_be_set(self, schema: CoreSchema | Any) -> bool:
        return False


def structural(model: type[Model]) -> Schema:
    """The structural schema of a model. Raises ValueError for one that contains itself."""
    schema = model.model_json_schema(by_alias=True, schema_generator=_Generator)
    return _node(_inline(schema, schema.pop("$defs", {}), ()))


def _inline(node: Any, defs: Mapping[str, Schema], within: tuple[str, ...]) -> Any:
    """`node` with every `$ref` replaced; its siblings override its target."""
    if isinstance(node, list):
        return [_inline(item, defs, within) for item in node]
    if not isinstance(node, dict):
        return node
    if "$ref" not in node:
        return {key: _inline(value, defs, within) for key, value in node.items()}
    name = str(node["$ref"]).rpartition("/")[2]
    if name in within:
        raise ValueError(f"{name} contains itself, which a CRD can't say: {' > '.join(within)}")
    siblings = {key: value for key, value in node.items() if key != "$ref"}
    return _inline({**defs[name], **siblings}, defs, (*within, name))


def _node(node: Schema) -> Schema:
    """One schema node and all below it, in OpenAPI v3 form and in a fixed order of keys."""
    ordered = {key: node[key] for key in _ORDER if key in node}
    if unknown := set(node) - set(ordered) - _DROPPED:
        raise ValueError(f"a CRD has no word for {sorted(unknown)}")
    if "const" in node:
        ordered["enum"] = [node["const"]]
    _exclusive(ordered, node, "minimum", "exclusiveMinimum")
    _exclusive(ordered, node, "maximum", "exclusiveMaximum")
    if "properties" in node:
        ordered["properties"] = {name: _node(each) for name, each in node["properties"].items()}
        _remedies(ordered)
    if "items" in node:
        ordered["items"] = _node(node["items"])
    if isinstance(node.get("additionalProperties"), dict):
        ordered["additionalProperties"] = _node(node["additionalProperties"])
    return ordered


#: Keys of a node as they are written; all others must be known to be droppable.
_ORDER = (
    "description",
    "type",
    "enum",
    "format",
    "pattern",
    "minimum",
    "maximum",
    "minLength",
    "maxLength",
    "minItems",
    "maxItems",
    "minProperties",
    "maxProperties",
    "default",
    "x-kubernetes-preserve-unknown-fields",
    "x-kubernetes-list-type",
    "x-kubernetes-list-map-keys",
    VALIDATIONS,
    REMEDY,
    "required",
)
_DROPPED = {
    "title",
    "const",
    "properties",
    "items",
    "additionalProperties",
    "exclusiveMinimum",
    "exclusiveMaximum",
}


def _exclusive(ordered: Schema, node: Schema, bound: str, exclusive: str) -> None:
    """JSON Schema's `exclusiveMinimum: 0` is OpenAPI v3's `minimum: 0, exclusiveMinimum: true`."""
    if exclusive in node:
        ordered[bound], ordered[exclusive] = node[exclusive], True


def _remedies(node: Schema) -> None:
    """Turn each required field with a remedy into a rule whose message says it."""
    rules = []
    for name, each in node["properties"].items():
        if remedy := each.pop(REMEDY, None):
            node["required"].remove(name)
            rules.append(
                {
                    "rule": has(name),
                    "message": remedy,
                    "reason": "FieldValueRequired",
                    "fieldPath": f".{name}",
                }
            )
            each["description"] = f"Required. {each['description']}"
    if rules:
        node[VALIDATIONS] = [*rules, *node.get(VALIDATIONS, [])]
    if not node.get("required"):
        node.pop("required", None)


def has(name: str) -> str:
    """The rule that requires a field."""
    return f"has(self.{name})"


def root(kind: type[TradingRunner] | type[ReleaseCutover]) -> Schema:
    """The schema of a whole resource."""
    schema = structural(kind)
    del schema["properties"]["status"]["default"]
    schema["properties"] = {**_PLAIN_META, **_without(schema["properties"], "metadata")}
    schema.pop("required", None)
    return schema


def _without(properties: Schema, name: str) -> Schema:
    return {key: value for key, value in properties.items() if key != name}


def crd(kind: type[TradingRunner] | type[ReleaseCutover]) -> Schema:
    """The CustomResourceDefinition of a resource."""
    names = {
        "kind": kind.KIND,
        "listKind": f"{kind.KIND}List",
        "plural": kind.PLURAL,
        "singular": kind.KIND.lower(),
        "shortNames": [kind.SHORT],
        "categories": ["tradepulse"],
    }
    version = {
        "name": VERSION,
        "served": True,
        "storage": True,
        "subresources": {"status": {}},
        "additionalPrinterColumns": list(COLUMNS[kind.PLURAL]),
        "selectableFields": [{"jsonPath": path} for path in SELECTABLE[kind.PLURAL]],
        "schema": {"openAPIV3Schema": root(kind)},
    }
    return {
        "apiVersion": "apiextensions.k8s.io/v1",
        "kind": "CustomResourceDefinition",
        "metadata": {"name": f"{kind.PLURAL}.{GROUP}"},
        "spec": {"group": GROUP, "names": names, "scope": "Namespaced", "versions": [version]},
    }


class _Dumper(yaml.SafeDumper):
    """Writes everything out: an alias would tie two places of the file together."""

    def ignore_aliases(self, data: Any) -> bool:
        return True


def text(kind: type[TradingRunner] | type[ReleaseCutover]) -> str:
    """The file of a resource's CRD."""
    body = yaml.dump(crd(kind), Dumper=_Dumper, sort_keys=False, width=100, allow_unicode=True)
    return _HEADER + body


def files() -> dict[str, str]:
    """All files by name, as they must be in `crds/`."""
    return {f"{kind.PLURAL}.yaml": text(kind) for kind in KINDS}


if __name__ == "__main__":
    sys.exit(main(files(), sys.argv[1:], usage=f"{_COMMAND} [--check]"))
