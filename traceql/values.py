"""The values of the language: their types, order, arithmetic and text.

Nil is no value here: it occurs only in ``= nil`` and ``!= nil``, which are nodes of their own.
Arrays occur only in data. Times of the type duration are int64 nanoseconds.

Source: TraceQL reference, "numbers", "durations", "strings", "values", "comparison", "arithmetic".
"""

from __future__ import annotations

import enum
import math
from collections.abc import Callable
from dataclasses import dataclass

INT_MIN = -(2**63)
INT_MAX = 2**63 - 1


class ValueType(enum.StrEnum):
    """Static types of expressions; ATTRIBUTE is a type that is known only at run time."""

    STRING = "string"
    INT = "int"
    FLOAT = "float"
    BOOLEAN = "boolean"
    DURATION = "duration"
    STATUS = "status"
    KIND = "kind"
    NIL = "nil"
    ATTRIBUTE = "attribute"

    @property
    def is_numeric(self) -> bool:
        """Whether values of this type compare with and add to each other."""
        return self in _NUMERIC


_NUMERIC = frozenset({ValueType.INT, ValueType.FLOAT, ValueType.DURATION})


class Status(enum.StrEnum):
    """Status of a span; ``code`` is the number that OTLP sends."""

    UNSET = "unset"
    OK = "ok"
    ERROR = "error"

    @property
    def code(self) -> int:
        """The number of OTLP: unset 0, ok 1, error 2."""
        return _STATUS_CODES[self]


class Kind(enum.StrEnum):
    """Kind of a span; ``code`` is the number that OTLP sends."""

    UNSPECIFIED = "unspecified"
    INTERNAL = "internal"
    SERVER = "server"
    CLIENT = "client"
    PRODUCER = "producer"
    CONSUMER = "consumer"

    @property
    def code(self) -> int:
        """The number of OTLP: unspecified 0 … consumer 5."""
        return _KIND_CODES[self]


_STATUS_CODES = {status: code for code, status in enumerate(Status)}
_KIND_CODES = {kind: code for code, kind in enumerate(Kind)}


@dataclass(frozen=True, slots=True)
class String:
    """A text. Bytes that are not UTF-8 (``\\xff``) are kept as surrogate escapes."""

    value: str

    @property
    def type(self) -> ValueType:
        return ValueType.STRING


@dataclass(frozen=True, slots=True)
class Int:
    """A signed 64-bit integer."""

    value: int

    def __post_init__(self) -> None:
        assert INT_MIN <= self.value <= INT_MAX, self.value

    @property
    def type(self) -> ValueType:
        return ValueType.INT


@dataclass(frozen=True, slots=True, eq=False)
class Float:
    """A 64-bit float. As a part of a query NaN equals NaN, and 0.0 differs from -0.0."""

    value: float

    @property
    def type(self) -> ValueType:
        return ValueType.FLOAT

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Float) and float_text(self.value) == float_text(other.value)

    def __hash__(self) -> int:
        return hash((Float, float_text(self.value)))


@dataclass(frozen=True, slots=True)
class Bool:
    """True or false."""

    value: bool

    @property
    def type(self) -> ValueType:
        return ValueType.BOOLEAN


@dataclass(frozen=True, slots=True)
class Duration:
    """A signed time in nanoseconds, 64 bit."""

    value: int

    def __post_init__(self) -> None:
        assert INT_MIN <= self.value <= INT_MAX, self.value

    @property
    def type(self) -> ValueType:
        return ValueType.DURATION


@dataclass(frozen=True, slots=True)
class StatusValue:
    """A status word."""

    value: Status

    @property
    def type(self) -> ValueType:
        return ValueType.STATUS


@dataclass(frozen=True, slots=True)
class KindValue:
    """A kind word."""

    value: Kind

    @property
    def type(self) -> ValueType:
        return ValueType.KIND


Value = String | Int | Float | Bool | Duration | StatusValue | KindValue
Number = Int | Float | Duration


def word_value(word: str) -> Value | None:
    """Get the value of a literal word (``true``, ``ok``, ``server``, ``minInt`` …)."""
    return _WORDS.get(word)


_WORDS: dict[str, Value] = {
    "true": Bool(True),
    "false": Bool(False),
    "minInt": Int(INT_MIN),
    "maxInt": Int(INT_MAX),
    **{status.value: StatusValue(status) for status in Status},
    **{kind.value: KindValue(kind) for kind in Kind},
}
LITERAL_WORDS: tuple[str, ...] = tuple(_WORDS)


def float_text(value: float) -> str:
    """Print a float: shortest form that reads back, ``.0`` appended to whole numbers."""
    if math.isnan(value):
        return "NaN"
    if math.isinf(value):
        return "+Inf" if value > 0 else "-Inf"
    text = repr(value)
    mantissa, _, exponent = text.partition("e")
    if not exponent:
        return text
    return f"{mantissa.removesuffix('.0')}e{exponent}"


