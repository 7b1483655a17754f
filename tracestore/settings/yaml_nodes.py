"""Nodes of YAML: mappings without doubles and with their merges, places, plain values.

What is read as nodes and not as Python values keeps the form in which it was written (``010``,
``1e3``, ``yes``); the type of the knob decides what it means.
"""

from __future__ import annotations

import json
from collections.abc import Iterator

import yaml

from tracestore.settings import units

NULL_TAG = "tag:yaml.org,2002:null"
TEXT_TAG = "tag:yaml.org,2002:str"
BOOLEAN_TAG = "tag:yaml.org,2002:bool"
INTEGER_TAG = "tag:yaml.org,2002:int"
FLOAT_TAG = "tag:yaml.org,2002:float"
_MERGE_TAG = "tag:yaml.org,2002:merge"
DEPTH_MAX = 32


class NodeError(Exception):
    """A node that cannot be what it should be; the text says what was expected."""

    def __init__(self, node: yaml.Node, reason: str) -> None:
        super().__init__(reason)
        self.node = node


class Nodes:
    """The nodes of one text."""

    def __init__(self, loader: yaml.SafeLoader, source: str) -> None:
        self._loader = loader
        self.source = source
        self._flat: set[int] = set()
        """Mappings whose merges are resolved; an alias leads to the same one again."""

    def origin(self, node: yaml.Node) -> str:
        """Say where a node stands."""
        return self.source if node.start_mark is None else f"{self.source}:{_line(node)}"

    def pairs(self, node: yaml.MappingNode) -> Iterator[tuple[yaml.ScalarNode, yaml.Node]]:
        """Go through a mapping. Raises: NodeError for a key that is no text or is there twice."""
        if id(node) not in self._flat:
            _refuse_doubles(node)
            self._loader.flatten_mapping(node)
            self._flat.add(id(node))
        # After the merge a key of the mapping itself stands behind the merged one of its name.
        yield from {key.value: (key, value) for key, value in node.value}.values()

    def plain(self, node: yaml.Node, depth: int = 0) -> object:
        """Make the value of a node: texts, numbers, booleans, null, lists and mappings.

        Raises: NodeError for what is nested too deep.
        """
        if depth > DEPTH_MAX:
            raise NodeError(node, f"nested deeper than {DEPTH_MAX} levels")
        if isinstance(node, yaml.MappingNode):
            return {k.value: self.plain(value, depth + 1) for k, value in self.pairs(node)}
        if isinstance(node, yaml.SequenceNode):
            return [self.plain(item, depth + 1) for item in node.value]
        assert isinstance(node, yaml.ScalarNode)
        return scalar(node)


def scalar(node: yaml.ScalarNode) -> str | int | float | bool | None:
    """Make the value of a scalar; a number that is not written as in JSON stays a text."""
    text: str = node.value
    if node.tag == NULL_TAG:
        return None
    if node.tag == BOOLEAN_TAG:
        return units.parse_boolean(text)
    if node.tag in (INTEGER_TAG, FLOAT_TAG):
        try:
            number = json.loads(text, parse_constant=lambda name: name)
        except ValueError:
            return text
        return number if isinstance(number, int | float) else text
    return text


def node_of(value: object) -> yaml.Node:
    """Make a node of a value of JSON, so that both are read alike."""
    match value:
        case None:
            return yaml.ScalarNode(NULL_TAG, "null")
        case bool():
            return yaml.ScalarNode(BOOLEAN_TAG, "true" if value else "false")
        case int():
            return yaml.ScalarNode(INTEGER_TAG, str(value))
        case float():
            return yaml.ScalarNode(FLOAT_TAG, repr(value))
        case dict():
            pairs = [(yaml.ScalarNode(TEXT_TAG, key), node_of(each)) for key, each in value.items()]
            return yaml.MappingNode("tag:yaml.org,2002:map", pairs)
        case list():
            return yaml.SequenceNode("tag:yaml.org,2002:seq", [node_of(each) for each in value])
    assert isinstance(value, str), value
    return yaml.ScalarNode(TEXT_TAG, value)


def kind_of(node: yaml.Node) -> str:
    """Say what a node is."""
    if isinstance(node, yaml.ScalarNode):
        return "a value"
    return "a list" if isinstance(node, yaml.SequenceNode) else "keys and values"


def _line(node: yaml.Node) -> int:
    return int(node.start_mark.line) + 1


def _refuse_doubles(node: yaml.MappingNode) -> None:
    seen: dict[str, yaml.Node] = {}
    for key, _ in node.value:
        if not isinstance(key, yaml.ScalarNode):
            raise NodeError(key, "a key must be a text")
        if key.tag != _MERGE_TAG and key.value in seen:
            name = key.value if key.value.isprintable() else repr(key.value)
            first = f", first in line {_line(seen[key.value])}" if key.start_mark else ""
            raise NodeError(key, f"{name} is given twice{first}")
        seen[key.value] = key
