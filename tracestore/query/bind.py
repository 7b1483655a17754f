"""A filter of the language -> expressions over the columns that one source has.

Attributes become typed columns, a key that the source does not have becomes nil, and a comparison
that filters prove false becomes the constant false. What the engine cannot evaluate is refused
before any source is looked at (``require_supported``).
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import cached_property

from traceql import attributes as names
from traceql import nodes
from traceql.attributes import Scope
from traceql.errors import UnsupportedError
from traceql.operators import ARITHMETIC, Operator
from traceql.values import (
    Bool,
    KindValue,
    StatusValue,
    String,
    Value,
    ValueType,
    negate,
)
from traceql.walk import walk
from tracestore.model.tables import (
    TABLE_OF_SCOPE,
    AttributeScope,
    AttributeType,
    attribute_columns,
    overflow_name,
)
from tracestore.query.expressions import (
    ALWAYS,
    NEVER,
    Attribute,
    Bounds,
    Calculate,
    Compare,
    CompareLiteral,
    Condition,
    Constant,
    Expression,
    Fallback,
    HasValue,
    Intrinsic,
    IsNil,
    Negate,
    all_of,
    any_of,
    as_condition,
    negation,
)
from tracestore.query.intrinsics import STORED
from tracestore.query.matching import any_of_patterns, any_of_texts, pattern_matcher
from tracestore.query.parts import Domain
from tracestore.query.predicates import Comparison, Literal, TextMatcher
from tracestore.query.prune import holds, may_match
from tracestore.query.scan import TABLE_OF_DOMAIN, SourceScan

DOMAIN_OF_SCOPE = {
    Scope.SPAN: Domain.SPAN,
    Scope.RESOURCE: Domain.RESOURCE,
    Scope.INSTRUMENTATION: Domain.SCOPE,
}
_STORED_SCOPE = {
    Scope.SPAN: AttributeScope.SPAN,
    Scope.RESOURCE: AttributeScope.RESOURCE,
    Scope.INSTRUMENTATION: AttributeScope.INSTRUMENTATION,
}
_NUMBERS = (
    AttributeType.INT,
    AttributeType.FLOAT,
    AttributeType.INT_LIST,
    AttributeType.FLOAT_LIST,
)
_COLUMN_TYPES: dict[ValueType, tuple[AttributeType, ...]] = {
    ValueType.STRING: (AttributeType.STRING, AttributeType.STRING_LIST),
    ValueType.BOOLEAN: (AttributeType.BOOL, AttributeType.BOOL_LIST),
    ValueType.INT: _NUMBERS,
    ValueType.FLOAT: _NUMBERS,
}
"""Columns that may hold a value of a literal's type; of other types an attribute never is."""


def is_supported(field: names.Field) -> bool:
    """Tell whether the engine can evaluate a field."""
    if isinstance(field, names.Attribute):
        return not field.of_parent and field.scope in {Scope.NONE, *DOMAIN_OF_SCOPE}
    return field in STORED


def require_supported(node: nodes.FieldExpression) -> None:
    """Look for what cannot be evaluated yet. Raises: UnsupportedError at its place."""
    for reference in references(node):
        if not is_supported(reference.field):
            raise UnsupportedError(f"{reference.field.text} is not yet supported", at=reference.at)


def references(node: nodes.FieldExpression) -> Iterator[nodes.Reference]:
    """Walk over the attributes and intrinsics that an expression mentions."""
    for below in walk(node):
        if isinstance(below, nodes.Reference):
            yield below


def literal(value: Value, matcher: TextMatcher | None = None) -> Literal:
    """Make the literal of a value: status and kind are their numbers."""
    if isinstance(value, StatusValue | KindValue):
        return Literal(value.type, value.value.code)
    return Literal(value.type, value.value, matcher)


