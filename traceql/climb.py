"""Precedence climbing without recursion: a flat sequence of operators and operands -> one operand.

What the operands are and how two of them join is the caller's business (``fold.py``); here is only
the order in which they do. A prefix operator takes as operand all to its right that binds tighter
than ``absorbs``; a binary operator of level n takes the same with n + 1, or n if it associates to
the right.

Source: TraceQL reference, "precedence and associativity", "a parser that agrees".
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Generic, TypeVar

from traceql.operators import Operator

T = TypeVar("T")


@dataclass(slots=True)
class _Waiting(Generic[T]):
    """An operator whose right operand is not complete."""

    absorbs: int
    join: Callable[[T], T] | Callable[[T, T], T]
    is_prefix: bool


@dataclass(slots=True)
class Climber(Generic[T]):
    """The stacks of one sequence; feed it left to right, then take the result.

    Cost: O(n) joins for n operators; the stacks hold at most n entries.
    """

    _operands: list[T] = field(default_factory=list)
    _waiting: list[_Waiting[T]] = field(default_factory=list)

    def prefix(self, absorbs: int, join: Callable[[T], T]) -> None:
        """Take a prefix operator."""
        self._waiting.append(_Waiting(absorbs, join, is_prefix=True))

    def operand(self, operand: T) -> None:
        """Take an operand."""
        self._operands.append(operand)

    def binary(self, operator: Operator, join: Callable[[T, T], T]) -> None:
        """Take a binary operator."""
        self._settle(operator.level)
        absorbs = operator.level + (operator is not Operator.POW)
        self._waiting.append(_Waiting(absorbs, join, is_prefix=False))

    def postfix(self, level: int, join: Callable[[T], T]) -> None:
        """Take an operator that stands behind its operand, as ``= nil`` does."""
        self._settle(level)
        self._operands.append(join(self._operands.pop()))

    def result(self) -> T:
        """Join what is left."""
        self._settle(0)
        (operand,) = self._operands
        return operand

    def _settle(self, level: int) -> None:
        """Join all waiting operators that do not absorb an operator of this level."""
        while self._waiting and level < self._waiting[-1].absorbs:
            waiting = self._waiting.pop()
            right = self._operands.pop()
            if waiting.is_prefix:
                self._operands.append(waiting.join(right))  # type: ignore[call-arg]  # by is_prefix
            else:
                left = self._operands.pop()
                self._operands.append(waiting.join(left, right))  # type: ignore[call-arg]  # as above
