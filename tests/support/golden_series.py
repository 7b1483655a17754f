"""Reads ``tests/golden/metrics*.test``, and writes answers as they do; see the README there."""

from __future__ import annotations

import json
import math
import re
from dataclasses import dataclass, field

from support.golden import GOLDEN
from support.otlp import EPOCH_NS

from tracestore.model.results import AttributeValue
from tracestore.model.series import Grid, Labels, MetricsResult
from tracestore.model.times import SECOND_NS

_CASE = re.compile(r"metrics (?P<name>\w+) (?P<query>.*)")
_LABELS_END = re.compile(r"\} (?=\[|-?\d)")
NONE = "none"
RANGE = Grid(origin_ns=EPOCH_NS - 60 * SECOND_NS, step_ns=60 * SECOND_NS, count=4)
"""That of every case: T0 to T0 + 180 s by steps of 60 s, aligned."""
INSTANT = Grid(origin_ns=EPOCH_NS, step_ns=180 * SECOND_NS, count=1)

Values = tuple[float | None, ...]
Written = dict[str, Values]
"""Labels as text, and the values of all points; None where there is no sample."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SeriesCase:
    """One query, and its series over the range and at once."""

    name: str
    query: str
    of_range: Written = field(default_factory=dict)
    instant: Written = field(default_factory=dict)

    def __str__(self) -> str:
        return self.name


def read_series_cases(pattern: str = "metrics*.test") -> list[SeriesCase]:
    """Read the cases of all files that match a pattern."""
    cases: list[SeriesCase] = []
    for path in sorted(GOLDEN.glob(pattern)):
        for line in path.read_text().splitlines():
            if found := _CASE.fullmatch(line):
                cases.append(SeriesCase(name=found["name"], query=found["query"]))
            elif line.startswith("  "):
                _read_series(line, cases[-1])
            else:
                assert not line or line.startswith("#"), f"{path.name}: cannot read {line!r}"
    assert cases, f"no golden cases in {pattern}"
    return cases


def _read_series(line: str, case: SeriesCase) -> None:
    form, rest = line[2], line[4:]
    series = case.of_range if form == "=" else case.instant
    if rest == NONE:
        return
    end = _LABELS_END.search(rest)
    assert end is not None, line
    labels, values = rest[: end.start() + 1], rest[end.end() :].strip("[]").split(", ")
    assert labels not in series, line
    series[labels] = tuple(None if value == "_" else float(value) for value in values)


def written(result: MetricsResult) -> Written:
    """Write series as the cases do."""
    return {
        labels_text(series.labels): tuple(
            None if math.isnan(value) else value
            for value in series.dense(result.grid.count).tolist()
        )
        for series in result.series
    }


def labels_text(labels: Labels) -> str:
    """Write labels: strings quoted, other types bare."""
    return "{" + ", ".join(f"{name}={_value_text(value)}" for name, value in labels) + "}"


def _value_text(value: AttributeValue) -> str:
    return json.dumps(value, ensure_ascii=False)


def differences(found: Written, expected: Written, *, tolerance: float = 5.1e-7) -> list[str]:
    """Compare series: what differs, as texts."""
    told = [f"{labels} is missing" for labels in expected.keys() - found.keys()]
    told += [f"{labels} is too many" for labels in found.keys() - expected.keys()]
    for labels in expected.keys() & found.keys():
        if not _are_close(found[labels], expected[labels], tolerance):
            told.append(f"{labels}: {found[labels]}, expected {expected[labels]}")
    return sorted(told)


def _are_close(found: Values, expected: Values, tolerance: float) -> bool:
    return len(found) == len(expected) and all(
        _is_close(one, other, tolerance) for one, other in zip(found, expected, strict=True)
    )


def _is_close(one: float | None, other: float | None, tolerance: float) -> bool:
    if one is None or other is None:
        return one is other
    return one == other or math.isclose(one, other, rel_tol=1e-9, abs_tol=tolerance)