class Binder:
    """Binds expressions of one query to one source."""

    def __init__(self, scan: SourceScan) -> None:
        self._scan = scan

    def condition(self, node: nodes.FieldExpression) -> Condition:
        """Bind an expression as a condition: what is not the boolean true is false."""
        return as_condition(self.expression(node))

    def expression(self, node: nodes.FieldExpression) -> Expression:
        """Bind an expression that ``require_supported`` has passed."""
        match node:
            case nodes.Literal(Bool(value)):
                return ALWAYS if value else NEVER
            case nodes.Literal():
                return Constant(literal(node.value))
            case nodes.Reference():
                return self.field(node.field)
            case nodes.Unary(Operator.NOT, operand):
                return negation(self.expression(operand))
            case nodes.Unary():
                return self._negative(node.operand)
            case nodes.Logical():
                parts = [self.condition(operand) for operand in node.operands]
                return all_of(parts) if node.operator == Operator.AND else any_of(parts)
            case nodes.Exists():
                return self._exists(node)
            case nodes.OneOf():
                return self._one_of(node)
            case nodes.MatchesAny():
                return self._matches_any(node)
        if node.operator in ARITHMETIC:
            sides = (self.expression(node.left), self.expression(node.right))
            return Calculate(sides, node.operator)
        return self._comparison(node)

    def field(self, field: names.Field) -> Expression:
        """Bind an attribute or intrinsic."""
        if isinstance(field, names.Intrinsic):
            stored = STORED[field]
            return Intrinsic(stored.domain, stored.columns, stored.load, stored.cost)
        if field.scope is not Scope.NONE:
            return self.attribute(field.scope, field.name)
        span, resource = self._both(field.name)
        if span.is_nil or resource.is_nil:
            return resource if span.is_nil else span
        return Fallback(span, resource)

    def attribute(self, scope: Scope, key: str) -> Attribute:
        """Bind a key of one scope to its columns."""
        stored = _STORED_SCOPE[scope]
        columns = self._columns[scope].get(key, ())
        is_service = scope is Scope.RESOURCE and key == names.SERVICE_NAME.name
        return Attribute(
            DOMAIN_OF_SCOPE[scope],
            key,
            columns,
            overflow_name(stored) if self._may_overflow(scope, key) else None,
            absent_text="" if is_service else None,
        )

    def _both(self, key: str) -> tuple[Attribute, Attribute]:
        return self.attribute(Scope.SPAN, key), self.attribute(Scope.RESOURCE, key)

    @cached_property
    def _columns(self) -> dict[Scope, dict[str, tuple[tuple[AttributeType, str], ...]]]:
        found: dict[Scope, dict[str, tuple[tuple[AttributeType, str], ...]]] = {}
        for scope, stored in _STORED_SCOPE.items():
            of_scope = found.setdefault(scope, {})
            for column in attribute_columns(self._scan.source.schema(TABLE_OF_SCOPE[stored])):
                known = of_scope.get(column.key, ())
                of_scope[column.key] = (*known, (column.type, column.name))
        return found

    @cached_property
    def _overflow_keys(self) -> dict[Scope, frozenset[str] | None]:
        """Keys in the overflow columns; None: unknown, any key may be there."""
        filters = self._scan.filters
        found: dict[Scope, frozenset[str] | None] = {}
        for scope, stored in _STORED_SCOPE.items():
            schema = self._scan.source.schema(TABLE_OF_SCOPE[stored])
            if overflow_name(stored) not in schema.names:
                found[scope] = frozenset()
            else:
                found[scope] = None if filters is None else frozenset(filters.overflow(stored))
        return found

    def _may_overflow(self, scope: Scope, key: str) -> bool:
        keys = self._overflow_keys[scope]
        return keys is None or key in keys

    def _negative(self, operand: nodes.FieldExpression) -> Expression:
        if isinstance(operand, nodes.Literal) and (value := negate(operand.value)) is not None:
            return Constant(literal(value))
        return Negate((self.expression(operand),))

    def _exists(self, node: nodes.Exists) -> Condition:
        if (key := _unscoped_key(node.operand)) is not None:
            span, resource = self._both(key)
            if node.negated:
                return all_of([_is_nil(span), _is_nil(resource)])
            return any_of([_has_value(span), all_of([_is_nil(span), _has_value(resource)])])
        bound = self.expression(node.operand)
        return _is_nil(bound) if node.negated else _has_value(bound)

    def _one_of(self, node: nodes.OneOf) -> Condition:
        field = node.operand.field
        texts = [value.value for value in node.values if isinstance(value, String)]
        is_id = isinstance(field, names.Intrinsic) and field.is_id
        if len(texts) == len(node.values) and not is_id:
            wanted = Literal(ValueType.STRING, "", any_of_texts(texts))
            regex = Operator.NOT_MATCH if node.negated else Operator.MATCH
            return self._with_literal(node.operand, regex, wanted)
        comparison = Operator.NE if node.negated else Operator.EQ
        each = [self._with_literal(node.operand, comparison, literal(v)) for v in node.values]
        return all_of(each) if node.negated else any_of(each)

    def _matches_any(self, node: nodes.MatchesAny) -> Condition:
        wanted = Literal(ValueType.STRING, "", any_of_patterns(node.patterns))
        comparison = Operator.NOT_MATCH if node.negated else Operator.MATCH
        return self._with_literal(node.operand, comparison, wanted)

    def _comparison(self, node: nodes.Binary) -> Condition:
        left, comparison, right = node.left, node.operator, node.right
        if isinstance(left, nodes.Literal) and not isinstance(right, nodes.Literal):
            left, comparison, right = right, comparison.mirror, left
        if not isinstance(right, nodes.Literal):
            return Compare((self.expression(left), self.expression(right)), comparison)
        matcher = None
        if comparison in (Operator.MATCH, Operator.NOT_MATCH):
            assert isinstance(right.value, String)
            matcher = pattern_matcher(right.value.value)
        return self._with_literal(left, comparison, literal(right.value, matcher))

    def _with_literal(
        self, left: nodes.FieldExpression, comparison: Operator, wanted: Literal
    ) -> Condition:
        if (key := _unscoped_key(left)) is not None:
            span, resource = self._both(key)
            of_resource = self._attribute_with(Scope.RESOURCE, resource, comparison, wanted)
            of_span = self._attribute_with(Scope.SPAN, span, comparison, wanted)
            return any_of([of_span, all_of([_is_nil(span), of_resource])])
        if isinstance(left, nodes.Reference):
            field = left.field
            if isinstance(field, names.Attribute):
                found = self.attribute(field.scope, field.name)
                return self._attribute_with(field.scope, found, comparison, wanted)
            return self._intrinsic_with(field, comparison, wanted)
        return CompareLiteral(self.expression(left), Comparison(comparison, wanted), generic=False)

    def _attribute_with(
        self, scope: Scope, attribute: Attribute, comparison: Operator, wanted: Literal
    ) -> Condition:
        types = _COLUMN_TYPES.get(wanted.type, ())
        narrow = attribute.narrowed(types)
        if not types or narrow.is_nil:
            return NEVER
        filters = self._scan.filters
        if filters is not None and narrow.overflow is None:
            known = [
                filters.column(_STORED_SCOPE[scope], attribute.key, kind)
                for kind, _ in narrow.columns
                if kind in types
            ]
            absent = narrow.absent_text
            proven = all(each and not may_match(each, comparison, wanted) for each in known)
            if proven and (absent is None or not holds(absent, comparison, wanted)):
                return NEVER
        bounds = None
        if scope is Scope.SPAN and narrow.overflow is None and len(narrow.columns) == 1:
            bounds = Bounds(narrow.columns[0][1])
        return CompareLiteral(narrow, Comparison(comparison, wanted), generic=True, bounds=bounds)

    def _intrinsic_with(
        self, field: names.Intrinsic, comparison: Operator, wanted: Literal
    ) -> Condition:
        stored = STORED[field]
        filters = self._scan.filters
        if filters is not None and len(stored.columns) == 1:
            known = filters.intrinsic(TABLE_OF_DOMAIN[stored.domain], stored.columns[0])
            default = stored.default
            proven = known is not None and not may_match(known, comparison, wanted)
            if proven and (default is None or not holds(default, comparison, wanted)):
                return NEVER
        bounds = Bounds(stored.columns[0]) if stored.has_bounds else None
        bound = self.field(field)
        return CompareLiteral(bound, Comparison(comparison, wanted), generic=False, bounds=bounds)


def _unscoped_key(node: nodes.FieldExpression) -> str | None:
    if not isinstance(node, nodes.Reference) or not isinstance(node.field, names.Attribute):
        return None
    return node.field.name if node.field.scope is Scope.NONE else None


def _is_nil(expression: Expression) -> Condition:
    if isinstance(expression, Attribute):
        if expression.absent_text is not None:
            return NEVER
        return ALWAYS if expression.is_nil else IsNil((expression,))
    return IsNil((expression,))


def _has_value(expression: Expression) -> Condition:
    if isinstance(expression, Intrinsic):
        return ALWAYS
    if isinstance(expression, Attribute) and expression.is_nil:
        return NEVER
    return HasValue((expression,))
