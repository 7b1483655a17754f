"""Answers of autocomplete: the names and values that occur."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from enum import StrEnum

from tracestore.model.results import QueryStats


class TagScope(StrEnum):
    """Where a name belongs, in the order of an answer."""

    RESOURCE = "resource"
    SPAN = "span"
    EVENT = "event"
    LINK = "link"
    INSTRUMENTATION = "instrumentation"
    INTRINSIC = "intrinsic"


class TagType(StrEnum):
    """What a value is; decides whether a client puts it in quotes."""

    STRING = "string"
    INT = "int"
    FLOAT = "float"
    BOOL = "bool"
    KEYWORD = "keyword"


TagValue = tuple[TagType, str]
"""A value: its type and text."""


@dataclass(frozen=True, slots=True, kw_only=True)
class TagNames:
    """Names by scope, both in order; scopes without names are left out."""

    scopes: tuple[tuple[TagScope, tuple[str, ...]], ...]
    stats: QueryStats = field(default_factory=QueryStats)

    @property
    def flat(self) -> list[str]:
        """All names, each once, in order."""
        return sorted({name for _, names in self.scopes for name in names})


@dataclass(frozen=True, slots=True, kw_only=True)
class TagValues:
    """Distinct values, most frequent first, ties by type and text.

    There may be a hundred thousand: no object each, which the garbage collector would look through.
    """

    types: tuple[TagType, ...] = ()
    texts: tuple[str, ...] = ()
    """As many."""
    stats: QueryStats = field(default_factory=QueryStats)

    @property
    def values(self) -> Iterator[TagValue]:
        """Iterate over the values in order."""
        return zip(self.types, self.texts, strict=True)
