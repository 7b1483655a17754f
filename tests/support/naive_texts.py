"""Canonical texts of expressions and values, as spanset attributes show them.

Source: TraceQL reference, 1.3, 4.1, 5.5, 8.3.
"""

from __future__ import annotations

import json
import math
import re
from typing import Any

from support.naive_numbers import INT_MIN, Value
from support.naive_traceql import literal_value

from traceql import nodes
from traceql.attributes import Field, Intrinsic

UNITS = [("h", 3600 * 10**9), ("m", 60 * 10**9), ("s", 10**9)]
SMALL_UNITS = [("s", 10**9), ("ms", 10**6), ("µs", 10**3), ("ns", 1)]


PLAIN_NAME = r"(?!(?:parent|resource|span|event|link|instrumentation)\.)[^\W\d][\w.]*"


def text_of(node: nodes.FieldExpression | nodes.Scalar) -> str:
    """Write an expression or an aggregate, what is inside in parentheses."""
    match node:
        case nodes.Literal():
            return _literal(literal_value(node))
        case nodes.Reference():
            return _name(node.field)
        case nodes.Unary():
            return f"{node.operator.value}{_inner(node.operand)}"
        case nodes.Binary():
            left = _inner(node.left)
            if left.startswith("-") and node.operator.value in "*/%^":
                left = f"({left})"
            return f"{left} {node.operator.value} {_inner(node.right)}"
        case nodes.Exists():
            return f"{_inner(node.operand)} {'=' if node.negated else '!='} nil"
        case nodes.Logical():
            text = _inner(node.operands[0])
            for number, operand in enumerate(node.operands[1:]):
                left = f"({text})" if number else text
                text = f"{left} {node.operator.value} {_inner(operand)}"
            return text
        case nodes.Aggregate():
            return f"{node.function.value}({text_of(node.operand) if node.operand else ''})"
        case nodes.ScalarPipe():
            stages = [*map(_stage, node.pipeline.stages), text_of(node.aggregate)]
            return f"({' | '.join(stages)})"
        case nodes.ScalarArithmetic():
            return f"{_scalar(node.left)} {node.operator.value} {_scalar(node.right)}"
    raise AssertionError(f"no text of {node}")


def _name(field: Field) -> str:
    if isinstance(field, Intrinsic):
        return field.value
    scope = f"{field.scope.value}."
    if field.of_parent:
        scope = "parent." if scope == "." else f"parent.{scope}"
    if re.fullmatch(PLAIN_NAME, field.name):
        return scope + field.name
    quoted = field.name.replace("\\", "\\\\").replace('"', '\\"')
    return f'{scope}"{quoted}"'


def _stage(stage: Any) -> str:
    """Write a stage of a pipeline that has several."""
    is_joined = isinstance(stage, nodes.SpansetOperation | nodes.ScalarFilter)
    return f"({_alone(stage)})" if is_joined else _alone(stage)


def _alone(node: Any) -> str:
    match node:
        case nodes.Pipeline(stages=(one,)):
            return _alone(one)
        case nodes.Pipeline():
            return " | ".join(map(_stage, node.stages))
        case nodes.Filter():
            return f"{{ {text_of(node.expression)} }}"
        case nodes.SpansetOperation():
            return f"({_alone(node.left)}) {node.operator.value} ({_alone(node.right)})"
        case nodes.GroupBy():
            return f"by({text_of(node.expression)})"
        case nodes.Select():
            return f"select({', '.join(map(text_of, node.fields))})"
        case nodes.ScalarFilter():
            return f"{_scalar(node.left)} {node.operator.value} {_scalar(node.right)}"
    return "coalesce()"


def _scalar(node: nodes.Scalar) -> str:
    return f"({text_of(node)})" if isinstance(node, nodes.ScalarArithmetic) else text_of(node)


def _literal(value: Value) -> str:
    if value.type == "string":
        return json.dumps(value.value, ensure_ascii=False)
    if value == Value("int", INT_MIN):
        return "minInt"
    if value.type == "float" and not math.isfinite(value.value):
        return "(0 / 0.0)" if math.isnan(value.value) else f"({'-' * (value.value < 0)}1 / 0.0)"
    return str(shown(value)).lower()


def _inner(node: nodes.FieldExpression) -> str:
    text = text_of(node)
    return text if isinstance(node, nodes.Literal | nodes.Reference) else f"({text})"


def shown(value: Value) -> str | int | float | bool | tuple[str | int | float | bool, ...]:
    """Turn a value into what an answer shows: durations, status and kind as text."""
    match value.type:
        case "list":
            return tuple(element.value for element in value.value)
        case "duration":
            return duration_text(value.value)
        case "nil":
            return "nil"
    plain: str | int | float | bool = value.value
    return plain


def duration_text(ns: int) -> str:
    """Write a duration as Go does: ``1m0.5s``, but ``500ms``."""
    if ns < 0:
        return "-" + duration_text(-ns)
    if ns < 10**9:
        unit, size = next(each for each in SMALL_UNITS if ns >= each[1] or each[1] == 1)
        return f"{_decimal(ns, size)}{unit}" if ns else "0s"
    text = ""
    for unit, size in UNITS:
        if unit == "s":
            return f"{text}{_decimal(ns, size)}s"
        if ns >= size or text:
            text += f"{ns // size}{unit}"
            ns %= size
    raise AssertionError


def _decimal(ns: int, size: int) -> str:
    whole, rest = divmod(ns, size)
    digits = len(str(size)) - 1
    return f"{whole}.{rest:0{digits}}".rstrip("0").rstrip(".") if rest else str(whole)
