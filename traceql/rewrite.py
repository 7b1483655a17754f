"""Rewrites of field expressions that keep the meaning and make planning and evaluation simpler.

``RULES`` are applied to each node from the leaves up, in order. They rest on these facts: a
comparison is never nil; ``&&`` and ``||`` count what is not boolean as false, so that they are
associative and commutative; a comparison of an array asks for any element, ``!=`` and ``!~`` for
none. What may be nil is not touched where ``!`` could tell the difference.

Source: TraceQL reference, "booleans", "arrays", "rewrites".
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any, TypeVar

from traceql.attributes import Intrinsic
from traceql.constants import fold_binary, fold_exists, fold_unary
from traceql.nodes import (
    Binary,
    Exists,
    FieldExpression,
    Literal,
    Logical,
    MatchesAny,
    Node,
    OneOf,
    Reference,
    Unary,
)
from traceql.operators import REGEX, Operator
from traceql.values import Bool, Float, String, Value, ValueType
from traceql.walk import transform

N = TypeVar("N", bound=Node)


def rewrite(node: N) -> N:
    """Apply all rules to every field expression in a checked tree.

    Cost: O(nodes); the result is a fixed point for trees that the parser makes.
    """
    return transform(node, _apply)


def mirror_literal(node: Binary) -> Binary:
    """``5 < .a`` is ``.a > 5``: literals stand on the right."""
    if node.operator.is_arithmetic or node.operator in REGEX:
        return node
    if isinstance(node.left, Literal) and not isinstance(node.right, Literal):
        return Binary(node.operator.mirror, node.right, node.left, at=node.at)
    return node


def fold_constants(node: Unary | Binary | Exists) -> FieldExpression:
    """Evaluate what other rules have made constant."""
    match node:
        case Unary():
            return fold_unary(node)
        case Binary():
            return fold_binary(node)
        case Exists():
            return fold_exists(node)


def drop_double_negation(node: Unary) -> FieldExpression:
    """``!!e`` is ``e`` if e is never nil."""
    if node.operator is Operator.NOT:
        inner = node.operand
        if isinstance(inner, Unary) and inner.operator is Operator.NOT:
            return inner.operand if is_never_nil(inner.operand) else node
    return node


def flatten_chain(node: Logical) -> FieldExpression:
    """``a && (b && c)`` is ``a && b && c``."""
    operands: list[FieldExpression] = []
    for operand in node.operands:
        is_same = isinstance(operand, Logical) and operand.operator is node.operator
        operands.extend(operand.operands if is_same and isinstance(operand, Logical) else [operand])
    return _logical(node, operands)


def drop_constants(node: Logical) -> FieldExpression:
    """``a && true`` is ``a`` if a is never nil; ``a && false`` is ``false``; ``||`` likewise."""
    neutral = node.operator is Operator.AND
    truths = [_truth(operand) for operand in node.operands]
    if (not neutral) in truths:
        return Literal(Bool(not neutral), at=node.at)
    kept = [
        operand
        for operand, truth in zip(node.operands, truths, strict=True)
        if truth is not neutral
    ]
    if not kept:
        return Literal(Bool(neutral), at=node.at)
    if len(kept) == 1 and not is_never_nil(kept[0]):
        return node
    return _logical(node, kept)


def drop_repeats(node: Logical) -> FieldExpression:
    """``a && a && b`` is ``a && b``."""
    kept = list(dict.fromkeys(node.operands))
    if len(kept) == 1 and not is_never_nil(kept[0]):
        return node
    return _logical(node, kept)


def merge_equalities(node: Logical) -> FieldExpression:
    """``.a = 1 || .a = 2`` is one question, asked where the first stood; ``!=`` with ``&&`` too."""
    wanted = Operator.EQ if node.operator is Operator.OR else Operator.NE

    def key(operand: FieldExpression) -> tuple[Reference, ValueType] | None:
        if not isinstance(operand, Binary) or operand.operator is not wanted:
            return None
        compared = _reference_and_value(operand)
        if compared is None or _is_nan(compared[1]):
            return None
        return compared[0], compared[1].type

    def merged(members: list[FieldExpression]) -> FieldExpression:
        pairs = [_reference_and_value(one) for one in members if isinstance(one, Binary)]
        values = tuple(dict.fromkeys(pair[1] for pair in pairs if pair is not None))
        assert pairs[0] is not None
        return OneOf(pairs[0][0], values, negated=wanted is Operator.NE, at=members[0].at)

    return _merge(node, key, merged)


def merge_matches(node: Logical) -> FieldExpression:
    """``.a =~ "x" || .a =~ "y"`` is one question; ``!~`` with ``&&`` too."""
    wanted = Operator.MATCH if node.operator is Operator.OR else Operator.NOT_MATCH

    def key(operand: FieldExpression) -> Reference | None:
        if not isinstance(operand, Binary) or operand.operator is not wanted:
            return None
        compared = _reference_and_value(operand)
        return None if compared is None else compared[0]

    def merged(members: list[FieldExpression]) -> FieldExpression:
        pairs = [_reference_and_value(one) for one in members if isinstance(one, Binary)]
        texts = [pair[1] for pair in pairs if pair is not None]
        patterns = tuple(dict.fromkeys(text.value for text in texts if isinstance(text, String)))
        assert pairs[0] is not None
        negated = wanted is Operator.NOT_MATCH
        return MatchesAny(pairs[0][0], patterns, negated=negated, at=members[0].at)

    return _merge(node, key, merged)


RULES: tuple[tuple[tuple[type[Node], ...], Callable[[Any], Node]], ...] = (
    ((Binary,), mirror_literal),
    ((Unary, Binary, Exists), fold_constants),
    ((Unary,), drop_double_negation),
    ((Logical,), flatten_chain),
    ((Logical,), drop_constants),
    ((Logical,), drop_repeats),
    ((Logical,), merge_equalities),
    ((Logical,), merge_matches),
)
"""Kinds of nodes and a rule for them, in the order of application."""

_RULED = frozenset(kind for kinds, _ in RULES for kind in kinds)


def is_never_nil(node: Node) -> bool:
    """Whether an expression is true or false on every span."""
    match node:
        case Literal():
            return isinstance(node.value, Bool)
        case Unary():
            return node.operator is Operator.NOT and is_never_nil(node.operand)
        case Binary():
            return not node.operator.is_arithmetic
        case Logical() | Exists() | OneOf() | MatchesAny():
            return True
        case _:
            return False


def _apply(node: Node) -> Node:
    if type(node) not in _RULED:
        return node
    for kinds, rule in RULES:
        if type(node) in kinds:
            node = rule(node)
    return node


def _logical(node: Logical, operands: list[FieldExpression]) -> FieldExpression:
    """Make a chain of the operands that are left; the node itself if these are all."""
    if len(operands) == 1:
        return operands[0]
    changed = len(operands) != len(node.operands)
    return Logical(node.operator, tuple(operands), at=node.at) if changed else node


def _merge(
    node: Logical,
    key: Callable[[FieldExpression], object | None],
    merged: Callable[[list[FieldExpression]], FieldExpression],
) -> FieldExpression:
    """Replace operands of equal key by one, at the place of the first."""
    groups: dict[object, list[FieldExpression]] = {}
    for index, operand in enumerate(node.operands):
        own = key(operand)
        groups.setdefault(("single", index) if own is None else own, []).append(operand)
    return _logical(node, [one[0] if len(one) == 1 else merged(one) for one in groups.values()])


def _reference_and_value(node: Binary) -> tuple[Reference, Value] | None:
    left, right = node.left, node.right
    if not isinstance(left, Reference) or not isinstance(right, Literal):
        return None
    return None if left.field is Intrinsic.ANY else (left, right.value)


def _is_nan(value: Value) -> bool:
    return isinstance(value, Float) and math.isnan(value.value)


def _truth(node: FieldExpression) -> bool | None:
    is_bool = isinstance(node, Literal) and isinstance(node.value, Bool)
    return bool(node.value.value) if is_bool and isinstance(node, Literal) else None
