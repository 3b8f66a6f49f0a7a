"""YAML both ways: read strictly, write the same bytes for the same content."""

from __future__ import annotations

from collections.abc import Hashable
from typing import Any

import yaml

#: A ConfigMap holds 1 MiB in all, and a copy of the text is kept as an annotation (256 KiB).
LONGEST = 128 * 1024


class _Strict(yaml.SafeLoader):
    """Refuses what is parsed differently than it seems: repeated keys and aliases."""

    def compose_node(self, parent: yaml.Node | None, index: Any) -> yaml.Node | None:
        if self.check_event(yaml.events.AliasEvent):
            mark = self.peek_event().start_mark  # type: ignore[no-untyped-call]
            raise yaml.constructor.ConstructorError(
                None, None, "aliases are not allowed: write the value out", mark
            )
        return super().compose_node(parent, index)

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Hashable, Any]:
        seen: set[Any] = set()
        for key_node, _ in node.value:
            key = self.construct_object(key_node, deep=True)
            if not isinstance(key, str):
                raise yaml.constructor.ConstructorError(
                    None, None, f"the key {key!r} is no text: quote it", key_node.start_mark
                )
            if key in seen:
                raise yaml.constructor.ConstructorError(
                    None, None, f"the key {key!r} is there twice: keep one", key_node.start_mark
                )
            seen.add(key)
        return super().construct_mapping(node, deep=deep)


def read(text: str) -> Any:
    """Plain data of `text`. Raises yaml.YAMLError whose message says where and what to do."""
    if len(text) > LONGEST:
        raise yaml.YAMLError(f"{len(text)} characters are too many: keep it below {LONGEST}")
    try:
        return yaml.load(text, Loader=_Strict)
    except RecursionError as error:
        raise yaml.YAMLError("it is nested too deeply: flatten it") from error


def write(content: Any) -> str:
    """`content` as YAML: keys sorted, one style, no wrapped lines."""
    return yaml.safe_dump(
        content, sort_keys=True, default_flow_style=False, allow_unicode=True, width=10_000
    )


class _Readable(yaml.SafeDumper):
    """Writes a text of several lines as such."""


def _text(dumper: yaml.SafeDumper, text: str) -> yaml.ScalarNode:
    return dumper.represent_scalar("tag:yaml.org,2002:str", text, "|" if "\n" in text else None)


_Readable.add_representer(str, _text)


def write_for_people(content: Any) -> str:
    """Like `write`, for files in which changes are read line by line."""
    return yaml.dump(
        content,
        Dumper=_Readable,
        sort_keys=True,
        default_flow_style=False,
        allow_unicode=True,
        width=10_000,
    )
