"""Tree -> canonical text: every operation in parentheses, constants folded, names canonical.

``parse(render(x)) == x`` for every tree that ``parse`` makes. Nodes made by rewrites have no text
of their own: they print as the chain they stand for. Labels and spanset attributes of results show
this text (``by(duration > 1s)``).

Source: TraceQL reference, "parsing: canonical trees", "labels".
"""

from __future__ import annotations

import math

from traceql import nodes
from traceql.literals import string_text
from traceql.nodes import FieldExpression, Node
from traceql.operators import Operator
from traceql.values import INT_MIN, Float, Int, String, Value, value_text


def render(node: Node) -> str:
    """Write any node as canonical text."""
    match node:
        case nodes.Query():
            return " ".join([render(node.body), *_hints(node)])
        case nodes.MetricsQuery():
            text = f"{_stages(node.pipeline)} | {render(node.function)}"
            return _with_second(text, node.second)
        case nodes.MetricsMath():
            left, right = _math_operand(node.left), _math_operand(node.right)
            text = f"{left} {node.operator.value} {right}"
            return _with_second(text, node.second)
        case nodes.Pipeline():
            return _stages(node) if len(node.stages) > 1 else render(node.stages[0])
        case nodes.MetricsAggregate() | nodes.Compare() | nodes.TopK() | nodes.Threshold():
            return _metric(node)
        case nodes.Hint():
            return f"{node.name}={literal_text(node.value)}"
        case (
            nodes.Filter()
            | nodes.SpansetOperation()
            | nodes.ScalarFilter()
            | nodes.GroupBy()
            | nodes.Coalesce()
            | nodes.Select()
        ):
            return _stage(node)
        case nodes.Aggregate() | nodes.ScalarArithmetic() | nodes.ScalarPipe():
            return _scalar(node)
        case _:
            return _field(node)


def literal_text(value: Value) -> str:
    """Write a literal so that it reads back: strings quoted, the smallest int as ``minInt``."""
    match value:
        case String():
            return string_text(value.value)
        case Int() if value.value == INT_MIN:
            return "minInt"
        case Float() if math.isnan(value.value):
            return "(0 / 0.0)"
        case Float() if math.isinf(value.value):
            return "(1 / 0.0)" if value.value > 0 else "(-1 / 0.0)"
        case _:
            return value_text(value)


def _number_text(value: Value) -> str:
    """Write a number where ``minInt`` is no number: outside field expressions."""
    is_least = isinstance(value, Int) and value.value == INT_MIN
    return f"({INT_MIN + 1} - 1)" if is_least else literal_text(value)


# --- field expressions ---------------------------------------------------------------------------


def _field(node: Node) -> str:
    match node:
        case nodes.Literal():
            return literal_text(node.value)
        case nodes.Reference():
            return node.field.text
        case nodes.Unary():
            return f"{node.operator.value}{_operand(node.operand)}"
        case nodes.Binary():
            left = _operand(node.left)
            if node.operator.level > Operator.SUB.level and left.startswith("-"):
                left = f"({left})"
            return f"{left} {node.operator.value} {_operand(node.right)}"
        case nodes.Logical():
            return _chain(node.operator, [_operand(operand) for operand in node.operands])
        case nodes.Exists():
            return f"{_operand(node.operand)} {'=' if node.negated else '!='} nil"
        case nodes.OneOf():
            equal, join = (
                (Operator.NE, Operator.AND) if node.negated else (Operator.EQ, Operator.OR)
            )
            literals = [literal_text(value) for value in node.values]
            return _comparisons(node.operand, equal, literals, join)
        case nodes.MatchesAny():
            operator, join = (
                (Operator.NOT_MATCH, Operator.AND)
                if node.negated
                else (Operator.MATCH, Operator.OR)
            )
            literals = [string_text(pattern) for pattern in node.patterns]
            return _comparisons(node.operand, operator, literals, join)
    raise AssertionError(f"no text for {type(node).__name__}")


def _operand(node: FieldExpression) -> str:
    text = _field(node)
    return text if isinstance(node, nodes.Literal | nodes.Reference) else f"({text})"


