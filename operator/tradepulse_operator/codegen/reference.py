"""Generates `docs/reference.md` from the same schema as the CRDs.

python -m tradepulse_operator.codegen.reference docs [--check]
"""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from typing import Any

from tradepulse_operator.api.base import VALIDATIONS
from tradepulse_operator.api.cutover import ReleaseCutover
from tradepulse_operator.api.phases import TABLE, PhaseFacts
from tradepulse_operator.api.reasons import REASONS, ConditionType, Word
from tradepulse_operator.api.runner import TradingRunner
from tradepulse_operator.common.names import API_VERSION

from .crd import KINDS, Schema, has, root
from .files import main

#: Path of the first table of an object, by its properties.
Tables = dict[str, str]

_COMMAND = "python -m tradepulse_operator.codegen.reference docs"
_HEAD = f"""# API reference

<!-- Generated from the models in operator/tradepulse_operator/api by `{_COMMAND}`. -->

Group and version: `{API_VERSION}`. Every object below is a table of its fields. A field without a
default may be left out unless it is required. What breaks a rule is refused on admission, with the
rule's text as the message; `tradepulse-operator validate FILE` says the same without a cluster.
Conditions and reasons are at the end.
"""
_CONDITIONS = "## Conditions\n"
_REASONS = """## Reasons

The `reason` of a condition, of an Event, of `status.rollback` and of a rejected release is one of
the words below, or the name of the phase that the object is in. *Where* names the conditions; for a
cutover also the phase that it enters for that reason. Those of the guard's verdicts are reasons of
a cutover that bakes or verifies, and of the rollback that a breach or a gap leads to. Programs may
compare reasons; messages are for people.
"""
_PHASES = """Source is the release that it moves away from, target the one that it moves to. A
rollback goes through the steps in `status.rollback.step`; Halted shows the samples of the release
that was at work in the last one. `rollback.deadline` is for the whole rollback. A phase that goes
on without a limit waits for people or for evidence, and a release trades meanwhile.
"""


def text() -> str:
    """The whole page."""
    tables: Tables = {}
    lines = [line for kind in KINDS for line in _resource(kind, tables)]
    return "\n".join([_HEAD, *lines, *_phases(), *_words()]).rstrip() + "\n"


def _words() -> Iterator[str]:
    """Conditions and reasons."""
    yield _CONDITIONS
    yield from _table("Condition", "Object", ConditionType)
    yield _REASONS
    for words in REASONS:
        yield f"### {str(words.__doc__).rstrip('.')}\n"
        yield from _table("Reason", "Where", words)


def _table(name: str, where: str, words: type[Word]) -> Iterator[str]:
    yield f"| {name} | {where} | Meaning |"
    yield "|---|---|---|"
    yield from (f"| `{word}` | {word.where} | {word.about} |" for word in words)
    yield ""


def _resource(kind: type[TradingRunner] | type[ReleaseCutover], tables: Tables) -> Iterator[str]:
    schema = root(kind)
    yield f"## {kind.KIND}\n"
    yield f"{schema['description']} Short name `{kind.SHORT}`.\n"
    yield from _rules(schema)
    for part in ("spec", "status"):
        yield from _object(schema["properties"][part], f"{kind.KIND}.{part}", tables)


def _object(schema: Schema, path: str, tables: Tables) -> Iterator[str]:
    """The table of an object, then those of the objects in it; each kind of object once."""
    yield f"### {path}\n"
    yield f"{schema['description']}\n"
    first = tables.setdefault(json.dumps(schema["properties"]), path)
    if first != path:
        yield f"Fields as in {_link(first, first)}.\n"
        return
    yield "| Field | Type | Default | Description |"
    yield "|---|---|---|---|"
    for name, field in schema["properties"].items():
        kind = _type(field, f"{path}.{name}")
        yield f"| `{name}` | {kind} | {_default(field)} | {_about(field)} |"
    yield ""
    yield from _rules(schema)
    for name, field in schema["properties"].items():
        below, suffix = (field["items"], "[]") if "items" in field else (field, "")
        if "properties" in below:
            yield from _object(below, f"{path}.{name}{suffix}", tables)


