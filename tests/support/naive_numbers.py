"""Values of the language as Python objects, and arithmetic. Source: TraceQL reference, 4.8."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Value:
    """A run-time value: int, float, string, bool, duration, status, kind or list (of Values)."""

    type: str
    value: Any


NIL = Value("nil", None)
NUMERIC = {"int", "float", "duration"}

INT_MIN, INT_MAX = -(2**63), 2**63 - 1


def wrap(value: int) -> int:
    """Keep the low 64 bits, signed."""
    return (value - INT_MIN) % 2**64 + INT_MIN


def negated(value: Value) -> Value:
    """Prefix minus keeps the type."""
    if value.type not in NUMERIC:
        return NIL
    number = -value.value
    return Value(value.type, number if value.type == "float" else wrap(number))


def calculate(left: Value, symbol: str, right: Value) -> Value:
    """Int with int stays int; any other mix of numbers is a float; all else is nil."""
    if left.type not in NUMERIC or right.type not in NUMERIC:
        return NIL
    if left.type == right.type == "int":
        number = _ints(left.value, symbol, right.value)
        return NIL if number is None else Value("int", number)
    return Value("float", _floats(float(left.value), symbol, float(right.value)))


def _ints(left: int, symbol: str, right: int) -> int | None:
    match symbol:
        case "+":
            return wrap(left + right)
        case "-":
            return wrap(left - right)
        case "*":
            return wrap(left * right)
        case "^":
            power = _floats(float(left), "^", float(right))
            fits = not math.isnan(power) and INT_MIN <= power < -float(INT_MIN)
            return int(power) if fits else None
    if right == 0:
        return None
    quotient = abs(left) // abs(right)
    quotient = quotient if (left < 0) == (right < 0) else -quotient
    return wrap(quotient) if symbol == "/" else left - quotient * right


def _floats(left: float, symbol: str, right: float) -> float:
    try:
        match symbol:
            case "+":
                return left + right
            case "-":
                return left - right
            case "*":
                return left * right
            case "/":
                return left / right
            case "%":
                return math.fmod(left, right)
        return math.pow(left, right)
    except ZeroDivisionError:
        zero_sign = math.copysign(1, right)
        return (
            math.nan if left == 0 or math.isnan(left) else math.copysign(math.inf, left) * zero_sign
        )
    except OverflowError:
        odd = right.is_integer() and right % 2 == 1
        return -math.inf if left < 0 and odd else math.inf
    except ValueError:
        if symbol == "^" and left == 0:  # zero to a negative power
            odd = right.is_integer() and right % 2 == 1
            return math.copysign(math.inf, left) if odd else math.inf
        return math.nan
