"""The tree of settings seen as leaves: path, type, default and the string under the field."""

from __future__ import annotations

import ast
import dataclasses
import inspect
import typing
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from types import NoneType
from typing import Any

from tracestore.settings import tree, units
from tracestore.settings.kinds import Parser, scalar_kind
from tracestore.settings.structures import structure_of

LeafPath = str
"""Names of fields joined with dots: ``ingester.wal.segment_bytes_max``."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Leaf:
    """One knob."""

    path: LeafPath
    parse: Parser
    """Text to value; raises ``ValueError``."""
    nullable: bool
    """Whether null is a value of its own."""
    unit: str
    """What a value is, for the documentation."""
    default: object
    doc: str

    @property
    def flag(self) -> str:
        return "--" + self.path.replace("_", "-")

    @property
    def variable(self) -> str:
        return "TRACESTORE_" + self.path.replace(".", "__").upper()


@dataclass(frozen=True, slots=True, kw_only=True)
class SectionDoc:
    """One dataclass of the tree."""

    path: LeafPath
    doc: str


@cache
def leaves() -> Mapping[LeafPath, Leaf]:
    """Get all leaves in the order of the tree."""
    return {leaf.path: leaf for leaf in _walk(tree.Settings, "") if isinstance(leaf, Leaf)}


@cache
def sections() -> Mapping[LeafPath, SectionDoc]:
    """Get all sections in the order of the tree, the root (empty path) first."""
    return {s.path: s for s in _walk(tree.Settings, "") if isinstance(s, SectionDoc)}


def leaf_values(section: object, prefix: str = "") -> dict[LeafPath, object]:
    """Read the values of a tree by path."""
    values: dict[LeafPath, object] = {}
    for field in dataclasses.fields(typing.cast("Any", section)):
        value = getattr(section, field.name)
        path = prefix + _key(field)
        if dataclasses.is_dataclass(value):
            values |= leaf_values(value, f"{path}.")
        else:
            values[path] = value
    return values


def build_settings(values: Mapping[LeafPath, object]) -> tree.Settings:
    """Build the tree from the values that are not defaults."""
    assert values.keys() <= leaves().keys(), sorted(values.keys() - leaves().keys())
    return typing.cast("tree.Settings", build_tree(tree.Settings, values))


def build_tree(cls: type, values: Mapping[LeafPath, object]) -> object:
    """Build a section from the values of its leaves that are not defaults, by path below it."""
    return _build(cls, "", values)


def _key(field: dataclasses.Field[Any]) -> str:
    """Get the key of a field: a name that Python keeps for itself has an underscore behind it."""
    return field.name.rstrip("_")


def _build(cls: type, prefix: str, values: Mapping[LeafPath, object]) -> object:
    hints = typing.get_type_hints(cls)
    given: dict[str, object] = {}
    for field in dataclasses.fields(cls):
        path = prefix + _key(field)
        if dataclasses.is_dataclass(hints[field.name]):
            given[field.name] = _build(hints[field.name], path + ".", values)
        elif path in values:
            given[field.name] = values[path]
    return cls(**given)


def _walk(cls: type, prefix: str) -> list[Leaf | SectionDoc]:
    hints = typing.get_type_hints(cls)
    docs = _field_docs(cls)
    defaults = cls()
    found: list[Leaf | SectionDoc] = [
        SectionDoc(path=prefix.removesuffix("."), doc=inspect.getdoc(cls) or "")
    ]
    for field in dataclasses.fields(cls):
        hint = hints[field.name]
        path = prefix + _key(field)
        if dataclasses.is_dataclass(hint):
            found += _walk(typing.cast("type", hint), path + ".")
            continue
        is_list = typing.get_origin(hint) is tuple
        options = (hint,) if is_list else typing.get_args(hint) or (hint,)
        (kind,) = (option for option in options if option is not NoneType)
        parse, unit = _parser(field.name, kind)
        found.append(
            Leaf(
                path=path,
                parse=parse,
                nullable=NoneType in options,
                unit=unit,
                default=getattr(defaults, field.name),
                doc=docs[field.name],
            )
        )
    return found


def _parser(name: str, kind: object) -> tuple[Parser, str]:
    """Choose by type and name."""
    if kind == tuple[str, ...] and name == "retention_rules":
        return units.parse_lines, "keys and values, or a list of `QUERY: DURATION`"
    structure = structure_of(name, kind)
    if structure is not None:
        return structure, structure.shape
    if kind == tuple[str, ...] and name == "sampling":
        return units.parse_entries, "list of `keep: QUERY`, `drop: QUERY`, `keep_ratio: SHARE`"
    if kind == tuple[str, ...] and name == "drop":
        return units.parse_queries, "query, or a list of queries"
    if kind == tuple[str, ...]:
        return units.parse_list, "list of texts (separated by commas, or a list of YAML)"
    found = scalar_kind(name, kind)
    assert found is not None, (name, kind)
    return found


def _field_docs(cls: type) -> dict[str, str]:
    """Read the strings under the fields from the source of the class."""
    (definition,) = ast.parse(inspect.getsource(cls)).body
    assert isinstance(definition, ast.ClassDef)
    docs: dict[str, str] = {}
    name = ""
    for statement in definition.body:
        if isinstance(statement, ast.AnnAssign) and isinstance(statement.target, ast.Name):
            name = statement.target.id
        elif name and isinstance(statement, ast.Expr) and isinstance(statement.value, ast.Constant):
            docs[name] = " ".join(str(statement.value.value).split())
            name = ""
    return docs
