"""A YAML file to assignments, with the line of each key. Strict as Tempo: no key is passed over.

The file is read as nodes and not as Python values, so a text keeps the form in which it was written
(``010``, ``1e3``, ``yes``) and the type of the knob decides what it means.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager

import yaml

from tracestore.errors import SettingsError
from tracestore.settings.assignments import (
    Assignment,
    Layer,
    says_nothing,
    unknown_key,
)
from tracestore.settings.kinds import Parser
from tracestore.settings.schema import Ignored, Refused, Section, Target, find
from tracestore.settings.structures import Structure
from tracestore.settings.tempo_keys import (
    COLLECTOR_RECEIVERS,
    OWN_RECEIVER_KEYS,
    RECEIVER_NAMES,
)
from tracestore.settings.units import parse_entries, parse_lines, parse_list, parse_queries
from tracestore.settings.yaml_nodes import DEPTH_MAX, NULL_TAG, NodeError, Nodes, kind_of
from tracestore.settings.yaml_rules import (
    RuleFormError,
    query_lines,
    rule_lines,
    sampling_lines,
)

_LINES: dict[Parser, Callable[[yaml.Node], str]] = {
    parse_lines: rule_lines,
    parse_entries: sampling_lines,
    parse_queries: query_lines,
}
"""How rules in YAML are written a line each, by what reads the lines."""
_RECEIVERS = ("distributor", "receivers")

Path = tuple[str, ...]


def read_yaml(text: str, *, source: str) -> Layer:
    """Resolve every key of the file.

    Args:
        source: name of the file, for messages.

    Raises:
        SettingsError: the text is no YAML, or a key or value is wrong; names line and key path.
    """
    layer = Layer()
    with open_yaml(text, source=source) as (loader, root):
        if root is not None:
            _File(loader, source, layer).read(root)
    return layer


@contextmanager
def open_yaml(text: str, *, source: str) -> Iterator[tuple[yaml.SafeLoader, yaml.Node | None]]:
    """Get the loader and the root of a text, None if there is nothing in it.

    Raises: SettingsError for what is no YAML, also if that shows only while nodes are looked at.
    """
    try:
        loader = yaml.SafeLoader(text)
        root = loader.get_single_node()
        yield loader, None if root is None or root.tag == NULL_TAG else root
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        where = source if mark is None else f"{source}:{mark.line + 1}"
        raise SettingsError(f"{where}: {_problem(error)}") from error
    except yaml.YAMLError as error:
        raise SettingsError(f"{source}: {_one_line(str(error))}") from error


def _problem(error: yaml.MarkedYAMLError) -> str:
    problem = error.problem or "no YAML"
    whole = f"{error.context}, {problem}" if problem.startswith("but ") else problem
    return _one_line(whole)


def _one_line(text: str) -> str:
    return " ".join(text.split())


class FileWalk:
    """The walk over the keys of a file, each resolved against the schema and given to a layer."""

    def __init__(self, loader: yaml.SafeLoader, source: str, layer: Layer) -> None:
        self.nodes = Nodes(loader, source)
        self.source = source
        self.layer = layer

    def pairs_of(
        self, node: yaml.Node, expected: str
    ) -> Iterator[tuple[yaml.ScalarNode, yaml.Node]]:
        """Go through a mapping; null is an empty one. Raises: SettingsError for anything else."""
        if isinstance(node, yaml.MappingNode):
            yield from self._pairs(node)
        elif node.tag != NULL_TAG:
            raise SettingsError(f"{self.origin(node)}: expected {expected}")

    def read_key(self, path: Path, key: yaml.Node, value: yaml.Node) -> None:
        """Take a key and all that is below it. Raises: SettingsError."""
        origin = self.origin(key)
        name = ".".join(path)
        known = find(path)
        if known is None:
            raise unknown_key(path, origin)
        if isinstance(value, yaml.MappingNode) and isinstance(known, Section):
            self._mapping(value, path)
        elif isinstance(value, yaml.ScalarNode):
            text = None if value.tag == NULL_TAG else value.value
            self.layer.give(path, text, origin)
        elif isinstance(known, Target) and isinstance(known.parse, Structure):
            self.layer.give_value(path, self._structure(known.parse, value, name), origin)
        elif isinstance(known, Target) and known.parse in _LINES:
            self.layer.give(path, self._lines(known, value, name), origin)
        elif isinstance(known, Target) and _is_list(known, value):
            self.layer.give(path, self._joined(value, name), origin)
        elif isinstance(known, Target):
            raise SettingsError(f"{origin}: {name}: expected a value, got {kind_of(value)}")
        elif isinstance(known, Section):
            raise SettingsError(f"{origin}: {name}: expected keys and values, got {kind_of(value)}")
        elif isinstance(known, Ignored):
            self.layer.give(path, None, origin)
        elif isinstance(known, Refused) and _says_something(value):
            self.layer.give(path, kind_of(value), origin)

    def _joined(self, node: yaml.Node, name: str) -> str:
        """Write a list of texts as a flag has it. Raises: SettingsError."""
        for item in node.value:
            if not isinstance(item, yaml.ScalarNode) or "," in item.value:
                raise SettingsError(f"{self.origin(item)}: {name}: expected texts without commas")
        return ",".join(item.value for item in node.value)

    def _structure(self, structure: Structure, node: yaml.Node, name: str) -> object:
        """Read what is more than a text. Raises: SettingsError."""
        try:
            return structure.read(node, self.nodes)
        except NodeError as error:
            raise SettingsError(f"{self.origin(error.node)}: {name}: {error}") from error

    def _lines(self, known: Target, node: yaml.Node, name: str) -> str:
        """Write rules a line each. Raises: SettingsError."""
        try:
            return _LINES[known.parse](node)
        except RuleFormError as error:
            raise SettingsError(f"{self.origin(error.node)}: {name}: {error}") from error

    def plain(self, node: yaml.Node) -> object:
        """Make the plain value of a node. Raises: SettingsError."""
        try:
            return self.nodes.plain(node)
        except NodeError as error:
            raise SettingsError(f"{self.origin(error.node)}: {error}") from error

    def origin(self, node: yaml.Node) -> str:
        """Say where a node stands."""
        return self.nodes.origin(node)

    def _pairs(self, node: yaml.MappingNode) -> Iterator[tuple[yaml.ScalarNode, yaml.Node]]:
        try:
            yield from self.nodes.pairs(node)
        except NodeError as error:
            raise SettingsError(f"{self.origin(error.node)}: {error}") from error

    def _mapping(self, node: yaml.MappingNode, path: Path) -> None:
        if len(path) > DEPTH_MAX:
            raise SettingsError(f"{self.origin(node)}: nested deeper than {DEPTH_MAX} keys")
        for key, value in self._pairs(node):
            self.read_key((*path, key.value), key, value)


class _File(FileWalk):
    """The walk over a configuration."""

    def __init__(self, loader: yaml.SafeLoader, source: str, layer: Layer) -> None:
        super().__init__(loader, source, layer)
        self._present: dict[Path, str] = {}
        """Sections and keys that were seen under the receivers, with their origin."""

    def read(self, root: yaml.Node) -> None:
        """Read the whole file."""
        if not isinstance(root, yaml.MappingNode):
            raise SettingsError(f"{self.origin(root)}: expected keys and values at the top")
        self._mapping(root, ())
        self._switch_receivers()

    def read_key(self, path: Path, key: yaml.Node, value: yaml.Node) -> None:
        """Take a key; those of receivers are noted."""
        if path[:2] == _RECEIVERS:
            self._present[path] = self.origin(key)
        super().read_key(path, key, value)

    def _switch_receivers(self) -> None:
        """Turn off the receivers that a Collector's map does not name, and on those it does."""
        if not any(map(self._is_collectors, COLLECTOR_RECEIVERS)):
            return
        for section, named in RECEIVER_NAMES.items():
            receiver = (*_RECEIVERS, named[0])
            protocols = (*receiver, "protocols")
            on = receiver in self._present and self._is_collectors(named[0])
            where: Path = receiver
            if on and len(named) > 1:
                given = {p[4] for p in self._present if p[:4] == protocols and len(p) > 4}
                on = named[-1] in given or not given
                where = (*protocols, named[-1])
            origin = self._present.get(where, self._present[_RECEIVERS])
            leaf = f"distributor.receivers.{section}.enabled"
            self.layer.values.setdefault(leaf, Assignment(value=on, origin=origin))

    def _is_collectors(self, receiver: str) -> bool:
        """Whether a receiver is named as in a Collector's map, and not with keys of our own."""
        path = (*_RECEIVERS, receiver)
        below = {p[3] for p in self._present if p[:3] == path and len(p) > 3}
        return path in self._present and not below & OWN_RECEIVER_KEYS


def _is_list(target: Target, node: yaml.Node) -> bool:
    return isinstance(node, yaml.SequenceNode) and target.parse is parse_list


def _says_something(node: yaml.Node, depth: int = 0) -> bool:
    """Tell whether there is a value below that is not empty or false, as in a dump of defaults."""
    if isinstance(node, yaml.ScalarNode):
        return not says_nothing(node.value)
    if depth > DEPTH_MAX:
        return True
    if isinstance(node, yaml.MappingNode):
        return any(_says_something(value, depth + 1) for _, value in node.value)
    return any(_says_something(value, depth + 1) for value in node.value)
