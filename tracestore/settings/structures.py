"""Settings that are more than one text: lists of numbers, mappings, lists of records.

The type of the field says what may stand there; a node of YAML is read by it, strict about keys.
In a flag or a variable the same is written as YAML or JSON; ``a,b`` is a list of scalars too, and
``a=b,c=d`` a mapping.
"""

from __future__ import annotations

import dataclasses
import difflib
import types
import typing
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import yaml

from tracestore.errors import SettingsError
from tracestore.settings import units
from tracestore.settings.kinds import scalar_kind
from tracestore.settings.remote_write import RemoteWriteSettings, parse_remote_write
from tracestore.settings.text_map import TextMap
from tracestore.settings.yaml_nodes import NULL_TAG, NodeError, Nodes, kind_of, node_of, scalar

_ANY_SCALAR = str | int | float | bool


@dataclass(frozen=True, slots=True)
class Structure:
    """The parser of a leaf that has a structure."""

    hint: Any
    """Type of the field, without null."""
    is_set: bool = False
    """Whether the texts may be the keys of a mapping, as YAML writes a set."""

    def __call__(self, text: str) -> object:
        """Parse the text of a flag or variable. Raises: ValueError."""
        loader = yaml.SafeLoader(text)
        try:
            root = loader.get_single_node()
            if root is None or root.tag == NULL_TAG:
                return self.read(node_of({} if self.hint is TextMap else []), Nodes(loader, ""))
            node = self._spelled_out(text) if isinstance(root, yaml.ScalarNode) else root
            return self.read(node, Nodes(loader, ""))
        except NodeError as error:
            raise ValueError(str(error)) from error
        except yaml.YAMLError as error:
            raise ValueError(f"expected {self.shape}, as YAML or JSON") from error

    def read(self, node: yaml.Node, nodes: Nodes) -> object:
        """Read a node. Raises: NodeError."""
        if self.is_set and isinstance(node, yaml.MappingNode):
            return tuple(key.value for key, _ in nodes.pairs(node))
        return _read(self.hint, "", node, nodes)

    @property
    def shape(self) -> str:
        """What a value is, for the documentation and for messages."""
        return _shape(self.hint)

    def _spelled_out(self, text: str) -> yaml.Node:
        """Make a list or a mapping of what is written without brackets. Raises: ValueError."""
        words = units.parse_list(text)
        if self.hint is TextMap:
            if not all("=" in word for word in words):
                raise ValueError("expected name=value, separated by commas")
            pairs = (word.partition("=") for word in words)
            return node_of({key.strip(): value.strip() for key, _, value in pairs})
        return node_of(list(words))


def structure_of(name: str, kind: object) -> Structure | None:
    """Get the parser for a type that is no scalar; None: it is one, or a list of plain texts."""
    if kind == tuple[str, ...] and name != "processors":
        return None
    if kind is TextMap or typing.get_origin(kind) is tuple:
        return Structure(kind, is_set=name == "processors")
    return None


def _read(hint: Any, at: str, node: yaml.Node, nodes: Nodes) -> object:
    options = typing.get_args(hint) if _is_union(hint) else (hint,)
    if types.NoneType in options:
        if node.tag == NULL_TAG:
            return None
        (hint,) = (option for option in options if option is not types.NoneType)
    elif hint == _ANY_SCALAR:
        return _any_scalar(at, node)
    if hint is TextMap:
        return TextMap(_texts(at, node, nodes))
    if hint is RemoteWriteSettings:
        return _remote_write(at, node, nodes)
    if dataclasses.is_dataclass(hint):
        return _record(typing.cast("type", hint), at, node, nodes)
    if typing.get_origin(hint) is tuple:
        if not isinstance(node, yaml.SequenceNode):
            raise NodeError(node, _wrong(at, _shape(hint), node))
        each = typing.get_args(hint)[0]
        items = enumerate(node.value)
        return tuple(_read(each, f"{at}[{index}]", item, nodes) for index, item in items)
    return _scalar(hint, at, node)


def _scalar(hint: Any, at: str, node: yaml.Node) -> object:
    found = scalar_kind(at.rpartition(".")[2], hint)
    assert found is not None, hint
    parse, unit = found
    if not isinstance(node, yaml.ScalarNode) or node.tag == NULL_TAG:
        raise NodeError(node, _wrong(at, f"a {unit}", node))
    try:
        return parse(node.value)
    except (ValueError, OverflowError) as error:
        raise NodeError(node, f"{_at(at)}{error}, got {node.value!r}") from error


def _any_scalar(at: str, node: yaml.Node) -> object:
    value = scalar(node) if isinstance(node, yaml.ScalarNode) else None
    if value is None:
        raise NodeError(node, _wrong(at, "a text, a number or a boolean", node))
    return value


def _record(cls: type, at: str, node: yaml.Node, nodes: Nodes) -> object:
    hints = typing.get_type_hints(cls)
    fields = {field.name: field for field in dataclasses.fields(cls)}
    given: dict[str, object] = {}
    for key, value in _pairs(at, node, nodes):
        if key.value not in fields:
            like = difflib.get_close_matches(key.value, fields, n=1, cutoff=0.0)[0]
            unknown = key.value if key.value.isprintable() else repr(key.value)
            raise NodeError(key, f"{_at(at)}unknown key {unknown}; the nearest known one is {like}")
        if value.tag == NULL_TAG and _has_default(fields[key.value]):
            continue
        below = f"{at}.{key.value}" if at else key.value
        given[key.value] = _read(hints[key.value], below, value, nodes)
    for name, field in fields.items():
        if name not in given and not _has_default(field):
            raise NodeError(node, f"{_at(at)}{name} is missing")
    return cls(**given)


def _remote_write(at: str, node: yaml.Node, nodes: Nodes) -> RemoteWriteSettings:
    config = {key.value: nodes.plain(value) for key, value in _pairs(at, node, nodes)}
    try:
        return parse_remote_write(config, at)
    except SettingsError as error:
        raise NodeError(node, str(error)) from error


def _has_default(field: dataclasses.Field[Any]) -> bool:
    missing = dataclasses.MISSING
    return field.default is not missing or field.default_factory is not missing


def _texts(at: str, node: yaml.Node, nodes: Nodes) -> Iterator[tuple[str, str]]:
    for key, value in _pairs(at, node, nodes):
        if not isinstance(value, yaml.ScalarNode):
            raise NodeError(value, _wrong(f"{at}.{key.value}".lstrip("."), "a text", value))
        yield key.value, "" if value.tag == NULL_TAG else value.value


def _pairs(at: str, node: yaml.Node, nodes: Nodes) -> Iterator[tuple[yaml.ScalarNode, yaml.Node]]:
    if not isinstance(node, yaml.MappingNode):
        raise NodeError(node, _wrong(at, "keys and values", node))
    yield from nodes.pairs(node)


def _wrong(at: str, expected: str, node: yaml.Node) -> str:
    got = "null" if node.tag == NULL_TAG else kind_of(node)
    return f"{_at(at)}expected {expected}, got {got}"


def _at(at: str) -> str:
    return f"{at}: " if at else ""


def _is_union(hint: Any) -> bool:
    return typing.get_origin(hint) in (types.UnionType, typing.Union)


def _shape(hint: Any) -> str:
    if hint is TextMap:
        return "mapping of texts"
    each = typing.get_args(hint)[0]
    if dataclasses.is_dataclass(each) and each is not RemoteWriteSettings:
        return f"list of {{{', '.join(field.name for field in dataclasses.fields(each))}}}"
    names = {float: "numbers", int: "whole numbers", str: "texts"}
    return f"list of {names.get(each, 'mappings')}"