def duration_text(ns: int) -> str:
    """Print nanoseconds as ``1h30m0s``, ``1.5s``, ``250ms``, ``10µs``, ``0s``.

    Source: ``time.Duration.String`` of Go, whose text is part of the wire format.
    """
    if ns == 0:
        return "0s"
    sign, rest = ("-", -ns) if ns < 0 else ("", ns)
    for unit, size in (("ns", 1), ("µs", 10**3), ("ms", 10**6)):
        if rest < size * 1000:
            return f"{sign}{_decimal(rest, size)}{unit}"
    minutes, seconds_ns = divmod(rest, 60 * 10**9)
    seconds = f"{_decimal(seconds_ns, 10**9)}s"
    if minutes == 0:
        return sign + seconds
    hours, minutes = divmod(minutes, 60)
    return f"{sign}{hours}h{minutes}m{seconds}" if hours else f"{sign}{minutes}m{seconds}"


def value_text(value: Value) -> str:
    """Print a value as results, labels and tag values show it: strings without quotes."""
    match value:
        case Bool():
            return "true" if value.value else "false"
        case Float():
            return float_text(value.value)
        case Duration():
            return duration_text(value.value)
        case _:
            return str(value.value)


def compare_values(symbol: str, left: Value, right: Value) -> bool | None:
    """Compare two values by ``= != < <= > >=``; None if their types do not allow it."""
    if left.type.is_numeric and right.type.is_numeric:
        exact = not isinstance(left, Float) and not isinstance(right, Float)
        if isinstance(left, Int) != isinstance(right, Int) and symbol not in {"=", "!="}:
            exact = False
        a, b = (left.value, right.value) if exact else (float(left.value), float(right.value))
        return _COMPARE[symbol](a, b)
    if left.type is not right.type:
        return None
    if isinstance(left, String) and isinstance(right, String):
        return _COMPARE[symbol](to_bytes(left.value), to_bytes(right.value))
    if symbol not in {"=", "!="}:
        return None
    return (left.value == right.value) == (symbol == "=")


def calculate(symbol: str, left: Value, right: Value) -> Value | None:
    """Apply ``+ - * / % ^``; None if there is no result (integer division by zero, no numbers).

    Two ints give an int that wraps at 64 bits; every other pair of numbers gives a float, with
    durations as nanoseconds.
    """
    if not (left.type.is_numeric and right.type.is_numeric):
        return None
    if isinstance(left, Int) and isinstance(right, Int):
        return _calculate_ints(symbol, left.value, right.value)
    return Float(_calculate_floats(symbol, float(left.value), float(right.value)))


def negate(value: Value) -> Value | None:
    """Apply the unary minus; None if the value is no number."""
    match value:
        case Int():
            return Int(wrap(-value.value))
        case Duration():
            return Duration(wrap(-value.value))
        case Float():
            return Float(-value.value)
        case _:
            return None


def wrap(number: int) -> int:
    """Bring a whole number into 64 bits as two's complement does."""
    return (number - INT_MIN) % 2**64 + INT_MIN


def to_bytes(text: str) -> bytes:
    """Get the bytes of a string value, surrogate escapes included."""
    return text.encode("utf-8", "surrogateescape")


_COMPARE: dict[str, Callable[[object, object], bool]] = {
    "=": lambda a, b: a == b,
    "!=": lambda a, b: a != b,
    "<": lambda a, b: a < b,  # type: ignore[operator]  # callers pass two of one kind
    "<=": lambda a, b: a <= b,  # type: ignore[operator]  # as above
    ">": lambda a, b: a > b,  # type: ignore[operator]  # as above
    ">=": lambda a, b: a >= b,  # type: ignore[operator]  # as above
}


def _calculate_ints(symbol: str, left: int, right: int) -> Value | None:
    match symbol:
        case "+":
            return Int(wrap(left + right))
        case "-":
            return Int(wrap(left - right))
        case "*":
            return Int(wrap(left * right))
        case "^":
            power = _calculate_floats("^", float(left), float(right))
            inside = -(2.0**63) <= power < 2.0**63
            return Int(int(power)) if inside else None
    if right == 0:
        return None
    quotient = abs(left) // abs(right)
    if (left < 0) != (right < 0):
        quotient = -quotient
    return Int(wrap(quotient if symbol == "/" else left - quotient * right))


def _calculate_floats(symbol: str, left: float, right: float) -> float:
    match symbol:
        case "+":
            return left + right
        case "-":
            return left - right
        case "*":
            return left * right
        case "/":
            if right != 0:
                return left / right
            if left == 0 or math.isnan(left):
                return math.nan
            return math.copysign(math.inf, left) * math.copysign(1.0, right)
        case "%":
            undefined = right == 0 or math.isinf(left) or math.isnan(left)
            return math.nan if undefined else math.fmod(left, right)
    return _power(left, right)


def _power(base: float, exponent: float) -> float:
    """``pow`` of C: infinities and NaN where Python raises."""
    odd = exponent.is_integer() and exponent % 2 == 1
    try:
        return math.pow(base, exponent)
    except OverflowError:
        return -math.inf if base < 0 and odd else math.inf
    except ValueError:
        if base != 0:
            return math.nan
        return math.copysign(math.inf, base) if odd else math.inf


def _decimal(number: int, unit: int) -> str:
    """Print ``number / unit`` without trailing zeros."""
    whole, fraction = divmod(number, unit)
    if fraction == 0:
        return str(whole)
    digits = str(fraction).rjust(len(str(unit)) - 1, "0").rstrip("0")
    return f"{whole}.{digits}"
