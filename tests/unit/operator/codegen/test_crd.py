"""The generated CRDs: what they must hold, and that the committed ones are these."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from pydantic import Field

from tests.support.schema.walk import nodes
from tradepulse_operator.api.base import VALIDATIONS, Model, Rule, matches, rule
from tradepulse_operator.api.units import LONGEST_MESSAGE, Duration, Message
from tradepulse_operator.codegen import crd as schema
from tradepulse_operator.codegen.files import difference, main

CRDS = Path(__file__).parents[4] / "crds"
#: What the API server brings itself.
SERVERS_OWN = {"apiVersion", "kind", "metadata"}


def every_node() -> list[Any]:
    return [
        pytest.param(node, id=f"{kind.KIND}{path}")
        for kind in schema.KINDS
        for path, node in nodes(schema.root(kind))
        if path.split(".")[1:2] not in [[name] for name in SERVERS_OWN]
    ]


def test_the_committed_files_are_what_the_models_say() -> None:
    assert difference(schema.files(), CRDS) == ""


def test_generating_twice_gives_the_same() -> None:
    assert schema.files() == schema.files()


def test_the_files_hold_no_alias_and_say_where_they_come_from() -> None:
    for text in schema.files().values():
        assert text.startswith("# Generated from the models")
        assert not any("&id" in line or "*id" in line for line in text.splitlines())
        assert yaml.safe_load(text)["kind"] == "CustomResourceDefinition"


@pytest.mark.parametrize("node", every_node())
def test_each_property_is_described(node: dict[str, Any]) -> None:
    for name, each in node.get("properties", {}).items():
        if name not in SERVERS_OWN:
            assert each.get("description", "").endswith("."), f"{name} needs a description"


@pytest.mark.parametrize("node", every_node())
def test_each_size_is_bounded_so_that_rules_stay_cheap(node: dict[str, Any]) -> None:
    if node["type"] == "string" and "enum" not in node:
        assert "maxLength" in node
    if node["type"] == "array":
        assert "maxItems" in node
    if node["type"] == "object" and "properties" not in node:
        assert "maxProperties" in node


@pytest.mark.parametrize("node", every_node())
def test_the_schema_is_structural(node: dict[str, Any]) -> None:
    assert node["type"] in {"object", "array", "string", "integer", "number", "boolean"}
    assert not {"$ref", "anyOf", "oneOf", "allOf", "title", "const", "$defs"} & set(node)
    assert not {"properties", "additionalProperties"} <= set(node)
    assert not isinstance(node.get("exclusiveMinimum", True), (int, float)) or (
        node.get("exclusiveMinimum", True) is True
    )
    assert node.get("default", "") is not None


@pytest.mark.parametrize("node", every_node())
def test_each_text_with_a_form_says_how_to_write_it(node: dict[str, Any]) -> None:
    """A bare `pattern` would be refused with the regular expression for a remedy."""
    assert "pattern" not in node


@pytest.mark.parametrize("node", every_node())
def test_each_rule_has_a_message_and_points_at_a_field_that_exists(node: dict[str, Any]) -> None:
    for found in node.get(VALIDATIONS, ()):
        assert found["message"]
        below = node
        for name in found.get("fieldPath", "").split(".")[1:]:
            below = below["properties"][name]


def test_only_keys_of_lists_are_required_without_a_remedy_of_ours() -> None:
    for kind in schema.KINDS:
        for path, node in nodes(schema.root(kind)["properties"]["spec"]):
            assert set(node.get("required", ())) <= {"name", "role", "check"}, path


def test_a_model_that_contains_itself_is_refused() -> None:
    with pytest.raises(ValueError, match="contains itself"):
        schema.structural(Looping)


def test_what_openapi_has_no_word_for_is_refused() -> None:
    class Odd(Model):
        value: int = Field(default=1, multiple_of=2)

    with pytest.raises(ValueError, match="multipleOf"):
        schema.structural(Odd)


def test_an_exclusive_bound_is_written_as_openapi_3_does() -> None:
    class Bounded(Model):
        share: float = Field(gt=0, lt=1)

    found = schema.structural(Bounded)["properties"]["share"]
    assert found == {
        "type": "number",
        "minimum": 0,
        "exclusiveMinimum": True,
        "maximum": 1,
        "exclusiveMaximum": True,
    }


def test_rules_are_inherited_the_bases_first() -> None:
    class Base(Model):
        cel = (rule("true", "base", holds=lambda it: True),)

    class Derived(Base):
        cel = (rule("true", "own", holds=lambda it: True),)

    found = schema.structural(Derived)[VALIDATIONS]
    assert [each["message"] for each in found] == ["base", "own"]


def test_a_rule_on_a_text_is_in_the_schema_and_checked_on_reading() -> None:
    class Timed(Model):
        span: Duration

    rules = schema.structural(Timed)["properties"]["span"][VALIDATIONS]
    assert [each["message"].split(":")[0] for each in rules] == [
        "not a length of time",
        "zero is not allowed",
    ]
    assert Timed(span="1m30s").span == "1m30s"
    with pytest.raises(ValueError, match=r"write e[.]g[.] 500ms"):
        Timed(span="soon")
    with pytest.raises(ValueError, match="zero is not allowed"):
        Timed(span="0s")


def test_a_pattern_must_match_the_whole_text() -> None:
    found = matches("^[a-z]+$", "letters")
    assert found.holds is not None
    assert found.holds("abc")
    assert not found.holds("abc\n")


def test_a_rule_that_is_no_transition_can_be_checked_offline() -> None:
    for found in every_rule():
        assert ("oldSelf" in found.expression) is (found.holds is None), found


def test_a_long_message_is_cut_and_never_stops_the_operator() -> None:
    class Said(Model):
        message: Message = ""

    assert len(Said(message="x" * 5000).message) == LONGEST_MESSAGE


def test_check_says_how_a_file_differs(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main({"a.yaml": "new\n"}, [str(tmp_path), "--check"], usage="use") == 1
    assert "+new" in capsys.readouterr().out
    assert main({"a.yaml": "new\n"}, [str(tmp_path)], usage="use") == 0
    assert main({"a.yaml": "new\n"}, [str(tmp_path), "--check"], usage="use") == 0


@pytest.mark.parametrize("arguments", [[], ["--chekc", "crds"], ["crds", "docs"]])
def test_a_wrong_command_line_is_explained(
    arguments: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    assert main({}, arguments, usage="write it so") == 2
    assert "write it so" in capsys.readouterr().err


class Looping(Model):
    """A model that a CRD can't say."""

    inner: Looping | None = None


def every_rule() -> Iterator[Rule]:
    """The rules of every model that a resource consists of."""
    todo: list[type[Model]] = [Model]
    while todo:
        found = todo.pop()
        if found.__module__.startswith("tradepulse_operator"):
            yield from found.rules()
            todo += found.__subclasses__()