def _phases() -> Iterator[str]:
    """The table of the phases, and of the steps of a rollback."""
    yield "## Phases of a ReleaseCutover\n"
    yield _PHASES
    yield "| Phase | Runs | Samples of | `abort` | Waits for people | At most | Ends |"
    yield "|---|---|---|---|---|---|---|"
    for (phase, step), means in TABLE.items():
        name = f"{phase}, {step}" if step else str(phase)
        cells = (name, _runs(means), _samples(means), *_leaving(means))
        yield f"| {' | '.join(cells)} |"


def _runs(means: PhaseFacts) -> str:
    words = [str(means.runs)]
    words += ["halted"] if means.halted else []
    words += [f"state {means.state}"] if means.touched else []
    words += ["kill switch engaged"] if means.kill_switch else []
    return ", ".join(words)


def _samples(means: PhaseFacts) -> str:
    return f"{means.samples}, judged" if means.judged else str(means.samples)


def _leaving(means: PhaseFacts) -> tuple[str, str, str, str]:
    limit = f"`{means.expected_within}`" if means.expected_within else ""
    return str(means.on_abort), str(means.people), limit, str(means.end or "")


def _rules(schema: Schema) -> Iterator[str]:
    """The rules of an object but for those that only say that a field is required."""
    required = {has(name) for name in schema["properties"]}
    rules = [each for each in schema.get(VALIDATIONS, ()) if each["rule"] not in required]
    if rules:
        yield "Rules:\n"
        yield from (f"- {each['message']}" for each in rules)
        yield ""


def _type(field: Schema, path: str) -> str:
    """A field's type in words; an object's is a link to its table."""
    if "items" in field:
        inner = field["items"]
        word = _link(f"{path}[]") if "properties" in inner else _type(inner, path)
        return f"list ({_span(field, 'Items')}) of {word}"
    if "properties" in field:
        return _link(path)
    if "additionalProperties" in field:
        word = _type(field["additionalProperties"], path)
        return f"map ({_span(field, 'Properties')}) to {word}"
    if "x-kubernetes-preserve-unknown-fields" in field:
        return "object of any content"
    if "enum" in field:
        return "one of " + ", ".join(f"`{each}`" for each in field["enum"])
    return f"{field['type']}{_range(field)}"


def _link(path: str, words: str = "") -> str:
    """A link to an object's table, as GitHub makes anchors of headings."""
    anchor = path.lower().replace(".", "").replace("[]", "")
    return f"[{(words or path.rpartition('.')[2]).removesuffix('[]')}](#{anchor})"


def _span(field: Schema, what: str) -> str:
    low, high = field.get(f"min{what}"), field.get(f"max{what}")
    return f"{low} to {high}" if low else f"at most {high}"


def _range(field: Schema) -> str:
    """The bounds of a number, or the length of a text."""
    if "maxLength" in field:
        return f", at most {field['maxLength']} characters"
    low, high = field.get("minimum"), field.get("maximum")
    above = "above " if field.get("exclusiveMinimum") else ""
    return f", {above}{low} to {high}" if low is not None else ""


def _default(field: Schema) -> str:
    """A field's default; an object's is in the object's own table."""
    if "default" not in field or "properties" in field or field["default"] in ("", [], {}):
        return ""
    return f"`{_json(field['default'])}`"


def _json(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(value)


def _about(field: Schema) -> str:
    """Description and rules of a field that isn't an object."""
    rules = [] if "properties" in field else field.get(VALIDATIONS, [])
    words = [field["description"], *(_advice(each["message"]) for each in rules)]
    return " ".join(words).replace("|", "\\|")


def _advice(message: str) -> str:
    """A rule's message as a sentence; of "not a name: write …" the remedy is enough."""
    said = message.partition(": ")[2] if message.startswith("not ") else message
    return f"*{said[0].upper()}{said[1:]}.*"


if __name__ == "__main__":
    sys.exit(main({"reference.md": text()}, sys.argv[1:], usage=f"{_COMMAND} [--check]"))
