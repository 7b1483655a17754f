"""Arithmetic and comparison of constants."""

from __future__ import annotations

import math

import pytest

from traceql.values import (
    INT_MAX,
    INT_MIN,
    Bool,
    Duration,
    Float,
    Int,
    String,
    Value,
    calculate,
    compare_values,
    negate,
)


@pytest.mark.parametrize(
    ("left", "symbol", "right", "result"),
    [
        (Int(7), "/", Int(2), Int(3)),
        (Int(-7), "/", Int(2), Int(-3)),
        (Int(-7), "%", Int(3), Int(-1)),
        (Int(7), "%", Int(-3), Int(1)),
        (Int(2), "^", Int(3), Int(8)),
        (Int(2), "^", Int(-1), Int(0)),
        (Int(2), "^", Int(63), None),
        (Int(1), "/", Int(0), None),
        (Int(1), "%", Int(0), None),
        (Int(INT_MAX), "+", Int(1), Int(INT_MIN)),
        (Int(INT_MIN), "/", Int(-1), Int(INT_MIN)),
        (Int(1), "/", Float(0.0), Float(math.inf)),
        (Float(-1.0), "/", Int(0), Float(-math.inf)),
        (Float(0.0), "/", Int(0), Float(math.nan)),
        (Float(5.5), "%", Int(2), Float(1.5)),
        (Float(1.0), "%", Int(0), Float(math.nan)),
        (Duration(10), "/", Duration(4), Float(2.5)),
        (Duration(1), "*", Int(2), Float(2.0)),
        (Float(0.0), "^", Int(-1), Float(math.inf)),
        (Float(-8.0), "^", Float(0.5), Float(math.nan)),
        (Float(1e200), "^", Int(2), Float(math.inf)),
        (String("a"), "+", Int(1), None),
    ],
)
def test_arithmetic(left: Value, symbol: str, right: Value, result: Value | None) -> None:
    assert calculate(symbol, left, right) == result


@pytest.mark.parametrize(
    ("left", "symbol", "right", "result"),
    [
        (Int(1), "=", Float(1.0), True),
        (Int(2**53 + 1), "=", Int(2**53), False),
        (Duration(2**53 + 1), "=", Int(2**53), False),
        (Float(math.nan), "!=", Float(math.nan), True),
        (Float(math.nan), "<=", Float(math.nan), False),
        (String("a"), "<", String("é"), True),
        (String("1"), "=", Int(1), None),
        (Bool(True), "!=", Bool(False), True),
        (Bool(True), "<", Bool(False), None),
    ],
)
def test_comparison(left: Value, symbol: str, right: Value, result: bool | None) -> None:
    assert compare_values(symbol, left, right) is result


def test_the_minus_keeps_the_type_and_wraps() -> None:
    assert negate(Int(INT_MIN)) == Int(INT_MIN)
    assert negate(Duration(5)) == Duration(-5)
    assert negate(Float(0.0)) == Float(-0.0) != Float(0.0)
    assert negate(Bool(True)) is None
