"""Field expressions: the flat sequence that the grammar yields -> a tree, constants evaluated.

Source: TraceQL reference, "precedence and associativity", "constants", "a parser that agrees".
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial

from lark import Token

from traceql.climb import Climber
from traceql.constants import fold_binary, fold_exists, fold_logical_pair, fold_unary
from traceql.errors import ParseError, SourceRange
from traceql.nodes import (
    DEPTH_MAX,
    PARENTHESES_MAX,
    Binary,
    Exists,
    FieldExpression,
    Literal,
    Logical,
    Unary,
)
from traceql.operands import operand_node, token_range
from traceql.operators import LOGICAL, Operator
from traceql.values import Bool

_PREFIXES = {"MINUS": 5, "NOT": 6}
"""Prefix operators, and the loosest level that each absorbs."""
_NIL_ABSORBS = 4


@dataclass(slots=True)
class Part:
    """A field expression on its way to become a tree.

    Attributes:
        node: the tree, unless ``chain`` is set.
        depth: height of the tree.
        at: the text it comes from.
        chain: operands of a chain of ``operator`` that may still grow; a list, since joining tuples
            one by one would take quadratic time for long chains.
        parentheses: pairs directly around it.
    """

    node: FieldExpression
    depth: int
    at: SourceRange
    operator: Operator | None = None
    chain: list[FieldExpression] | None = None
    parentheses: int = 0

    def close(self) -> FieldExpression:
        """Get the finished tree."""
        if self.chain is not None:
            assert self.operator is not None
            self.node = Logical(self.operator, tuple(self.chain), at=self.at)
            self.chain = None
        return self.node


def fold_field(items: Sequence[Part | Token]) -> Part:
    """Give a flat field expression its shape.

    Args:
        items: what stands in parentheses as parts, all else as tokens, in grammatical order.

    Raises:
        ParseError: ``nil`` stands where it has no meaning, a literal or name is wrong, or the tree
            is too deep.
    """
    climber: Climber[Part] = Climber()
    index = 0
    wants_operand = True
    while index < len(items):
        item = items[index]
        if not wants_operand:
            assert isinstance(item, Token)
            if item.type == "EQUALITY" and _is_nil(items, index + 1):
                nil = items[index + 1]
                assert isinstance(nil, Token)
                climber.postfix(Operator.EQ.level, partial(_join_exists_behind, item, nil))
                index += 1
            else:
                climber.binary(Operator(item.value), partial(_join_binary, item))
                wants_operand = True
        elif isinstance(item, Part):
            climber.operand(item)
            wants_operand = False
        elif item.type == "NIL":
            index += 1
            wants_operand = _take_nil(items, index, climber)
            index += not wants_operand
        elif item.type in _PREFIXES:
            climber.prefix(_PREFIXES[item.type], partial(_join_unary, item))
        else:
            climber.operand(Part(operand_node(item), 1, token_range(item)))
            wants_operand = False
        index += 1
    return climber.result()


def check_depth(depth: int, at: SourceRange) -> None:
    """Refuse a tree that later passes could not walk by recursion.

    Raises:
        ParseError: it is deeper than ``DEPTH_MAX``.
    """
    if depth > DEPTH_MAX:
        raise ParseError(f"expression is nested deeper than {DEPTH_MAX} levels", at=at)


def count_parentheses(around: int, at: SourceRange) -> int:
    """Add a pair of parentheses to those that stand around something already.

    Raises:
        ParseError: nobody writes so many.
    """
    if around >= PARENTHESES_MAX:
        raise ParseError(f"more than {PARENTHESES_MAX} parentheses around one expression", at=at)
    return around + 1


def _is_nil(items: Sequence[Part | Token], index: int) -> bool:
    if index >= len(items):
        return False
    item = items[index]
    return isinstance(item, Token) and item.type == "NIL"


def _take_nil(items: Sequence[Part | Token], index: int, climber: Climber[Part]) -> bool:
    """Take ``nil =`` at ``index - 1``; tell whether its right operand is still to come."""
    nil = items[index - 1]
    assert isinstance(nil, Token)
    operator = items[index] if index < len(items) else None
    if not isinstance(operator, Token) or operator.type != "EQUALITY":
        raise ParseError(
            "nil can only be compared, by = or !=", at=token_range(nil), hint="try != nil"
        )
    if _is_nil(items, index + 1):
        second = items[index + 1]
        assert isinstance(second, Token)
        at = SourceRange(token_range(nil).start, token_range(second).end)
        climber.operand(Part(Literal(Bool(False), at=at), 1, at))
        return False
    climber.prefix(_NIL_ABSORBS, partial(_join_exists_before, nil, operator))
    return True


def _join_unary(token: Token, operand: Part) -> Part:
    at = SourceRange(token_range(token).start, operand.at.end)
    operator = Operator(token.value)
    node = fold_unary(Unary(operator, operand.close(), at=at))
    return _part(node, operand.depth + 1, at)


def _join_exists_before(nil: Token, operator: Token, operand: Part) -> Part:
    at = SourceRange(token_range(nil).start, operand.at.end)
    return _exists(operator, operand, at)


def _join_exists_behind(operator: Token, nil: Token, operand: Part) -> Part:
    return _exists(operator, operand, SourceRange(operand.at.start, token_range(nil).end))


def _exists(operator: Token, operand: Part, at: SourceRange) -> Part:
    node = fold_exists(Exists(operand.close(), negated=operator.value == "=", at=at))
    return _part(node, operand.depth + 1, at)


def _join_binary(token: Token, left: Part, right: Part) -> Part:
    at = SourceRange(left.at.start, right.at.end)
    operator = Operator(token.value)
    if operator in LOGICAL:
        return _join_logical(operator, left, right, at)
    node = fold_binary(Binary(operator, left.close(), right.close(), at=at))
    return _part(node, max(left.depth, right.depth) + 1, at)


def _join_logical(operator: Operator, left: Part, right: Part, at: SourceRange) -> Part:
    if left.chain is not None and left.operator is operator:
        left.chain.append(right.close())
        left.depth = max(left.depth, right.depth + 1)
        left.at = at
        check_depth(left.depth, at)
        return left
    first, second = left.close(), right.close()
    constant = fold_logical_pair(operator, first, second)
    if constant is not None:
        return Part(Literal(constant.value, at=at), 1, at)
    spliced = isinstance(first, Logical) and first.operator is operator
    depth = max(left.depth + (not spliced), right.depth + 1)
    check_depth(depth, at)
    chain = list(first.operands) if spliced and isinstance(first, Logical) else [first]
    return Part(first, depth, at, operator, [*chain, second])


def _part(node: FieldExpression, depth: int, at: SourceRange) -> Part:
    if isinstance(node, Literal):
        return Part(node, 1, at)
    check_depth(depth, at)
    return Part(node, depth, at)