def _chain(operator: Operator, operands: list[str]) -> str:
    """Join left to right, ``((a && b) && c) && d``.

    Cost: linear; the opening parentheses are counted beforehand.
    """
    symbol = operator.value
    inner = [f" {symbol} {operand})" for operand in operands[1:-1]]
    return "".join(["(" * len(inner), operands[0], *inner, f" {symbol} {operands[-1]}"])


def _comparisons(
    operand: nodes.Reference, operator: Operator, literals: list[str], join: Operator
) -> str:
    parts = [f"{operand.field.text} {operator.value} {literal}" for literal in literals]
    return parts[0] if len(parts) == 1 else _chain(join, [f"({part})" for part in parts])


# --- spansets and pipelines ----------------------------------------------------------------------


def _stages(pipeline: nodes.Pipeline) -> str:
    """Write the stages of a pipeline that has more behind it, or several."""
    return " | ".join(
        f"({_stage(stage)})"
        if isinstance(stage, nodes.SpansetOperation | nodes.ScalarFilter)
        else _stage(stage)
        for stage in pipeline.stages
    )


def _stage(stage: nodes.Stage) -> str:
    match stage:
        case nodes.Filter():
            return f"{{ {_field(stage.expression)} }}"
        case nodes.SpansetOperation():
            return f"({render(stage.left)}) {stage.operator.value} ({render(stage.right)})"
        case nodes.ScalarFilter():
            left, right = _scalar_operand(stage.left), _scalar_operand(stage.right)
            return f"{left} {stage.operator.value} {right}"
        case nodes.GroupBy():
            return f"by({_field(stage.expression)})"
        case nodes.Coalesce():
            return "coalesce()"
        case nodes.Select():
            return f"select({_fields(stage.fields)})"


def _scalar(node: nodes.Scalar) -> str:
    match node:
        case nodes.Literal():
            return _number_text(node.value)
        case nodes.Aggregate():
            operand = "" if node.operand is None else _field(node.operand)
            return f"{node.function.value}({operand})"
        case nodes.ScalarArithmetic():
            left, right = _scalar_operand(node.left), _scalar_operand(node.right)
            return f"{left} {node.operator.value} {right}"
        case nodes.ScalarPipe():
            return f"({_stages(node.pipeline)} | {_scalar(node.aggregate)})"


def _scalar_operand(node: nodes.Scalar) -> str:
    text = _scalar(node)
    return f"({text})" if isinstance(node, nodes.ScalarArithmetic) else text


# --- metrics -------------------------------------------------------------------------------------


def _metric(
    node: nodes.MetricsAggregate | nodes.Compare | nodes.TopK | nodes.Threshold,
) -> str:
    match node:
        case nodes.MetricsAggregate():
            arguments = [] if node.measured is None else [node.measured.field.text]
            arguments += [value_text(Float(quantile)) for quantile in node.quantiles]
            by = f" by({_fields(node.by)})" if node.by else ""
            return f"{node.function.value}({', '.join(arguments)}){by}"
        case nodes.Compare():
            window = f", {node.start_ns}, {node.end_ns}" if node.start_ns or node.end_ns else ""
            return f"compare({_stage(node.selection)}, {node.top_n}{window})"
        case nodes.TopK():
            return f"{'bottomk' if node.smallest else 'topk'}({node.count})"
        case nodes.Threshold():
            return f"{node.operator.value} {_number_text(node.value)}"


def _math_operand(node: nodes.MathOperand) -> str:
    return f"({_number_text(node.value) if isinstance(node, nodes.Literal) else render(node)})"


def _with_second(text: str, second: tuple[nodes.SecondStage, ...]) -> str:
    for stage in second:
        if isinstance(stage, nodes.TopK):
            text = f"{text} | {_metric(stage)}"
        else:
            text = f"({text}) {_metric(stage)}"
    return text


def _fields(references: tuple[nodes.Reference, ...]) -> str:
    return ", ".join(reference.field.text for reference in references)


def _hints(query: nodes.Query) -> list[str]:
    return [f"with({', '.join(render(hint) for hint in query.hints)})"] if query.hints else []
