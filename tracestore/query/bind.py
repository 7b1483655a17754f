"""A filter of the language -> expressions over the columns that one source has.

Attributes become typed columns, a key that the source does not have becomes nil, and a comparison
that filters prove false becomes the constant false. What ``Binder`` gives out is over spans: a
filter holds for some event and some link, a value is that of the first.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from traceql import attributes as names
from traceql import nodes
from traceql.attributes import Level, Scope
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
from tracestore.model.tables import AttributeType
from tracestore.query.anywhere import TEXT_TYPES, OverflowHolds
from tracestore.query.expressions import (
    ALWAYS,
    NEVER,
    Calculate,
    Compare,
    Condition,
    Constant,
    Expression,
    HasValue,
    IsNil,
    Negate,
    all_of,
    any_of,
    as_condition,
    negation,
)
from tracestore.query.fields import (
    Attribute,
    Bounds,
    CompareLiteral,
    Fallback,
    Intrinsic,
    RowExists,
)
from tracestore.query.intrinsics import STORED
from tracestore.query.matching import any_of_patterns, any_of_texts, pattern_matcher
from tracestore.query.parents import HasParent, OfParent, ParentHolds, ParentItself
from tracestore.query.parts import Domain
from tracestore.query.predicates import NEGATIVE, Comparison, Literal, TextMatcher
from tracestore.query.prune import holds, may_match
from tracestore.query.quantify import AtMatch, Witnesses, for_some, of_first
from tracestore.query.scan import TABLE_OF_DOMAIN, SourceScan
from tracestore.query.source_columns import STORED_SCOPE, SourceColumns

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
        self.columns = SourceColumns(scan)
        """The attribute columns of the source."""
        self._witnesses: dict[
            tuple[object, ...], tuple[Sequence[nodes.FieldExpression], Witnesses]
        ] = {}

    def condition(self, node: nodes.FieldExpression) -> Condition:
        """Bind a filter: what is not the boolean true for some event and link is false."""
        return for_some(self._condition(node))

    def expression(self, node: nodes.FieldExpression) -> Expression:
        """Bind a value outside filters: of events and links the first counts."""
        return of_first(self._expression(node))

    def field(self, field: names.Field) -> Expression:
        """Bind an attribute or intrinsic; of events and links the first counts."""
        return of_first(self._field(field))

    def field_of_match(
        self, field: names.Field, filters: Sequence[nodes.FieldExpression]
    ) -> Expression:
        """Bind a field for an answer: of events and links that which made a filter true counts.

        Args:
            filters: in the order in which they are asked; those that say nothing of events (links)
                have no say.
        """
        bound = self._field(field)
        if bound.domain <= Domain.SPAN:
            return bound
        key = bound.domain, *map(id, filters)
        if key not in self._witnesses:
            asked = [each for each in filters if _speaks_of(each, bound.domain)]
            found = Witnesses(bound.domain, [self._condition(each) for each in asked])
            self._witnesses[key] = filters, found
        return AtMatch(bound, self._witnesses[key][1])

    def attribute(self, scope: Scope, key: str) -> Attribute:
        """Bind a key of one scope to its columns."""
        return self.columns.attribute(scope, key)

    def _condition(self, node: nodes.FieldExpression) -> Condition:
        return as_condition(self._expression(node))

    def _expression(self, node: nodes.FieldExpression) -> Expression:
        match node:
            case nodes.Literal(Bool(value)):
                return ALWAYS if value else NEVER
            case nodes.Literal():
                return Constant(literal(node.value))
            case nodes.Reference():
                return self._field(node.field)
            case nodes.Unary(Operator.NOT, operand):
                return negation(self._expression(operand))
            case nodes.Unary():
                return self._negative(node.operand)
            case nodes.Logical():
                is_all = node.operator == Operator.AND
                parts = list(self._until(NEVER if is_all else ALWAYS, node.operands))
                return all_of(parts) if is_all else any_of(parts)
            case nodes.Exists():
                return self._exists(node)
            case nodes.OneOf():
                return self._one_of(node)
            case nodes.MatchesAny():
                return self._matches_any(node)
        if node.operator in ARITHMETIC:
            sides = (self._expression(node.left), self._expression(node.right))
            return Calculate(sides, node.operator)
        return self._comparison(node)

    def _until(
        self, final: Condition, operands: Sequence[nodes.FieldExpression]
    ) -> Iterator[Condition]:
        """Bind operands until one decides, so that absence in many sources costs little."""
        for operand in operands:
            bound = self._condition(operand)
            yield bound
            if bound is final:
                return

    def _field(self, field: names.Field) -> Expression:
        if field is names.Intrinsic.PARENT:
            return ParentItself()
        if isinstance(field, names.Intrinsic):
            return Intrinsic(STORED[field])
        if field.of_parent:
            return OfParent(self._field(_own(field)))
        if field.scope is not Scope.NONE:
            return self.attribute(field.scope, field.name)
        span, resource = self._both(field.name)
        if span.is_nil or resource.is_nil:
            return resource if span.is_nil else span
        return Fallback(span, resource)

    def _both(self, key: str) -> tuple[Attribute, Attribute]:
        return self.attribute(Scope.SPAN, key), self.attribute(Scope.RESOURCE, key)

    def _negative(self, operand: nodes.FieldExpression) -> Expression:
        if isinstance(operand, nodes.Literal) and (value := negate(operand.value)) is not None:
            return Constant(literal(value))
        return Negate((self._expression(operand),))

    def _exists(self, node: nodes.Exists) -> Condition:
        if isinstance(node.operand, nodes.Reference):
            field = node.operand.field
            return self._is_nil(field) if node.negated else self._has_value(field)
        bound = self._expression(node.operand)
        return IsNil((bound,)) if node.negated else HasValue((bound,))

    def _is_nil(self, field: names.Field) -> Condition:
        """Bind ``x = nil``; of an event or link it asks those that are there."""
        if isinstance(field, names.Intrinsic):
            assert field is names.Intrinsic.PARENT, f"{field.text} is never nil"
            return as_condition(negation(HasParent()))
        if field.of_parent:
            own = as_condition(negation(self._is_nil(_own(field))))
            return as_condition(negation(_of_parent(own)))
        if field.scope is Scope.NONE:
            return all_of([_lacks(side) for side in self._both(field.name)])
        found = self.attribute(field.scope, field.name)
        return all_of([self._row_exists(found.domain), _lacks(found)])

    def _has_value(self, field: names.Field) -> Condition:
        if field is names.Intrinsic.PARENT:
            return HasParent()
        if isinstance(field, names.Intrinsic):
            return self._row_exists(STORED[field].domain)
        if field.of_parent:
            return _of_parent(self._has_value(_own(field)))
        if field.scope is Scope.NONE:
            span, resource = self._both(field.name)
            return any_of([_holds(span), all_of([_lacks(span), _holds(resource)])])
        return _holds(self.attribute(field.scope, field.name))

    def _row_exists(self, domain: Domain) -> Condition:
        """Bind that there is a row to speak of: always, but for events and links."""
        if domain <= Domain.SPAN:
            return ALWAYS
        return RowExists(domain) if self._scan.source.rows(TABLE_OF_DOMAIN[domain]) else NEVER

    def _one_of(self, node: nodes.OneOf) -> Condition:
        field = node.operand.field
        texts = [value.value for value in node.values if isinstance(value, String)]
        is_id = isinstance(field, names.Intrinsic) and field.is_id
        if len(texts) == len(node.values) and not is_id:
            wanted = Literal(ValueType.STRING, "", any_of_texts(texts))
            regex = Operator.NOT_MATCH if node.negated else Operator.MATCH
            return self._with_literal(node.operand, Comparison(regex, wanted))
        operator = Operator.NE if node.negated else Operator.EQ
        compared = [Comparison(operator, literal(value)) for value in node.values]
        each = [self._with_literal(node.operand, comparison) for comparison in compared]
        return all_of(each) if node.negated else any_of(each)

    def _matches_any(self, node: nodes.MatchesAny) -> Condition:
        wanted = Literal(ValueType.STRING, "", any_of_patterns(node.patterns))
        operator = Operator.NOT_MATCH if node.negated else Operator.MATCH
        return self._with_literal(node.operand, Comparison(operator, wanted))

    def _comparison(self, node: nodes.Binary) -> Condition:
        left, operator, right = node.left, node.operator, node.right
        if isinstance(left, nodes.Literal) and not isinstance(right, nodes.Literal):
            left, operator, right = right, operator.mirror, left
        if not isinstance(right, nodes.Literal):
            return Compare((self._expression(left), self._expression(right)), operator)
        matcher = None
        if operator in (Operator.MATCH, Operator.NOT_MATCH):
            assert isinstance(right.value, String)
            matcher = pattern_matcher(right.value.value)
        return self._with_literal(left, Comparison(operator, literal(right.value, matcher)))

    def _with_literal(self, left: nodes.FieldExpression, comparison: Comparison) -> Condition:
        if isinstance(left, nodes.Reference):
            return self._field_with(left.field, comparison)
        return CompareLiteral(self._expression(left), comparison, generic=False)

    def _field_with(self, field: names.Field, comparison: Comparison) -> Condition:
        if field is names.Intrinsic.ANY:
            return self._anywhere(comparison)
        if isinstance(field, names.Intrinsic):
            return self._intrinsic_with(field, comparison)
        if field.of_parent:
            return _of_parent(self._field_with(_own(field), comparison))
        if field.scope is Scope.NONE:
            span, resource = self._both(field.name)
            of_resource = self._attribute_with(Scope.RESOURCE, resource, comparison)
            of_span = self._attribute_with(Scope.SPAN, span, comparison)
            return any_of([of_span, all_of([_lacks(span), of_resource])])
        found = self.attribute(field.scope, field.name)
        return self._attribute_with(field.scope, found, comparison)

    def _attribute_with(
        self, scope: Scope, attribute: Attribute, comparison: Comparison
    ) -> Condition:
        wanted = comparison.literal
        types = _COLUMN_TYPES.get(wanted.type, ())
        narrow = attribute.narrowed(types)
        if not types or narrow.is_nil:
            return NEVER
        filters = self._scan.filters
        if filters is not None and narrow.overflow is None:
            known = [
                filters.column(STORED_SCOPE[scope], attribute.key, kind)
                for kind, _ in narrow.columns
                if kind in types
            ]
            absent = narrow.absent_text
            proven = all(e and not may_match(e, comparison.operator, wanted) for e in known)
            if proven and (absent is None or not holds(absent, comparison.operator, wanted)):
                return NEVER
        bounds = None
        if scope is Scope.SPAN and narrow.overflow is None and len(narrow.columns) == 1:
            bounds = Bounds(narrow.columns[0][1])
        return CompareLiteral(narrow, comparison.copy(), generic=True, bounds=bounds)

    def _intrinsic_with(self, field: names.Intrinsic, comparison: Comparison) -> Condition:
        stored = STORED[field]
        if self._row_exists(stored.domain) is NEVER:
            return NEVER
        operator, wanted = comparison.operator, comparison.literal
        filters = self._scan.filters
        if filters is not None and len(stored.columns) == 1:
            known = filters.intrinsic(TABLE_OF_DOMAIN[stored.domain], stored.columns[0])
            default = stored.default
            proven = known is not None and not may_match(known, operator, wanted)
            if proven and (default is None or not holds(default, operator, wanted)):
                return NEVER
        bounds = Bounds(stored.columns[0]) if stored.has_bounds else None
        bound = Intrinsic(stored)
        return CompareLiteral(bound, comparison.copy(), generic=False, bounds=bounds)

    def _anywhere(self, comparison: Comparison) -> Condition:
        """Bind ``any``: some text of the span and of all that belongs to it; negated: none."""
        if comparison.operator in NEGATIVE:
            opposite = Comparison(_OPPOSITE[comparison.operator], comparison.literal)
            return as_condition(negation(self._anywhere(opposite)))
        found: list[Condition] = [
            self._intrinsic_with(field, comparison)
            for field in (names.Intrinsic.NAME, names.Intrinsic.STATUS_MESSAGE)
        ]
        for scope, column in self.columns.of_types(*TEXT_TYPES):
            found.append(self._attribute_with(scope, column, comparison))
        for scope in STORED_SCOPE:
            if self.columns.may_overflow(scope, frozenset(TEXT_TYPES)):
                found.append(OverflowHolds(self.columns, scope, comparison))
        return for_some(any_of(found))


_OPPOSITE = {Operator.NE: Operator.EQ, Operator.NOT_MATCH: Operator.MATCH}


def _speaks_of(node: nodes.FieldExpression, domain: Domain) -> bool:
    """Tell whether an expression mentions a field of events (of links)."""
    level = Level.EVENT if domain == Domain.EVENT else Level.LINK
    return any(reference.field.levels == {level} for reference in references(node))


def _own(field: names.Attribute) -> names.Attribute:
    """Name for the parent itself what is ``parent.x`` for its child."""
    return names.Attribute(field.scope, field.name)


def _of_parent(condition: Condition) -> Condition:
    if condition is NEVER:
        return NEVER
    return HasParent() if condition is ALWAYS else ParentHolds(condition)


def _lacks(attribute: Attribute) -> Condition:
    if attribute.absent_text is not None:
        return NEVER
    return ALWAYS if attribute.is_nil else IsNil((attribute,))


def _holds(attribute: Attribute) -> Condition:
    return NEVER if attribute.is_nil else HasValue((attribute,))
