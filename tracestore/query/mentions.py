"""The fields that a query names: what a search shows with each matched span, in which order.

Source: TraceQL reference, 5.9.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from traceql import nodes
from traceql.attributes import Field, Intrinsic, Level, Scope
from traceql.walk import fields_of
from tracestore.query.bind import Binder
from tracestore.query.expressions import Expression
from tracestore.query.parts import Domain

_SHOWN_ELSEWHERE = frozenset(
    {
        Intrinsic.NAME,
        Intrinsic.DURATION,
        Intrinsic.TRACE_DURATION,
        Intrinsic.ROOT_NAME,
        Intrinsic.ROOT_SERVICE_NAME,
        Intrinsic.TRACE_ID,
        Intrinsic.SPAN_ID,
        Intrinsic.ANY,
    }
)
_ORDER = [Scope.SPAN, Scope.RESOURCE, Scope.INSTRUMENTATION, Scope.EVENT, Scope.LINK]
_OWNERS = {Scope.EVENT: Domain.EVENT, Scope.LINK: Domain.LINK}


@dataclass(frozen=True, slots=True, kw_only=True)
class Mention:
    """A field that a query names, and whether it asks for ``= nil`` of it.

    ``filters``: of events and links that is shown which made the first of these true.
    """

    field: Field
    asks_nil: bool
    filters: tuple[nodes.FieldExpression, ...] = ()


def mentions(
    expressions: Sequence[nodes.FieldExpression], filters: Sequence[nodes.FieldExpression]
) -> tuple[Mention, ...]:
    """Collect the fields whose values a search shows with each span.

    Args:
        filters: those of the expressions that are filters, in the order of the text.
    """
    found: dict[Field, bool] = {}
    for expression in expressions:
        for field in fields_of(expression):
            found.setdefault(field, False)
        for field in _asked_nil(expression):
            found[field] = True
    return tuple(
        Mention(field=field, asks_nil=asks_nil, filters=tuple(filters))
        for field, asks_nil in found.items()
        if field not in _SHOWN_ELSEWHERE
    )


def _asked_nil(node: nodes.FieldExpression) -> list[Field]:
    match node:
        case nodes.Exists(nodes.Reference(field), negated=True):
            return [field]
        case nodes.Logical():
            return [field for operand in node.operands for field in _asked_nil(operand)]
        case nodes.Binary():
            return _asked_nil(node.left) + _asked_nil(node.right)
        case nodes.Unary() | nodes.Exists():
            return _asked_nil(node.operand)
    return []


@dataclass(frozen=True, slots=True)
class BoundField:
    """A field in one source: its place in the order shown, its name, and its value."""

    level: int
    name: str
    value: Expression


@dataclass(frozen=True, slots=True)
class BoundNil:
    """A field of which ``= nil`` was asked: the sides on which it is looked for.

    ``owned``: it is a field of events or links, which only nil of one that is there can be.
    """

    level: int
    name: str
    sides: tuple[Expression, ...]
    owned: Domain | None


class BoundMentions:
    """What is shown of the spans of one source."""

    def __init__(self, binder: Binder, shown: Sequence[Mention]) -> None:
        self.fields: list[BoundField] = []
        self.nil_fields: list[BoundNil] = []
        seen = set()
        for mention in shown:
            name = name_of(mention.field)
            bound = []
            for level, field in _sides(mention.field):
                value = binder.field_of_match(field, mention.filters)
                bound.append(BoundField(level, name, value))
                if field not in seen:
                    seen.add(field)
                    self.fields.append(bound[-1])
            if mention.asks_nil:
                sides = tuple(side.value for side in bound)
                owned = _OWNERS.get(_scope_of(mention.field))
                self.nil_fields.append(BoundNil(bound[0].level, name, sides, owned))
        self.fields.sort(key=lambda field: (field.level, field.name))
        self.service = binder.attribute(Scope.RESOURCE, "service.name")
        self.service_names: dict[int, str] = {}
        """By resource, as far as they have been asked for."""


def _sides(field: Field) -> list[tuple[int, Field]]:
    """Tell where a field is looked for, with the place of that in the order; ``.x`` is two."""
    scope = _scope_of(field)
    if scope is not Scope.NONE or isinstance(field, Intrinsic):
        return [(_ORDER.index(scope), field)]
    return [(_ORDER.index(side), replace(field, scope=side)) for side in _ORDER[:2]]


def _scope_of(field: Field) -> Scope:
    if not isinstance(field, Intrinsic):
        return field.scope
    (level,) = field.levels
    return Scope.SPAN if level in (Level.TRACE, Level.PARENT) else Scope(level.value)


def name_of(field: Field) -> str:
    """Name a field in an answer: an attribute without its scope, an intrinsic canonically."""
    return field.text if isinstance(field, Intrinsic) else field.name
