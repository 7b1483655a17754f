"""Values of PromQL as the JSON of Prometheus' HTTP API.

Source: Prometheus, "HTTP API", web/api/v1/json_codec.go and util/jsonutil.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from typing import Any, Final, Protocol

TRACE_LABEL: Final = "traceID"
"""Of exemplars, as the metrics-generator has it."""
Labels = Sequence[tuple[str, str]]


def render_success(data: str, warnings: Sequence[str] = ()) -> bytes:
    """Put what is JSON already into the envelope."""
    noted = f',"warnings":{to_json(list(warnings))}' if warnings else ""
    return f'{{"status":"success","data":{data}{noted}}}'.encode()


def render_error(kind: str, message: str) -> bytes:
    """Say what is wrong."""
    return to_json({"status": "error", "errorType": kind, "error": message}).encode()


def to_json(value: Any) -> str:
    """Write JSON without spaces; half a surrogate pair is replaced."""
    text = json.dumps(value, separators=(",", ":"), ensure_ascii=False)
    return text.encode(errors="replace").decode()


def number_text(value: float) -> str:
    """Write a number as Go does: the shortest digits, an exponent only far from 1."""
    if math.isnan(value):
        return "NaN"
    if math.isinf(value):
        return "+Inf" if value > 0 else "-Inf"
    if value == 0:
        return "-0" if math.copysign(1, value) < 0 else "0"
    text = repr(float(value))
    mantissa, _, exponent = text.partition("e")
    if not exponent and 1e-6 <= abs(value) < 1e21:
        return text.removesuffix(".0")
    if 1e-6 <= abs(value) < 1e21:
        return _without_exponent(mantissa, int(exponent))
    if not exponent:  # below 1e-6 or from 1e21 on, repr always has one
        return text
    power = int(exponent)
    return f"{mantissa.removesuffix('.0')}e{'-' if power < 0 else '+'}{abs(power)}"


def _without_exponent(mantissa: str, exponent: int) -> str:
    """Write out digits: 1.5e16 -> 15000000000000000, 1.5e-05 -> 0.000015."""
    sign, digits = ("-", mantissa[1:]) if mantissa.startswith("-") else ("", mantissa)
    whole, _, fraction = digits.partition(".")
    if exponent < 0:
        return f"{sign}0.{'0' * (-exponent - 1)}{whole}{fraction.rstrip('0')}"
    return f"{sign}{whole}{fraction.ljust(exponent, '0')}"


def time_text(time_ms: int) -> str:
    """Write a time as seconds, with milliseconds if there are any."""
    sign = "-" if time_ms < 0 else ""
    seconds, rest = divmod(abs(time_ms), 1000)
    return f"{sign}{seconds}.{rest:03}" if rest else f"{sign}{seconds}"


def sample(time_ms: int, value: float) -> str:
    """Write a pair of time and value."""
    return f'[{time_text(time_ms)},"{number_text(value)}"]'


def vector_data(series: Sequence[tuple[Labels, float]], time_ms: int) -> str:
    """Write an instant vector."""
    rows = ",".join(
        f'{{"metric":{_labels(labels)},"value":{sample(time_ms, value)}}}'
        for labels, value in series
    )
    return f'{{"resultType":"vector","result":[{rows}]}}'


def matrix_data(series: Sequence[tuple[Labels, Sequence[float], Sequence[int]]]) -> str:
    """Write a matrix: of each series its values and their times in milliseconds."""
    rows = ",".join(
        f'{{"metric":{_labels(labels)},"values":[' + ",".join(map(sample, times_ms, values)) + "]}"
        for labels, values, times_ms in series
    )
    return f'{{"resultType":"matrix","result":[{rows}]}}'


def scalar_data(value: float, time_ms: int) -> str:
    """Write a scalar."""
    return f'{{"resultType":"scalar","result":{sample(time_ms, value)}}}'


def string_data(value: str, time_ms: int) -> str:
    """Write a string."""
    return f'{{"resultType":"string","result":[{time_text(time_ms)},{to_json(value)}]}}'


class Shown(Protocol):
    """A trace that stands for a series at a time."""

    @property
    def trace_id(self) -> str:
        """Hexadecimal."""

    @property
    def value(self) -> float:
        """What was observed."""

    @property
    def time_ms(self) -> int:
        """When, about."""


def exemplars_data(found: Mapping[tuple[tuple[str, str], ...], Sequence[Shown]]) -> str:
    """Write exemplars by series."""
    rows = ",".join(
        f'{{"seriesLabels":{_labels(labels)},"exemplars":['
        + ",".join(
            f'{{"labels":{to_json({TRACE_LABEL: one.trace_id})},"value":"{number_text(one.value)}",'
            f'"timestamp":{time_text(one.time_ms)}}}'
            for one in shown
        )
        + "]}"
        for labels, shown in sorted(found.items())
    )
    return f"[{rows}]"


def _labels(labels: Labels) -> str:
    given: Mapping[str, str] = dict(labels)
    return to_json(given)
