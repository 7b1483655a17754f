"""What happens to series behind the function: ``topk``, ``bottomk``, comparisons with a number.

Kernels over sparse tables: no I/O, no state, Python per point that has a cell.

Source: TraceQL reference, 6.7.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from traceql import nodes
from traceql.operators import Operator
from tracestore.model.results import AttributeValue
from tracestore.model.series import Labels
from tracestore.query.series_table import SeriesTable, typed_text, without_name

Rows = npt.NDArray[np.int64]
_COMPARE: dict[Operator, Callable[[Any, Any], Any]] = {
    Operator.EQ: np.equal,
    Operator.NE: np.not_equal,
    Operator.LT: np.less,
    Operator.LE: np.less_equal,
    Operator.GT: np.greater,
    Operator.GE: np.greater_equal,
}


def apply_stages(table: SeriesTable, stages: Sequence[nodes.SecondStage]) -> SeriesTable:
    """Apply stages in order; series without a sample vanish."""
    for stage in stages:
        made = _top(table, stage) if isinstance(stage, nodes.TopK) else _threshold(table, stage)
        table = made.settled()
    return table


def _threshold(table: SeriesTable, stage: nodes.Threshold) -> SeriesTable:
    """Keep the samples for which the comparison holds."""
    compare = _COMPARE[stage.operator]
    wanted = float(stage.value.value)
    with np.errstate(invalid="ignore"):
        return table.with_values(
            np.where(compare(table.fill, wanted), table.fill, np.nan),
            np.where(compare(table.values, wanted), table.values, np.nan),
        )


def _top(table: SeriesTable, stage: nodes.TopK) -> SeriesTable:
    """Keep the largest (smallest) values of each point.

    Points without a cell are all alike: the fills win or lose there. The others are looked at one
    by one, as far as their cells and the best of the fills reach.
    """
    if len(table) <= stage.count:
        return table
    sign = 1.0 if stage.smallest else -1.0
    tie = _tie_ranks(table.labels, smallest=stage.smallest)
    filled = np.flatnonzero(~np.isnan(table.fill))
    filled = filled[np.lexsort((tie[filled], sign * table.fill[filled]))]
    winners = filled[: stage.count]
    fill = np.full(len(table), np.nan)
    fill[winners] = table.fill[winners]

    of_series, of_point = np.divmod(table.cells, table.points)
    order = np.argsort(of_point, kind="stable")
    begins = np.flatnonzero(np.diff(of_point[order], prepend=-1) != 0)
    cells, values = [np.empty(0, np.int64)], [np.empty(0)]
    for here in np.split(order, begins[1:]) if len(order) else []:
        point = int(of_point[here[0]])
        series = of_series[here]
        rest = filled[: stage.count + len(here)]
        rest = rest[~np.isin(rest, series)][: stage.count]
        listed = np.concatenate([series, rest])
        value = np.concatenate([table.values[here], table.fill[rest]])
        best = np.lexsort((tie[listed], sign * value))  # no sample comes last
        kept = best[: stage.count]
        value[best[stage.count :]] = np.nan
        # the losers among the winners of other points lose their sample here
        gone = np.setdiff1d(winners, listed[kept], assume_unique=True)
        cells.append(np.concatenate([listed[kept], gone]) * table.points + point)
        values.append(np.concatenate([value[kept], np.full(len(gone), np.nan)]))
    found, told = np.concatenate(cells), np.concatenate(values)
    order = np.argsort(found, kind="stable")
    return SeriesTable(
        points=table.points,
        labels=table.labels,
        fill=fill,
        cells=found[order],
        values=told[order],
        exemplars=table.exemplars,
    )


def _tie_ranks(labels: Sequence[Labels], *, smallest: bool) -> Rows:
    """Rank series for the case that their values are equal; the lower rank wins.

    For ``topk`` the alphabetically smaller label value wins, then the smaller name, then the larger
    number; for ``bottomk`` it is the other way round.
    """
    keys = [_tie_key(without_name(one)) for one in labels]
    order = sorted(range(len(labels)), key=keys.__getitem__, reverse=smallest)
    ranks = np.empty(len(labels), np.int64)
    ranks[order] = np.arange(len(labels))
    return ranks


def _tie_key(labels: Labels) -> tuple[Any, ...]:
    """Make what sorts label sets: the texts of values and the names first, then what is no text."""
    texts = tuple((value if isinstance(value, str) else "", name) for name, value in labels)
    others = tuple((typed_text(value)[0], _descending(value)) for _, value in labels)
    return texts, others


def _descending(value: AttributeValue) -> tuple[bool, float]:
    """Sort numbers from the largest down, NaN last."""
    if not isinstance(value, int | float):
        return False, 0.0
    return value != value, 0.0 if value != value else -value
