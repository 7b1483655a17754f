"""Which attributes one source has, and in which columns: keys -> typed columns, per scope."""

from __future__ import annotations

from collections.abc import Iterator

import pyarrow as pa

from traceql.attributes import SERVICE_NAME, Scope
from tracestore.model.tables import (
    TABLE_OF_SCOPE,
    AttributeScope,
    AttributeType,
    attribute_columns,
    overflow_name,
)
from tracestore.query.columns import overflow_keys
from tracestore.query.fields import Attribute
from tracestore.query.parts import Domain
from tracestore.query.scan import SourceScan

DOMAIN_OF_SCOPE = {
    Scope.SPAN: Domain.SPAN,
    Scope.RESOURCE: Domain.RESOURCE,
    Scope.INSTRUMENTATION: Domain.SCOPE,
    Scope.EVENT: Domain.EVENT,
    Scope.LINK: Domain.LINK,
}
STORED_SCOPE = {scope: AttributeScope(scope.value) for scope in DOMAIN_OF_SCOPE}

Columns = tuple[tuple[AttributeType, str], ...]


class SourceColumns:
    """The attribute columns of a source."""

    def __init__(self, scan: SourceScan) -> None:
        self.scan = scan
        self._columns: dict[Scope, dict[str, Columns]] = {}
        """By scope, as they are asked for."""
        self._overflow_keys: dict[Scope, frozenset[str] | None] = {}
        """Keys in the overflow columns; None: unknown, any key may be there."""

    def attribute(self, scope: Scope, key: str) -> Attribute:
        """Bind a key of one scope to its columns; without any it is nil."""
        is_service = scope is SERVICE_NAME.scope and key == SERVICE_NAME.name
        return Attribute(
            DOMAIN_OF_SCOPE[scope],
            key,
            self._columns_of(scope).get(key, ()),
            overflow_name(STORED_SCOPE[scope]) if self._may_overflow(scope, key) else None,
            absent_text="" if is_service else None,
        )

    def of_types(self, *types: AttributeType) -> Iterator[tuple[Scope, Attribute]]:
        """Walk over the columns of some types: attributes of one column, without overflow."""
        for scope in STORED_SCOPE:
            for key, columns in self._columns_of(scope).items():
                for kind, name in columns:
                    if kind in types:
                        yield scope, Attribute(DOMAIN_OF_SCOPE[scope], key, ((kind, name),), None)

    def own_columns(self, scope: Scope, key: str) -> Attribute:
        """Bind a key to its columns, without what may be in the overflow column."""
        columns = self._columns_of(scope).get(key, ())
        return Attribute(DOMAIN_OF_SCOPE[scope], key, columns, None)

    def keys(self, scope: Scope) -> tuple[str, ...]:
        """List the keys of a scope that have a column."""
        return tuple(self._columns_of(scope))

    def every_key(self, scope: Scope) -> tuple[str, ...]:
        """List the keys of resources or of scopes, those in the overflow column among them."""
        assert scope in (Scope.RESOURCE, Scope.INSTRUMENTATION)
        keys = self.keys(scope)
        if not self.may_overflow(scope, frozenset(kind.value for kind in AttributeType)):
            return keys
        stored = STORED_SCOPE[scope]
        array = self.scan.column(TABLE_OF_SCOPE[stored], overflow_name(stored))
        return tuple(dict.fromkeys((*keys, *sorted(overflow_keys(array)))))

    def may_overflow(self, scope: Scope, types: frozenset[str]) -> bool:
        """Tell whether the overflow column of a scope may hold an entry of one of some types."""
        stored = STORED_SCOPE[scope]
        if overflow_name(stored) not in self.scan.source.schema(TABLE_OF_SCOPE[stored]).names:
            return False
        filters = self.scan.filters
        if filters is None:
            return True
        return any(not types.isdisjoint(known) for known in filters.overflow(stored).values())

    def _columns_of(self, scope: Scope) -> dict[str, Columns]:
        found = self._columns.get(scope)
        if found is None:
            found = self._columns[scope] = {}
            for column in attribute_columns(self._schema(scope)):
                known = found.get(column.key, ())
                found[column.key] = (*known, (column.type, column.name))
        return found

    def _schema(self, scope: Scope) -> pa.Schema:
        return self.scan.source.schema(TABLE_OF_SCOPE[STORED_SCOPE[scope]])

    def _may_overflow(self, scope: Scope, key: str) -> bool:
        if scope not in self._overflow_keys:
            self._overflow_keys[scope] = self._read_overflow_keys(scope)
        keys = self._overflow_keys[scope]
        return keys is None or key in keys

    def _read_overflow_keys(self, scope: Scope) -> frozenset[str] | None:
        stored = STORED_SCOPE[scope]
        if overflow_name(stored) not in self._schema(scope).names:
            return frozenset()
        filters = self.scan.filters
        return None if filters is None else frozenset(filters.overflow(stored))
